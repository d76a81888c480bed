"""Metrics of predicted people against the annotations of a record table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpose.coco import PersonAnnotations, build_person_annotations
from tfpose.data.records import RecordTable
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.person_keypoints import PersonBoxes, poses_by_image
from tfpose.metrics.coco import coco_average_precision
from tfpose.metrics.keypoints import CorrectKeypoints, pck, pckh, torso_diagonals
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, map_joints

TORSO_JOINTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


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
        np.asarray(table.images["image_id"]),
        list(table.images["file_name"]),
        sizes,
        table.image_of_person,
        keypoints,
        visibility[..., 0],
        boxes=people["box"],
        areas=people["area"],
        is_crowd=people["is_crowd"] > 0,
    )


def score_poses(table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton) -> dict[str, float]:
    """Returns COCO's AP and AR of the poses of every image, in percent."""
    return coco_average_precision(table_annotations(table, skeleton), poses)


def count_correct_keypoints(
    table: RecordTable, people: PersonBoxes, keypoints: np.ndarray, skeleton: Skeleton
) -> dict[str, CorrectKeypoints]:
    """Counts the keypoints within 0.2 of the torso diagonal ('pck') and within 0.5 of the head size ('pckh').

    Args:
        table: Records; PCKh requires head boxes.
        people: Annotated boxes. A box of a detector does not say whose keypoints it holds, so nothing is counted.
        keypoints: Keypoints predicted in these boxes, [N, J, 2] in image pixels.
        skeleton: Skeleton of the keypoints; PCK requires shoulders and hips.

    Returns:
        The counts by name; a metric whose requirements are not met is left out.
    """
    if np.any(people.rows < 0):
        return {}
    joints = table.skeleton.joints
    true = map_joints(table.people["keypoints"][people.rows], joints, skeleton.joints)
    visibility = table.people["visibility"][people.rows][..., None]
    is_labeled = map_joints(visibility, joints, skeleton.joints)[..., 0] > 0
    counts = {}
    if set(TORSO_JOINTS) <= set(skeleton.joints):
        counts["pck"] = pck(keypoints, true, is_labeled, torso_diagonals(true, is_labeled, skeleton))
    head_boxes = table.people["head_box"][people.rows]
    has_extent = (head_boxes[:, 2:] > head_boxes[:, :2]).all(axis=1, keepdims=True)
    head_boxes = np.where(has_extent, head_boxes, np.nan)
    if np.isfinite(head_boxes).all(axis=1).any():
        counts["pckh"] = pckh(keypoints, true, is_labeled, head_boxes)
    return counts


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
    counts = count_correct_keypoints(table, people, keypoints, system.skeleton)
    names = {"pck": "PCK", "pckh": "PCKh"}
    metrics |= {names[name]: 100 * count.over_all_keypoints for name, count in counts.items()}
    return metrics
