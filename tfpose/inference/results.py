"""What a network found in a split, as others want it: COCO results, PoseTrack sequences, pictures, lines of figures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from tfpose.coco import write_keypoint_results
from tfpose.data.pictures import decode_window
from tfpose.data.records import RecordTable
from tfpose.inference.posetrack_joints import posetrack_poses
from tfpose.metrics.keypoints import CorrectKeypoints
from tfpose.poses import Poses
from tfpose.posetrack import Frame, PoseSequence, build_frame, frame_from_poses
from tfpose.skeletons import POSETRACK15, Skeleton, map_joints
from tfpose.visualization import draw_poses

CORRECT_KEYPOINTS_TITLES = {"pck": "PCK@0.2 of the torso diagonal", "pckh": "PCKh@0.5 of the head's size"}
# The eyes lie about halfway between chin and crown, the shoulders' line about as far below the chin as the eyes above.
_NECK_FROM_SHOULDERS = 0.3
_CROWN_BEYOND_FACE = 0.7
_FACE_JOINTS = ("left_eye", "right_eye", "left_ear", "right_ear")


def write_coco_predictions(path: str | pathlib.Path, table: RecordTable, poses: Sequence[Poses]) -> None:
    """Writes the poses of all images as COCO keypoint results."""
    image_ids = np.repeat(table.images["image_id"], [len(people) for people in poses])
    columns = [
        np.concatenate([getattr(people, name) for people in poses]) for name in ("keypoints", "joint_scores", "scores")
    ]
    write_keypoint_results(path, image_ids, *columns)


def sequences_from_poses(table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton) -> list[PoseSequence]:
    """The poses of the videos of a table with the 15 joints of PoseTrack, every frame in it.

    Args:
        table: whose images the poses belong to.
        poses: per image of the table.
        skeleton: of the poses; joints go over by name.
    """
    return [
        _build_sequence(name, [_predicted_frame(table, row, posetrack_poses(poses[row], skeleton)) for row in rows])
        for name, rows in rows_by_sequence(table).items()
    ]


def rows_by_sequence(table: RecordTable) -> dict[str, list[int]]:
    """The images of each video in the order of its frames; single photos are in none."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(table.images["sequence"]):
        if name:
            rows.setdefault(name, []).append(row)
    return {name: sorted(members, key=lambda row: table.images["frame"][row]) for name, members in rows.items()}


def _build_sequence(name: str, frames: Sequence[Frame]) -> PoseSequence:
    return PoseSequence(name=name, skeleton=POSETRACK15, frames=tuple(frames), path=pathlib.Path(f"{name}.json"))


def _predicted_frame(table: RecordTable, row: int, poses: Poses) -> Frame:
    return frame_from_poses(
        table.images["file_name"][row],
        int(table.images["frame"][row]),
        poses,
        image_id=int(table.images["image_id"][row]),
        image_size=(int(table.images["height"][row]), int(table.images["width"][row])),
    )


def ground_truth_sequences(table: RecordTable) -> list[PoseSequence]:
    """The annotated videos of a table as ground truth for PoseTrack's figures; crowds are left out.

    Raises:
        ValueError: saying what the figures need and the annotations lack.
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
        _build_sequence(name, [_annotated_frame(table, row, is_labeled) for row in rows])
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


def infer_head_joints(poses: Poses, skeleton: Skeleton) -> Poses:
    """Poses in PoseTrack's skeleton with head_bottom and head_top, guessed from shoulders, eyes and ears of COCO's.

    Honda et al., 2018 report 27.8 AP for the head of a network that knows COCO's joints alone: these joints do not
    exist there. The guess is a fixed share of the way from the shoulders' middle to the face, and beyond it.

    Raises:
        ValueError: if the skeleton lacks shoulders, eyes or ears.
    """
    face = np.mean([poses.keypoints[:, skeleton.index(joint)] for joint in _FACE_JOINTS], axis=0)
    shoulders = [skeleton.index(f"{side}_shoulder") for side in ("left", "right")]
    middle = poses.keypoints[:, shoulders].mean(axis=1)
    guesses = {
        "head_bottom": middle + _NECK_FROM_SHOULDERS * (face - middle),
        "head_top": face + _CROWN_BEYOND_FACE * (face - middle),
    }
    sources = [*shoulders, *(skeleton.index(joint) for joint in _FACE_JOINTS)]
    score = poses.joint_scores[:, sources].mean(axis=1)
    mapped = posetrack_poses(poses, skeleton)
    for joint, position in guesses.items():
        mapped.keypoints[:, POSETRACK15.index(joint)] = position
        mapped.joint_scores[:, POSETRACK15.index(joint)] = score
    return mapped


def write_pictures(
    directory: str | pathlib.Path,
    table: RecordTable,
    poses: Sequence[Poses],
    skeleton: Skeleton,
    count: int,
    joint_threshold: float,
) -> None:
    """Draws the poses over `count` images, evenly spread over the table."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = np.unique(np.linspace(0, table.num_images - 1, min(count, table.num_images)).round().astype(int))
    for row in chosen:
        size = (0, 0, int(table.images["height"][row]), int(table.images["width"][row]))
        picture = draw_poses(decode_window(table.read_image_bytes(row), size), poses[row], skeleton, joint_threshold)
        name = pathlib.PurePosixPath(table.images["file_name"][row])
        path = directory / "_".join(name.with_suffix(".jpg").parts[-2:])
        if not cv2.imwrite(str(path), picture[..., ::-1]):
            raise OSError(f"{path}: cannot write the picture")


def describe_correct_keypoints(counts: CorrectKeypoints, skeleton: Skeleton) -> dict[str, Any]:
    """PCK as an entry of metrics.json, in percent."""
    per_joint = {joint: 100 * float(share) for joint, share in zip(skeleton.joints, counts.per_joint, strict=True)}
    return {
        "total": 100 * counts.over_all_keypoints,
        "mean_over_joints": 100 * counts.mean_over_joints,
        "joints": per_joint,
    }


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """The figures as lines for a terminal."""
    lines = ["COCO keypoints (object keypoint similarity), percent"]
    lines.append("  " + "  ".join(f"{name} {value:.1f}" for name, value in metrics["coco"].items()))
    for name, title in CORRECT_KEYPOINTS_TITLES.items():
        if name in metrics:
            lines.append(f"{title}: {metrics[name]['total']:.1f} over all keypoints")
            lines.append("  " + "  ".join(f"{joint} {share:.1f}" for joint, share in metrics[name]["joints"].items()))
    return "\n".join(lines)
