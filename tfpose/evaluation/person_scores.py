"""Metrics of predicted people against the annotations of a record table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfpose.boxes import intersection_over_union
from tfpose.coco import PersonAnnotations, build_person_annotations
from tfpose.data.records import RecordTable
from tfpose.evaluation.video_sequences import has_posetrack_videos
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.person_keypoints import (
    PersonBoxes,
    build_keypoint_function,
    ground_truth_boxes,
    poses_by_image,
    predict_people,
)
from tfpose.metrics.coco import STATISTICS, coco_average_precision
from tfpose.metrics.keypoints import CorrectKeypoints, pck, pckh, torso_diagonals
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, map_joints

TORSO_JOINTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
# Least overlap (IoU) of an annotated box with the box of its pose, which a tracker may have moved.
LEAST_OVERLAP = 0.5
_BATCH_SIZE = 16


def table_annotations(table: RecordTable, skeleton: Skeleton) -> PersonAnnotations:
    """Returns the annotations of a table as COCO ground truth of a skeleton.

    Joints that the table lacks are not labeled.
    """
    people = table.people
    keypoints = map_joints(people["keypoints"], table.skeleton.joints, skeleton.joints)
    visibility = map_joints(people["visibility"][..., None], table.skeleton.joints, skeleton.joints)
    sizes = np.stack([table.images["height"], table.images["width"]], axis=1)
    return build_person_annotations(
        skeleton,
        table.image_ids,
        list(table.images["file_name"]),
        sizes,
        table.image_of_person,
        keypoints,
        visibility[..., 0],
        boxes=people["box"],
        areas=people["area"],
        is_crowd=people["is_crowd"] > 0,
        category_id=table.category_id,
    )


def score_poses(table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton) -> dict[str, float]:
    """Returns COCO's AP and AR of the poses of every image, in percent, as pycocotools gives them for written files.

    PoseTrack's files hold the boxes of the people, COCO results do not; see `coco_average_precision`.
    """
    return coco_average_precision(table_annotations(table, skeleton), poses, has_boxes=has_posetrack_videos(table))


def score_network(table: RecordTable, network: Callable[[Any], Any], system: KeypointSystem) -> float:
    """Returns COCO's AP, in percent, of a keypoint network in the annotated boxes of a table."""
    people = ground_truth_boxes(table)
    found = predict_people(build_keypoint_function(network, system), table, people, system, _BATCH_SIZE)
    return float(score_poses(table, poses_by_image(table, people, *found, system), system.skeleton)["AP"])


def count_correct_keypoints(
    table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton
) -> dict[str, CorrectKeypoints]:
    """Counts the keypoints within 0.2 of the torso diagonal ('pck') and within 0.5 of the head size ('pckh').

    The keypoints of an annotated person are those of the pose whose box overlaps the annotated box most; each pose is
    taken once. All keypoints of a person without such a pose are wrong, and so are joints that are not there.

    Args:
        table: Records; PCKh requires head boxes.
        poses: Poses of every image of the table that were found in the annotated boxes. A box of a detector does not
            say whose keypoints it holds.
        skeleton: Skeleton of the poses; PCK requires shoulders and hips.

    Returns:
        The counts by name; a metric whose requirements are not met is left out.
    """
    people = ground_truth_boxes(table)
    true, is_labeled = (values[people.rows] for values in table.labeled_keypoints(skeleton))
    keypoints = _keypoints_of_boxes(people, poses, skeleton)
    counts = {}
    if _has_torso(skeleton):
        counts["pck"] = pck(keypoints, true, is_labeled, torso_diagonals(true, is_labeled, skeleton))
    head_boxes = _head_boxes(table, people)
    if _are_any(head_boxes):
        counts["pckh"] = pckh(keypoints, true, is_labeled, head_boxes)
    return counts


def _has_torso(skeleton: Skeleton) -> bool:
    return set(TORSO_JOINTS) <= set(skeleton.joints)


def _head_boxes(table: RecordTable, people: PersonBoxes) -> np.ndarray:
    """Returns the head boxes [N, 4] of people; NaN where there is none."""
    boxes = table.people["head_box"][people.rows]
    has_extent = (boxes[:, 2:] > boxes[:, :2]).all(axis=1, keepdims=True)
    return np.where(has_extent, boxes, np.nan)


def _are_any(boxes: np.ndarray) -> bool:
    return bool(np.isfinite(boxes).all(axis=1).any())


def _keypoints_of_boxes(people: PersonBoxes, poses: Sequence[Poses], skeleton: Skeleton) -> np.ndarray:
    """Returns the keypoints [N, J, 2] of the pose in each box; NaN where there is none."""
    keypoints = np.full((len(people), skeleton.num_joints, 2), np.nan)
    bounds = np.searchsorted(people.images, np.arange(len(poses) + 1))
    for found, (start, stop) in zip(poses, itertools.pairwise(bounds), strict=True):
        for person, pose in _pair_boxes(people.boxes[start:stop], found.boxes):
            is_joint = found.joint_scores[pose] > 0
            keypoints[start + person] = np.where(is_joint[:, None], found.keypoints[pose], np.nan)
    return keypoints


def _pair_boxes(boxes: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields pairs of overlapping boxes [N, 4] and [M, 4] by falling overlap, each box once."""
    overlaps = intersection_over_union(boxes, others)
    # Boxes without extent overlap nothing, not even themselves.
    overlaps[(boxes[:, None] == others).all(axis=-1)] = 1
    while overlaps.size and overlaps.max() >= LEAST_OVERLAP:
        pair = np.unravel_index(np.argmax(overlaps), overlaps.shape)
        yield int(pair[0]), int(pair[1])
        overlaps[pair[0]], overlaps[:, pair[1]] = 0, 0


def names_of_scores(table: RecordTable, people: PersonBoxes, skeleton: Skeleton) -> tuple[str, ...]:
    """Returns the names of the metrics that `score_people` gives."""
    has_heads = _are_any(_head_boxes(table, people))
    return (*STATISTICS, *["PCK"] * _has_torso(skeleton), *["PCKh"] * has_heads)


def score_people(
    table: RecordTable,
    people: PersonBoxes,
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    system: KeypointSystem,
) -> dict[str, float]:
    """Returns AP and AR, and PCK and PCKh where `count_correct_keypoints` gives them, in percent."""
    poses = poses_by_image(table, people, keypoints, joint_scores, system)
    metrics = score_poses(table, poses, system.skeleton)
    counts = count_correct_keypoints(table, poses, system.skeleton)
    names = {"pck": "PCK", "pckh": "PCKh"}
    metrics |= {names[name]: 100 * count.over_all_keypoints for name, count in counts.items()}
    return metrics
