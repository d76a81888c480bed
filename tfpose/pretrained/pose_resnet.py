"""Weights of the heatmap network from PyTorch-style arrays, or from a network with other joints.

Names and layouts: the checkpoints of Xiao et al. (2018, microsoft/human-pose-estimation.pytorch)
and of mmpose share them once their wrappers' prefixes are dropped; torchvision's ResNets have the
names of the backbone.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tfpose.models.pose_resnet import HEATMAP_LAYER

PREFIXES = ("module.", "backbone.", "keypoint_head.", "head.")
# The classifier of an ImageNet network, and a counter that only PyTorch uses.
_IGNORED = re.compile(r"fc\.(weight|bias)|(.*\.)?num_batches_tracked")
_HEAD = "final_layer"
_LAYER_NAMES = (
    (r"stem_conv", r"conv1"),
    (r"stem_bn", r"bn1"),
    (r"stage(\d)_block(\d+)_(conv|bn)(\d)", r"layer\1.\2.\3\4"),
    (r"stage(\d)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
    (HEATMAP_LAYER, _HEAD),
)
_WEIGHT_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_MAX_NAMES_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class _Assignment:
    variable: keras.Variable
    value: np.ndarray


def load_torch_arrays(
    model: keras.Model,
    arrays: Mapping[str, np.ndarray],
    source_joints: Sequence[str] | None = None,
    target_joints: Sequence[str] | None = None,
    encoder_only: bool = False,
) -> None:
    """Sets the weights of a `build_pose_resnet` model from arrays under PyTorch's names.

    The arrays do not say whether a bottleneck strides in its 3x3 or in its first 1x1: the model
    must have been built with the right `stride_in`. Nothing is changed if there is an error.

    Args:
        model: From `build_pose_resnet`.
        arrays: By name, kernels as (out, in, h, w) and transposed ones as (in, out, h, w); may
            have wrappers' prefixes; `num_batches_tracked` and `fc.*` are ignored.
        source_joints: Joint names of the rows of `final_layer`, with `target_joints`: rows are
            matched by name and joints that only the model has keep their weights.
        target_joints: Joint names of the model's heatmaps.
        encoder_only: The arrays are an ImageNet network: only the backbone is set.

    Raises:
        ValueError: An array is missing, superfluous or of another shape; names it.
    """
    expected = _variables_by_torch_name(model, encoder_only)
    found = _canonical_arrays(arrays)
    check_names(expected, found)
    rows = _joint_rows(source_joints, target_joints)
    assignments = []
    for name, variable in expected.items():
        value = _keras_layout(found[name])
        if rows is not None and name.startswith(f"{_HEAD}."):
            value = _matched_rows(name, value, variable, rows, source_joints, target_joints)
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name}: expected shape {_torch_shape(variable.shape)}, got {found[name].shape}.")
        assignments.append(_Assignment(variable, value))
    _assign(assignments)


def transfer_weights(
    source: keras.Model,
    target: keras.Model,
    source_joints: Sequence[str],
    target_joints: Sequence[str],
    head_layer: str = HEATMAP_LAYER,
) -> None:
    """Copies all weights between two networks that differ in their joints only.

    Heatmaps are matched by joint name; joints that only the target has keep their weights. Nothing
    is changed if there is an error.

    Args:
        source: Model to copy from.
        target: Model to copy to, with the same layer names.
        source_joints: Joint names of the source's heatmaps, in order.
        target_joints: Joint names of the target's heatmaps, in order.
        head_layer: Layer whose last axis is the joints, in both models.

    Raises:
        ValueError: A weight has no counterpart of the same shape; names it.
    """
    rows = _joint_rows(source_joints, target_joints)
    values = {variable.path: variable for variable in source.variables}
    expected = {variable.path: variable for variable in target.variables}
    check_names(expected, values)
    assignments = []
    for path, variable in expected.items():
        value = keras.ops.convert_to_numpy(values[path])
        if path.startswith(f"{head_layer}/"):
            value = _matched_rows(path, value, variable, rows, source_joints, target_joints)
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{path}: the target has shape {tuple(variable.shape)}, the source {value.shape}.")
        assignments.append(_Assignment(variable, value))
    _assign(assignments)


def torch_names_of(model: keras.Model) -> dict[str, keras.Variable]:
    """The variables of a `build_pose_resnet` model by their names in PyTorch."""
    return _variables_by_torch_name(model, encoder_only=False)


def canonical_torch_name(name: str) -> str:
    """Drops the prefixes of PyTorch wrappers and of mmpose.

    >>> canonical_torch_name("module.backbone.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    """
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _torch_layer_name(layer_name: str) -> str | None:
    deconvolution = re.fullmatch(r"deconv(\d)_(conv|bn)", layer_name)
    if deconvolution:
        # Each is three modules: convolution, normalisation, ReLU.
        index = 3 * (int(deconvolution[1]) - 1) + (deconvolution[2] == "bn")
        return f"deconv_layers.{index}"
    for pattern, replacement in _LAYER_NAMES:
        match = re.fullmatch(pattern, layer_name)
        if match:
            return match.expand(replacement)
    return None


def _variables_by_torch_name(model: keras.Model, encoder_only: bool) -> dict[str, keras.Variable]:
    variables = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        torch_name = _torch_layer_name(layer.name)
        if torch_name is None:
            raise ValueError(
                f"model {model.name}: layer {layer.name} has no counterpart in PyTorch; expected a "
                "model from build_pose_resnet."
            )
        if encoder_only and torch_name.startswith(("deconv_layers.", _HEAD)):
            continue
        for variable in layer.weights:
            variables[f"{torch_name}.{_WEIGHT_NAMES[variable.name]}"] = variable
    return variables


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


def check_names(expected: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Raises a ValueError that names what only one of both has."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    problems = [
        f"{kind}: {_shortened(names)}" for kind, names in (("missing", missing), ("not in the model", extra)) if names
    ]
    if problems:
        raise ValueError(f"The weights do not fit the model; {'; '.join(problems)}.")


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES_SHOWN])
    hidden = len(names) - _MAX_NAMES_SHOWN
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _keras_layout(array: np.ndarray) -> np.ndarray:
    """(out, in, h, w) to (h, w, in, out), and transposed (in, out, h, w) to (h, w, out, in)."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _torch_shape(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) == 4:
        height, width, second, first = shape
        return (first, second, height, width)
    return tuple(shape)


def _joint_rows(source_joints: Sequence[str] | None, target_joints: Sequence[str] | None) -> dict[int, int] | None:
    """Target index to source index of the joints in both."""
    if source_joints is None and target_joints is None:
        return None
    if source_joints is None or target_joints is None:
        raise ValueError("source_joints and target_joints must be given together.")
    for argument, joints in (("source_joints", source_joints), ("target_joints", target_joints)):
        if len(set(joints)) != len(joints):
            raise ValueError(f"{argument} must be different names, got {list(joints)}.")
    positions = {joint: index for index, joint in enumerate(source_joints)}
    return {index: positions[joint] for index, joint in enumerate(target_joints) if joint in positions}


def _matched_rows(
    name: str,
    value: np.ndarray,
    variable: keras.Variable,
    rows: Mapping[int, int],
    source_joints: Sequence[str],
    target_joints: Sequence[str],
) -> np.ndarray:
    """The target's head (joints last) with the rows of known joints taken from the source."""
    for argument, joints, size in (
        ("source_joints", source_joints, value.shape[-1]),
        ("target_joints", target_joints, variable.shape[-1]),
    ):
        if len(joints) != size:
            raise ValueError(f"{name}: it has {size} joints, but {argument} has {len(joints)}.")
    if value.shape[:-1] != tuple(variable.shape[:-1]):
        raise ValueError(f"{name}: expected {tuple(variable.shape[:-1])} before the joints, got {value.shape[:-1]}.")
    merged = keras.ops.convert_to_numpy(variable).copy()
    for target_index, source_index in rows.items():
        merged[..., target_index] = value[..., source_index]
    return merged


def _assign(assignments: Sequence[_Assignment]) -> None:
    for assignment in assignments:
        assignment.variable.assign(assignment.value)
