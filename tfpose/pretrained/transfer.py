"""Copies the weights of a heatmap network to a network with other joints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfpose.crops import Normalization
from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.transformer import is_positions, resize_positions
from tfpose.pretrained.weight_names import check_names


def transfer_weights(
    source: keras.Model, target: keras.Model, source_joints: Sequence[str], target_joints: Sequence[str]
) -> None:
    """Copies all weights between two networks that differ in their joints only.

    Both networks must have the same layer names, and a layer `HEATMAP_LAYER` whose last axis is the joints. Its weights
    are matched by joint name: joints that only the target has keep their weights. The positions of a vision transformer
    are resampled if the sizes of the crops differ. An error changes nothing.

    Args:
        source: Model to copy from.
        target: Model to copy to.
        source_joints: Joint names of the source's heatmaps, in order.
        target_joints: Joint names of the target's heatmaps, in order.

    Raises:
        ValueError: A weight has no counterpart of the same shape, or a list of joints does not fit its model; the
            message names the weight.
    """
    rows = _joint_rows(source_joints, target_joints)
    values = {variable.path: variable for variable in source.weights}
    expected = {variable.path: variable for variable in target.weights}
    check_names(expected, values)
    assignments = []
    for path, variable in expected.items():
        value = keras.ops.convert_to_numpy(values[path])
        if path.startswith(f"{HEATMAP_LAYER}/"):
            _check_num_joints(path, value.shape[-1], "source_joints", source_joints)
            _check_num_joints(path, variable.shape[-1], "target_joints", target_joints)
            value = _matched_rows(path, value, variable, rows)
        if is_positions(variable):
            value = resize_positions(value, tuple(variable.shape[1:3]))
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{path}: the target has shape {tuple(variable.shape)}, the source {value.shape}.")
        assignments.append((variable, value))
    for variable, value in assignments:
        variable.assign(value)


def unmatched_note(source: str, source_joints: Sequence[str], target_joints: Sequence[str]) -> str:
    """Returns a note on the joints that `transfer_weights` leaves random; empty if there are none.

    Args:
        source: Work folder or name of a public checkpoint that the weights are from.
        source_joints: Joint names of the source.
        target_joints: Joint names of the target.
    """
    lacking = [joint for joint in target_joints if joint not in source_joints]
    if not lacking:
        return ""
    return (
        f"note: the heatmaps of {len(lacking)} of {len(target_joints)} joints start from random weights, because "
        f"{source} has no joints of these names: {', '.join(lacking)}"
    )


def check_same_settings(source: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> None:
    """Checks settings with which the same weights would make another network.

    Args:
        source: Work folder or name of a public checkpoint that the weights are from.
        theirs: Settings of the source by name.
        ours: The same settings of the network that gets the weights.
        prefix: Beginning of the names of these settings in the section `network` of the config.

    Raises:
        ValueError: A setting differs; the message says what to set.
    """
    for name, value in theirs.items():
        if ours.get(name, value) != value:
            raise ValueError(
                f"--config.network.{prefix}{name} must be {value}, with which {source} was trained, got {ours[name]}"
            )


def normalization_note(source: str, theirs: Normalization, ours: Normalization) -> str:
    """Returns a note on what the input of a network was normalized by before and is not now; empty for nothing."""
    before, now = dataclasses.asdict(theirs), dataclasses.asdict(ours)
    changes = [f"{name}={before[name]}, now {now[name]}" for name in before if before[name] != now[name]]
    if not changes:
        return ""
    return (
        f"note: {source} was trained with inputs of other values: normalization.{', '.join(changes)}; with the same "
        "--config.normalization the network starts from what it has learned"
    )


def _joint_rows(source_joints: Sequence[str], target_joints: Sequence[str]) -> dict[int, int]:
    """Maps the target's index of each joint that both have to the source's index."""
    for argument, joints in (("source_joints", source_joints), ("target_joints", target_joints)):
        if len(set(joints)) != len(joints):
            raise ValueError(f"{argument} must be different names, got {list(joints)}.")
    positions = {joint: index for index, joint in enumerate(source_joints)}
    return {index: positions[joint] for index, joint in enumerate(target_joints) if joint in positions}


def _check_num_joints(path: str, num_joints: int, argument: str, joints: Sequence[str]) -> None:
    if len(joints) != num_joints:
        raise ValueError(f"{path}: it has {num_joints} joints, but {argument} has {len(joints)}.")


def _matched_rows(path: str, value: np.ndarray, variable: keras.Variable, rows: Mapping[int, int]) -> np.ndarray:
    """Returns the target's weights, joints last, with those of known joints taken from the source."""
    if value.shape[:-1] != tuple(variable.shape[:-1]):
        raise ValueError(f"{path}: expected {tuple(variable.shape[:-1])} before the joints, got {value.shape[:-1]}.")
    merged = keras.ops.convert_to_numpy(variable).copy()
    for target_index, source_index in rows.items():
        merged[..., target_index] = value[..., source_index]
    return merged
