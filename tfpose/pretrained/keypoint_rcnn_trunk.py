"""Loads ImageNet weights into the trunk of a Keypoint R-CNN, from Keras' ResNets or from Detectron's files.

Keras' weights of ResNet-50 and ResNet-101 are those of He et al., 2015, with which Detectron starts too. They stride in
the first 1x1 and were trained on BGR pixels of 0..255 minus a mean, which differs from ours by half a gray level at
most.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from tfpose.models.keypoint_rcnn.convolution import NORM_EPSILON
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.pretrained.checkpoint_files import read_arrays, read_checkpoint_file
from tfpose.pretrained.detectron import convert_blobs, detectron2_name
from tfpose.pretrained.imagenet import read_imagenet_network
from tfpose.pretrained.keypoint_rcnn_weights import load_detectron2_state_dict
from tfpose.pretrained.pickled_arrays import PickledArray

_TRUNK = "backbone.bottom_up."
_DEPTHS: Mapping[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101}
# Numbers of a bottleneck's convolutions in Keras' names.
_KERAS_NUMBERS = {"shortcut": 0, "conv1": 1, "conv2": 2, "conv3": 3}


def load_trunk(model: KeypointRcnn, weights: str | os.PathLike[str]) -> None:
    """Sets the residual network of the trunk; pyramid and heads keep their weights.

    Args:
        model: Model with a frozen normalization.
        weights: "imagenet" downloads Keras' public file (or takes it from Keras' cache). Any other value is the path of
            a file saved from that Keras network, or of an ImageNet file of Detectron (`R-50.pkl`, `R-101.pkl`,
            `X-101-32x8d.pkl`), in which nothing is executed.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The weights are damaged or belong to another network.
    """
    path = pathlib.Path(weights)
    if weights == "imagenet" or (path.is_file() and h5py.is_hdf5(path)):
        _load_keras_network(model, weights)
    else:
        _load_detectron_file(model, path)


def _load_keras_network(model: KeypointRcnn, weights: str | os.PathLike[str]) -> None:
    settings = model.settings
    depth = _DEPTHS.get(tuple(settings.blocks_per_stage))
    found = (depth, settings.num_groups, settings.inner_width, settings.stride_in, settings.normalization)
    if depth is None or found[1:] != (1, 64, "1x1", "frozen"):
        raise ValueError(
            "trunk must have depth 50 or 101, 1 group, inner_width 64, stride_in '1x1' and frozen normalization for "
            f"Keras' ImageNet weights, got {found}"
        )
    source = read_imagenet_network(depth, weights)
    for name, source_name in _convolution_names(settings.blocks_per_stage):
        kernel, bias = source.get_layer(f"{source_name}_conv").get_weights()
        normalization = source.get_layer(f"{source_name}_bn")
        gamma, beta, mean, variance = normalization.get_weights()
        layer = model.trunk.get_layer(name)
        layer.kernel.assign(kernel)
        layer.norm_scale.assign(gamma)
        layer.norm_shift.assign(beta)
        layer.norm_mean.assign(mean - bias)
        # gamma / sqrt(variance + epsilon) stays the same.
        layer.norm_variance.assign(np.asarray(variance, np.float64) + (normalization.epsilon - NORM_EPSILON))


def _convolution_names(blocks_per_stage: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Yields the names of our convolutions, each with the start of its name in Keras' network."""
    yield "stem_conv1", "conv1"
    for stage, num_blocks in enumerate(blocks_per_stage, start=2):
        for block in range(num_blocks):
            for part, number in _KERAS_NUMBERS.items():
                if block == 0 or number > 0:
                    yield f"res{stage}_{block}_{part}", f"conv{stage}_block{block + 1}_{number}"


def _load_detectron_file(model: KeypointRcnn, path: pathlib.Path) -> None:
    content = read_checkpoint_file(path).content
    blobs = content.get("blobs", content) if isinstance(content, dict) else {}
    # Blobs of the classifier are left out.
    names = {blob: detectron2_name(blob) or "" for blob in blobs if isinstance(blob, str)}
    tensors = {
        blob: blobs[blob]
        for blob, name in names.items()
        if name.startswith(_TRUNK) and isinstance(blobs[blob], PickledArray)
    }
    if not tensors:
        raise ValueError(
            f"{path}: content must be an ImageNet network of Detectron with blobs such as conv1_w, got none"
        )
    try:
        load_detectron2_state_dict(model, convert_blobs(read_arrays(path, tensors)), _TRUNK)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
