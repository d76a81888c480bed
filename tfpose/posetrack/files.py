"""Reads and writes PoseTrack files."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from tfpose.json_files import object_list, optional_object_list, read_json, write_json
from tfpose.posetrack.format_2017 import posetrack17_from_sequence, sequence_from_posetrack17
from tfpose.posetrack.format_2018 import joint_names, posetrack18_from_sequence, sequence_from_posetrack18
from tfpose.posetrack.sequences import (
    PoseSequence,
)
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18, Skeleton


def read_posetrack(
    path: str | pathlib.Path, skeleton: Skeleton = POSETRACK15, drop_unknown_images: bool = False
) -> PoseSequence:
    """Reads a file of PoseTrack 2017 or 2018; a key `annolist` means 2017.

    Args:
        path: Path of the file.
        skeleton: Joints to read, by name; joints that the format lacks are never there.
        drop_unknown_images: Whether to skip annotations of unlisted images, as poseval does, instead of failing.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    path = pathlib.Path(path)
    content = read_json(path, checks_lists=True)
    if isinstance(content, dict) and "annolist" in content:
        return sequence_from_posetrack17(path, content, skeleton)
    joints = joint_names(path, object_list(path, content, "categories"))
    return sequence_from_posetrack18(path, content, joints, skeleton, drop_unknown_images)


def read_posetrack21(path: str | pathlib.Path, skeleton: Skeleton = POSETRACK15) -> PoseSequence:
    """Reads a file of PoseTrack21 as its evaluator does.

    It ignores `categories`, which must name no other joints, and a joint is there if x and y are both greater than 0.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file breaks a rule; see `read_posetrack`.
    """
    path = pathlib.Path(path)
    content = read_json(path, checks_lists=True)
    _check_order21(path, content)
    sequence = sequence_from_posetrack18(path, content, POSETRACK18.joints, skeleton, drop_unknown_images=False)
    frames = (
        dataclasses.replace(frame, visibility=frame.visibility * (frame.keypoints > 0).all(axis=-1))
        for frame in sequence.frames
    )
    return dataclasses.replace(
        sequence,
        frames=tuple(
            dataclasses.replace(frame, keypoints=frame.keypoints * (frame.visibility > 0)[..., None])
            for frame in frames
        ),
    )


def _check_order21(path: pathlib.Path, content: Any) -> None:
    """Checks that a file of PoseTrack21 does not name joints in another order, which its evaluator would not see.

    Raises:
        ValueError: It names the joints of COCO, or those of PoseTrack in another order.
    """
    for category in optional_object_list(path, content, "categories"):
        names: Any = category.get("keypoints")
        is_other = isinstance(names, list) and names != list(POSETRACK18.joints)
        if is_other and sorted(map(str, names)) in (sorted(POSETRACK18.joints), sorted(COCO17.joints)):
            raise ValueError(
                f"{path}: 'categories': 'keypoints' must be in the order of PoseTrack21 "
                f"({', '.join(POSETRACK18.joints)}), got {', '.join(names)}"
            )


def write_posetrack18(path: str | pathlib.Path, sequence: PoseSequence) -> None:
    """Writes annotations or predictions in the 2018 layout, which PoseTrack21 reads as well."""
    write_json(path, posetrack18_from_sequence(sequence))


def write_posetrack17(path: str | pathlib.Path, sequence: PoseSequence) -> None:
    """Writes annotations or predictions in the 2017 layout."""
    write_json(path, posetrack17_from_sequence(sequence))
