"""Converts poses of any skeleton to the joints of PoseTrack's files. NumPy only."""

from __future__ import annotations

import numpy as np

from tfpose.poses import Poses
from tfpose.skeletons import POSETRACK15, Skeleton, map_joints

# The eyes lie about halfway between chin and crown. The chin is about as far above the shoulders as below the eyes.
_NECK_FROM_SHOULDERS = 0.3
_CROWN_BEYOND_FACE = 0.7
_FACE_JOINTS = ("left_eye", "right_eye", "left_ear", "right_ear")


def posetrack_poses(poses: Poses, skeleton: Skeleton) -> Poses:
    """Returns poses with the 15 joints of PoseTrack; joints that the skeleton lacks have a score of 0."""
    return map_poses(poses, skeleton, POSETRACK15)


def map_poses(poses: Poses, skeleton: Skeleton, target_skeleton: Skeleton) -> Poses:
    """Returns poses with the joints of another skeleton, by name; joints that the first lacks have a score of 0."""
    joints, target = skeleton.joints, target_skeleton.joints
    return Poses(
        keypoints=map_joints(poses.keypoints, joints, target),
        joint_scores=map_joints(poses.joint_scores[..., None], joints, target)[..., 0],
        scores=poses.scores,
        boxes=poses.boxes,
        track_ids=poses.track_ids,
    )


def can_infer_head_joints(skeleton: Skeleton) -> bool:
    """Returns whether a skeleton lacks both joints that `infer_head_joints` guesses, and has those that it needs."""
    joints = set(skeleton.joints)
    needed = {*_FACE_JOINTS, "left_shoulder", "right_shoulder"}
    return needed <= joints and not joints & {"head_bottom", "head_top"}


def infer_head_joints(poses: Poses, skeleton: Skeleton) -> Poses:
    """Returns poses with PoseTrack's joints, head_bottom and head_top guessed from shoulders, eyes and ears.

    COCO's skeleton lacks both joints; Honda et al., 2018 report 27.8 AP for the head of a network that knows COCO's
    joints only. A guessed joint lies at a fixed share of the way from the middle of the shoulders to the face, or
    beyond the face. If one of the shoulders, eyes and ears was not found, the guessed joints have a score of 0.

    Raises:
        ValueError: The skeleton lacks shoulders, eyes or ears.
    """
    face = np.mean([poses.keypoints[:, skeleton.index(joint)] for joint in _FACE_JOINTS], axis=0)
    shoulders = [skeleton.index(f"{side}_shoulder") for side in ("left", "right")]
    middle = poses.keypoints[:, shoulders].mean(axis=1)
    guesses = {
        "head_bottom": middle + _NECK_FROM_SHOULDERS * (face - middle),
        "head_top": face + _CROWN_BEYOND_FACE * (face - middle),
    }
    sources = [*shoulders, *(skeleton.index(joint) for joint in _FACE_JOINTS)]
    scores = poses.joint_scores[:, sources]
    # A joint that was not found has no place.
    score = np.where((scores > 0).all(axis=1), scores.mean(axis=1), 0.0)
    mapped = posetrack_poses(poses, skeleton)
    for joint, position in guesses.items():
        mapped.keypoints[:, POSETRACK15.index(joint)] = position
        mapped.joint_scores[:, POSETRACK15.index(joint)] = score
    return mapped
