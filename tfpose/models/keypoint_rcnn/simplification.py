"""The form in which a Keypoint R-CNN finds people in bfloat16."""

from __future__ import annotations

import keras

from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.bfloat16 import cast_to_bfloat16
from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, Parts


def simplify_keypoint_rcnn(network: KeypointRcnn, dtype: str = "float32") -> KeypointRcnn:
    """Builds the network for inference in a number format.

    In bfloat16, trunk and heads compute in bfloat16 and pass such features to each other. The layers that write scores,
    offsets and maps of joints compute in float32, and so does all that follows: probabilities, boxes, suppression and
    the joints. Normalizations are merged in float32; weights are rounded once.

    Args:
        network: Network with its weights, built under the float32 policy.
        dtype: "float32" returns the network itself, "bfloat16" a copy.
    """
    if dtype == "float32":
        return network
    trunk = _merge_frozen_norms(fold_batch_norm(network.trunk))
    head = network.keypoint_head
    parts = Parts(
        cast_to_bfloat16(trunk, output_dtype="bfloat16"),
        _cast_head(network.proposal_head),
        _cast_head(network.box_head),
        None if head is None else _cast_head(head),
    )
    return KeypointRcnn(network.settings, network.name, parts)


def _cast_head(head: keras.Model) -> keras.Model:
    """Returns a head that takes features in bfloat16 and writes its outputs in float32."""
    writers = {tensor._keras_history.operation.name for tensor in head.outputs}
    return cast_to_bfloat16(head, writers, input_dtype="bfloat16")


def _merge_frozen_norms(trunk: keras.Model) -> keras.Model:
    """Builds the trunk with a bias in place of each frozen normalization; the weights are copied."""

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if _is_frozen(layer):
            config["norm"] = "merged"
        return layer.__class__.from_config(config)

    merged = keras.models.clone_model(trunk, clone_function=clone_layer)
    for layer in merged.layers:
        original = trunk.get_layer(layer.name)
        layer.set_weights(original.merge_norm() if _is_frozen(original) else original.get_weights())
    return merged


def _is_frozen(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, TrunkConvolution) and layer.norm == "frozen"
