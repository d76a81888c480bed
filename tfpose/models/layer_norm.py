"""Vision transformers for inference, with the layer normalizations of the blocks merged into the other weights."""

from __future__ import annotations

import keras
import numpy as np

from tfpose.models.batch_norm import renew_input
from tfpose.models.transformer import PositionEmbedding, TransformerBlock


def merge_layer_norms(model: keras.Model) -> keras.Model:
    """Builds a vision transformer whose blocks only divide tokens by their deviation instead of normalizing them.

    Only layer normalizations read the tokens, and they subtract the mean over the channels. So every layer that writes
    tokens, or adds to them, can subtract this mean from its weights. Scales and shifts go into the weights of the layer
    that follows the normalization, and the scale of the attention into those of the queries.

    Args:
        model: Functional model; it is returned as it is unless `build_pose_vit` built its encoder.

    Returns:
        A model with the same inputs, outputs and layer names. Its outputs are the same to rounding. The weights are
        copied. It is not compiled.
    """
    blocks = {layer.name for layer in model.layers if isinstance(layer, TransformerBlock) and not layer.is_merged}
    if not blocks:
        return model
    positions = next(layer for layer in model.layers if isinstance(layer, PositionEmbedding))
    writers = {positions.name, positions.input._keras_history.operation.name}

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in blocks:
            config["is_merged"] = True
        return layer.__class__.from_config(config)

    # Cloning a compiled model would compile the copy.
    uncompiled = keras.Model(model.input, model.output, name=model.name)
    inputs = keras.tree.map_structure(renew_input, model.input)
    merged = keras.models.clone_model(uncompiled, input_tensors=inputs, clone_function=clone_layer)
    for layer in merged.layers:
        original = model.get_layer(layer.name)
        if layer.name in blocks:
            _set_merged_weights(layer, original)
        elif layer.name in writers:
            layer.set_weights([_center(weight) for weight in original.get_weights()])
        elif layer.weights:
            layer.set_weights(original.get_weights())
    return merged


def _center(weight: np.ndarray) -> np.ndarray:
    """Subtracts the mean over the last axis, in float64."""
    weight = np.asarray(weight, np.float64)
    return weight - weight.mean(axis=-1, keepdims=True)


def _set_merged_weights(merged: TransformerBlock, block: TransformerBlock) -> None:
    """Sets the weights of a block without normalizations."""
    for norm, name in (("norm1", "qkv"), ("norm2", "expand")):
        gamma, beta = (np.asarray(weight, np.float64) for weight in getattr(block, norm).get_weights())
        kernel, bias = getattr(block, name).get_weights()
        kernel, bias = kernel * gamma[:, None], bias + beta @ kernel
        if name == "qkv":
            width = len(gamma)
            scales = np.repeat([(width // block.num_heads) ** -0.5, 1, 1], width)
            kernel, bias = kernel * scales, bias * scales
        getattr(merged, name).set_weights([kernel, bias])
    merged.projection.set_weights([_center(weight) for weight in block.projection.get_weights()])
    for copy, expert in zip(merged.expert_layers, block.expert_layers, strict=True):
        copy.set_weights(expert.get_weights())
    # The tokens' mean is over the channels of `contract` and of the expert that computes.
    active = slice(block.experts.expert, block.experts.expert + 1)
    sources = [block.contract, *block.expert_layers[active]]
    targets = [merged.contract, *merged.expert_layers[active]]
    parts = zip(*(source.get_weights() for source in sources), strict=True)
    kernel, bias = (_center(np.concatenate(part, axis=-1)) for part in parts)
    start = 0
    for target in targets:
        channels = slice(start, start + target.units)
        target.set_weights([kernel[:, channels], bias[channels]])
        start += target.units
