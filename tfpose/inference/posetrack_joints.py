"""Poses of any skeleton with the joints of PoseTrack's files. NumPy only."""

from __future__ import annotations

from tfpose.poses import Poses
from tfpose.skeletons import POSETRACK15, Skeleton, map_joints


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
