"""Which of a teacher's people and joints become labels. NumPy only.

A second opinion, of the mirrored picture or of another model, filters the labels: Radosavovic et al., "Data
Distillation: Towards Omni-Supervised Learning", 2018, combine predictions on transformed pictures to label them.
"""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from tfpose.boxes import areas
from tfpose.oks import object_keypoint_similarity
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, joint_mapping
from tfpose.tracking.assignment import match_optimally

# Two poses with a lower similarity (OKS) are not taken for the same person.
LEAST_SIMILARITY = 0.2


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The thresholds of labels.

    Attributes:
        joint_score: Least score of a labeled joint.
        person_score: Least score of a labeled person.
        doubtful_score: Least score of a person who is ignored; people with lower scores are left out.
        min_joints: Least number of labeled joints of a labeled person.
        max_distance: Largest distance between both opinions on a joint, as a share of the person's size, which is the
            square root of the area of the box.

    Raises:
        ValueError: The scores of people are in the wrong order.
    """

    joint_score: float = 0.3
    person_score: float = 0.3
    doubtful_score: float = 0.1
    min_joints: int = 3
    max_distance: float = 0.1

    def __post_init__(self) -> None:
        if self.doubtful_score > self.person_score:
            raise ValueError(
                f"--doubtful_score must be at most --person_score={self.person_score}, got {self.doubtful_score}"
            )


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of one picture.

    Attributes:
        keypoints: [P, J, 2] in image pixels; 0 for joints that are not labeled.
        is_labeled: [P, J] bool.
        boxes: [P, 4] xyxy in image pixels.
        is_ignored: [P] bool, whether the person is doubtful; no joint of such a person is labeled.
        counts: How many people and joints were kept and left out, by reason.
    """

    keypoints: np.ndarray
    is_labeled: np.ndarray
    boxes: np.ndarray
    is_ignored: np.ndarray
    counts: collections.Counter[str]


def mirror_back(poses: Poses, width: int, skeleton: Skeleton) -> Poses:
    """Returns the poses of a mirrored picture in the pixels of the picture, left and right joints swapped.

    Args:
        poses: Poses in a picture that was mirrored left to right.
        width: Width of the picture in pixels.
        skeleton: Skeleton of the poses, whose pairs of joints swap their places.
    """
    order = skeleton.flip_order
    keypoints = poses.keypoints[:, order].astype(np.float64)
    keypoints[..., 0] = width - 1 - keypoints[..., 0]
    boxes = poses.boxes.astype(np.float64)
    boxes[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return dataclasses.replace(poses, keypoints=keypoints, joint_scores=poses.joint_scores[:, order], boxes=boxes)


def judge_poses(
    poses: Poses,
    skeleton: Skeleton,
    thresholds: Thresholds,
    second: Poses | None = None,
    second_skeleton: Skeleton | None = None,
) -> Labels:
    """Decides which people and joints of a picture become labels.

    Args:
        poses: Poses of the teacher.
        skeleton: Skeleton of the teacher, which is that of the labels.
        thresholds: Thresholds of the labels.
        second: Poses of the second opinion on the same picture; None for no such opinion.
        second_skeleton: Skeleton of the second opinion; None for that of the teacher. Joints are matched by name. A
            joint that the second opinion lacks is not compared.
    """
    counts = collections.Counter[str]()
    is_seen = poses.joint_scores > 0
    is_sure = is_seen & (poses.joint_scores >= thresholds.joint_score)
    counts["joints below the score"] = int((is_seen & ~is_sure).sum())
    is_alone, others = np.zeros(len(poses), bool), np.zeros((0, 4))
    if second is not None:
        disagrees, is_alone, others = _compare(poses, skeleton, thresholds, second, second_skeleton or skeleton)
        counts["joints in disagreement"] = int((is_sure & disagrees).sum())
        is_sure &= ~disagrees
    is_person = poses.scores >= thresholds.doubtful_score
    reasons = {
        "people ignored for their score": poses.scores < thresholds.person_score,
        "people ignored because one side alone found them": is_alone,
        "people ignored for too few joints": is_sure.sum(axis=1) < thresholds.min_joints,
    }
    is_ignored = np.zeros(len(poses), bool)
    for reason, is_doubtful in reasons.items():
        counts[reason] = int((is_person & is_doubtful & ~is_ignored).sum())
        is_ignored |= is_doubtful
    counts["people ignored because one side alone found them"] += len(others)
    counts["people left out"] = int((~is_person).sum())
    is_labeled = (is_sure & ~is_ignored[:, None])[is_person]
    counts["people labeled"] = int((is_person & ~is_ignored).sum())
    counts["joints labeled"] = int(is_labeled.sum())
    num_joints, num_others = skeleton.num_joints, len(others)
    keypoints = np.where(is_labeled[..., None], poses.keypoints[is_person], 0)
    return Labels(
        keypoints=np.concatenate([keypoints, np.zeros((num_others, num_joints, 2))]),
        is_labeled=np.concatenate([is_labeled, np.zeros((num_others, num_joints), bool)]),
        boxes=np.concatenate([poses.boxes[is_person], others]),
        is_ignored=np.concatenate([is_ignored[is_person], np.ones(num_others, bool)]),
        counts=counts,
    )


def _compare(
    poses: Poses, skeleton: Skeleton, thresholds: Thresholds, second: Poses, second_skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the joints [P, J] on which both disagree, the people [P] that the second opinion lacks, and boxes [N, 4].

    The boxes are those of people that only the second opinion has.
    """
    second = second.select(second.scores >= thresholds.doubtful_score)
    order = joint_mapping(second_skeleton.joints, skeleton.joints)
    other_keypoints = second.keypoints[:, np.maximum(order, 0)]
    is_shared = order >= 0
    similarities = object_keypoint_similarity(
        poses.keypoints, other_keypoints, areas(poses.boxes), areas(second.boxes), skeleton.sigmas, is_shared
    )
    first, other = match_optimally(1 - similarities, 1 - LEAST_SIMILARITY)
    distances = np.linalg.norm(poses.keypoints[first] - other_keypoints[other], axis=-1)
    limits = thresholds.max_distance * np.sqrt(np.maximum(areas(poses.boxes[first]), 1))
    is_absent = second.joint_scores[:, np.maximum(order, 0)][other] <= 0
    disagrees = np.zeros(poses.joint_scores.shape, bool)
    disagrees[first] = is_shared & (is_absent | ~(distances <= limits[:, None]))
    return disagrees, ~np.isin(np.arange(len(poses)), first), np.delete(second.boxes, other, axis=0)
