"""Loads the weights of `build_pose_resnet` from arrays under PyTorch's names.

The checkpoints of Xiao et al. (2018, microsoft/human-pose-estimation.pytorch) and of MMPose have the same names and
layouts once the prefixes of their wrappers are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tfpose.models.pose_resnet import HEATMAP_LAYER
from tfpose.pretrained.weight_names import check_names

PREFIXES = ("module.", "backbone.", "keypoint_head.", "head.")
# The classifier of an ImageNet network, and a counter that only PyTorch uses.
_IGNORED = re.compile(r"fc\.(weight|bias)|(.*\.)?num_batches_tracked")
_LAYER_NAMES = (
    (r"stem_conv", r"conv1"),
    (r"stem_bn", r"bn1"),
    (r"stage(\d)_block(\d+)_(conv|bn)(\d)", r"layer\1.\2.\3\4"),
    (r"stage(\d)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
    (HEATMAP_LAYER, r"final_layer"),
)
_WEIGHT_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_torch_arrays(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets the weights of a `build_pose_resnet` model from arrays under PyTorch's names.

    The arrays do not say whether a bottleneck strides in its 3x3 or in its first 1x1: the model must have been built
    with the right `stride_in`. An error changes nothing.

    Args:
        model: Model from `build_pose_resnet`.
        arrays: Arrays by name, kernels as (out, in, h, w) and transposed ones as (in, out, h, w). The names may have
            the prefixes of wrappers. `num_batches_tracked` and `fc.*` are ignored.

    Raises:
        ValueError: An array is missing, superfluous or has another shape; the message names it.
    """
    expected = torch_names_of(model)
    found = _canonical_arrays(arrays)
    check_names(expected, found)
    values = {}
    for name, variable in expected.items():
        values[name] = _keras_layout(found[name])
        if values[name].shape != tuple(variable.shape):
            raise ValueError(f"{name} must have shape {_torch_shape(variable.shape)}, got {found[name].shape}.")
    for name, variable in expected.items():
        variable.assign(values[name])


def torch_names_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the variables of a `build_pose_resnet` model by their names in PyTorch.

    Raises:
        ValueError: A layer has no counterpart in PyTorch; the message names it.
    """
    variables = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        torch_name = _torch_layer_name(layer.name)
        if torch_name is None:
            raise ValueError(
                f"model {model.name} must be a build_pose_resnet without skip connections, got one with a layer "
                f"{layer.name}, which has no counterpart in PyTorch."
            )
        for variable in layer.weights:
            variables[f"{torch_name}.{_WEIGHT_NAMES[variable.name]}"] = variable
    return variables


def canonical_torch_name(name: str) -> str:
    """Drops the prefixes of PyTorch wrappers and of MMPose.

    >>> canonical_torch_name("module.backbone.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    """
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _torch_layer_name(layer_name: str) -> str | None:
    deconvolution = re.fullmatch(r"deconv(\d)_(conv|bn)", layer_name)
    if deconvolution:
        # Each transposed convolution is three PyTorch modules: convolution, normalization, ReLU.
        index = 3 * (int(deconvolution[1]) - 1) + (deconvolution[2] == "bn")
        return f"deconv_layers.{index}"
    for pattern, replacement in _LAYER_NAMES:
        match = re.fullmatch(pattern, layer_name)
        if match:
            return match.expand(replacement)
    return None


def _canonical_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        canonical = canonical_torch_name(name)
        if _IGNORED.fullmatch(canonical):
            continue
        if canonical in found:
            raise ValueError(f"{name}: there are two arrays for {canonical}.")
        found[canonical] = np.asarray(array)
    return found


def _keras_layout(array: np.ndarray) -> np.ndarray:
    """Reorders (out, in, h, w) to (h, w, in, out), and a transposed kernel (in, out, h, w) to (h, w, out, in)."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _torch_shape(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) == 4:
        height, width, second, first = shape
        return (first, second, height, width)
    return tuple(shape)
