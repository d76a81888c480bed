"""What an evaluation leaves behind: predictions in the layouts of COCO and PoseTrack, and metrics.json."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from tfpose.coco import write_keypoint_results
from tfpose.data.pictures import decode_window
from tfpose.data.records import RecordTable
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.json_files import write_json
from tfpose.metrics.keypoints import CorrectKeypoints
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence, frame_from_poses, write_posetrack17, write_posetrack18
from tfpose.skeletons import POSETRACK15, Skeleton, map_joints
from tfpose.visualization import draw_poses

METRICS_FILE = "metrics.json"
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


def write_posetrack_predictions(
    directory: str | pathlib.Path,
    table: RecordTable,
    poses: Sequence[Poses],
    skeleton: Skeleton,
    file_format: str = "2018",
) -> list[pathlib.Path]:
    """Writes one PoseTrack file per sequence, `<sequence>.json`, every frame in it.

    Args:
        directory: to write to.
        table: whose images the poses belong to.
        poses: per image of the table.
        skeleton: of the poses; joints go to the files by name.
        file_format: '2017' or '2018'.

    Returns:
        The files written.
    """
    write = {"2017": write_posetrack17, "2018": write_posetrack18}[file_format]
    paths = []
    for name in dict.fromkeys(table.images["sequence"]):
        rows = [i for i, sequence in enumerate(table.images["sequence"]) if sequence == name]
        rows.sort(key=lambda row: table.images["frame"][row])
        frames = tuple(
            frame_from_poses(
                table.images["file_name"][row],
                int(table.images["frame"][row]),
                posetrack_poses(poses[row], skeleton),
                image_id=int(table.images["image_id"][row]),
                image_size=(int(table.images["height"][row]), int(table.images["width"][row])),
            )
            for row in rows
        )
        path = pathlib.Path(directory) / f"{name}.json"
        write(path, PoseSequence(name=name, skeleton=POSETRACK15, frames=frames, path=path))
        paths.append(path)
    return paths


def posetrack_poses(poses: Poses, skeleton: Skeleton) -> Poses:
    """Poses with the 15 joints of PoseTrack; joints that the skeleton lacks have a score of 0."""
    joints, target = skeleton.joints, POSETRACK15.joints
    return Poses(
        keypoints=map_joints(poses.keypoints, joints, target),
        joint_scores=map_joints(poses.joint_scores[..., None], joints, target)[..., 0],
        scores=poses.scores,
        boxes=poses.boxes,
        track_ids=poses.track_ids,
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


def describe_provenance(
    table: RecordTable, boxes: str, split: str, system: KeypointSystem, **more: str
) -> dict[str, Any]:
    """Whose boxes, which labels and thresholds a score is of."""
    sequences = {name for name in table.images["sequence"] if name}
    return {
        "boxes": boxes,
        "labels": f"{table.shards[0].parent} split {split}",
        "sequences": len(sequences),
        "frames": table.num_images,
        "thresholds": {
            **dataclasses.asdict(system.selection),
            **dataclasses.asdict(system.keypoints),
        },
        **more,
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


def write_metrics(directory: str | pathlib.Path, metrics: Mapping[str, Any]) -> pathlib.Path:
    """Writes metrics.json; numbers that are not finite become null."""
    path = pathlib.Path(directory) / METRICS_FILE
    write_json(path, _without_nan(metrics), indent=2)
    return path


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
