"""The videos of a record table as PoseTrack sequences: predicted ones and annotated ones."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from tfpose.data.records import RecordTable
from tfpose.inference.posetrack_joints import map_poses
from tfpose.poses import Poses
from tfpose.posetrack import Frame, PoseSequence, build_frame, frame_from_poses, poses_from_frame
from tfpose.skeletons import POSETRACK15, POSETRACK18, Skeleton, map_joints


def has_posetrack_videos(table: RecordTable) -> bool:
    """Returns whether a table has videos, and only joints that PoseTrack's files hold."""
    return any(table.images["sequence"]) and set(table.skeleton.joints) <= set(POSETRACK18.joints)


def sequences_from_poses(
    table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton, joints: Skeleton = POSETRACK15
) -> list[PoseSequence]:
    """Returns the poses of the videos of a table, with every frame.

    Args:
        table: Records.
        poses: Poses of each image of the table.
        skeleton: Skeleton of the poses; joints are matched by name.
        joints: Skeleton of the result.
    """
    return [
        _build_sequence(
            table, name, [_predicted_frame(table, row, map_poses(poses[row], skeleton, joints)) for row in rows], joints
        )
        for name, rows in rows_by_sequence(table).items()
    ]


def poses_from_sequences(table: RecordTable, sequences: Sequence[PoseSequence], poses: Sequence[Poses]) -> list[Poses]:
    """Returns the poses of every image of a table: those of its videos, and for single photos those in `poses`."""
    result = list(poses)
    for sequence, rows in zip(sequences, rows_by_sequence(table).values(), strict=True):
        for row, frame in zip(rows, sequence.frames, strict=True):
            result[row] = poses_from_frame(frame)
    return result


def rows_by_sequence(table: RecordTable) -> dict[str, list[int]]:
    """Returns the rows of each video's images in the order of its frames, by name; single photos are left out."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(table.images["sequence"]):
        if name:
            rows.setdefault(name, []).append(row)
    return {name: sorted(members, key=lambda row: table.images["frame"][row]) for name, members in rows.items()}


def _build_sequence(
    table: RecordTable, name: str, frames: Sequence[Frame], skeleton: Skeleton = POSETRACK15
) -> PoseSequence:
    return PoseSequence(name, skeleton, tuple(frames), pathlib.Path(f"{name}.json"), table.category_id)


def _predicted_frame(table: RecordTable, row: int, poses: Poses) -> Frame:
    return frame_from_poses(
        table.images["file_name"][row],
        int(table.images["frame"][row]),
        poses,
        image_id=int(table.images["image_id"][row]),
        image_size=(int(table.images["height"][row]), int(table.images["width"][row])),
    )


def ground_truth_sequences(table: RecordTable) -> list[PoseSequence]:
    """Returns the annotated videos of a table as ground truth for PoseTrack's metrics; crowds are left out.

    Raises:
        ValueError: The annotations lack head boxes or track ids, which the metrics require.
    """
    people = table.people
    is_labeled = (people["visibility"] > 0).any(axis=1) & (people["is_crowd"] == 0)
    lacks = {
        "a head box": ~np.isfinite(people["head_box"]).all(axis=1),
        "a track id": people["track_id"] < 0,
    }
    for what, is_lacking in lacks.items():
        count = int((is_lacking & is_labeled).sum())
        if count:
            raise ValueError(f"{count} of {int(is_labeled.sum())} annotated people lack {what}")
    return [
        _build_sequence(table, name, [_annotated_frame(table, row, is_labeled) for row in rows])
        for name, rows in rows_by_sequence(table).items()
    ]


def _annotated_frame(table: RecordTable, row: int, is_wanted: np.ndarray) -> Frame:
    start, stop = table.first_person[row], table.first_person[row + 1]
    rows = start + np.flatnonzero(is_wanted[start:stop])
    people, joints = table.people, table.skeleton.joints
    visibility = map_joints(people["visibility"][rows][..., None], joints, POSETRACK15.joints)[..., 0]
    return build_frame(
        table.images["file_name"][row],
        int(table.images["frame"][row]),
        keypoints=map_joints(people["keypoints"][rows], joints, POSETRACK15.joints),
        visibility=visibility,
        track_ids=people["track_id"][rows],
        image_id=int(table.images["image_id"][row]),
        is_labeled=bool(table.images["is_labeled"][row]),
        head_boxes=people["head_box"][rows].astype(np.float64),
        ignore_regions=tuple(region.astype(np.float64) for region in table.images["ignore_regions"][row]),
    )
