"""Scores of predicted people against the annotations of a record table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpose.coco import PersonAnnotations, build_person_annotations
from tfpose.data.records import RecordTable
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.person_keypoints import PersonBoxes, poses_by_image
from tfpose.metrics.coco import coco_average_precision
from tfpose.metrics.keypoints import CorrectKeypoints, pck, torso_diagonals
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, map_joints

TORSO_JOINTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def table_annotations(table: RecordTable, skeleton: Skeleton) -> PersonAnnotations:
    """The annotations of a table as COCO ground truth in another skeleton; joints it lacks are not labelled."""
    people = table.people
    keypoints = map_joints(people["keypoints"], table.skeleton.joints, skeleton.joints)
    visibility = map_joints(people["visibility"][..., None], table.skeleton.joints, skeleton.joints)
    sizes = np.stack([table.images["height"], table.images["width"]], axis=1)
    return build_person_annotations(
        skeleton,
        table.images["image_id"],
        table.images["file_name"],
        sizes,
        table.image_of_person,
        keypoints,
        visibility[..., 0],
        boxes=people["box"],
        areas=people["area"],
        is_crowd=people["is_crowd"] > 0,
    )


def score_poses(table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton) -> dict[str, float]:
    """COCO's AP and AR in percent of the poses of every image."""
    return coco_average_precision(table_annotations(table, skeleton), poses)


def count_correct_keypoints(
    table: RecordTable, people: PersonBoxes, keypoints: np.ndarray, skeleton: Skeleton
) -> CorrectKeypoints | None:
    """PCK@0.2 of the torso diagonal; None where the boxes or the skeleton do not allow it.

    Args:
        table: the records.
        people: ground-truth boxes.
        keypoints: [N, J, 2] predicted in these boxes, in image pixels.
        skeleton: of the keypoints.
    """
    if not set(TORSO_JOINTS) <= set(skeleton.joints) or np.any(people.rows < 0):
        return None
    joints = table.skeleton.joints
    true = map_joints(table.people["keypoints"][people.rows], joints, skeleton.joints)
    visibility = table.people["visibility"][people.rows][..., None]
    is_labeled = map_joints(visibility, joints, skeleton.joints)[..., 0] > 0
    sizes = torso_diagonals(true, is_labeled, skeleton)
    return pck(keypoints, true, is_labeled, sizes)


def score_people(
    table: RecordTable,
    people: PersonBoxes,
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    system: KeypointSystem,
) -> dict[str, float]:
    """AP and AR, and PCK where it can be told, in percent."""
    poses = poses_by_image(table, people, keypoints, joint_scores, system)
    metrics = score_poses(table, poses, system.skeleton)
    counts = count_correct_keypoints(table, people, keypoints, system.skeleton)
    if counts is not None:
        metrics["PCK"] = 100 * counts.over_all_keypoints
    return metrics
