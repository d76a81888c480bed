"""Corrupts annotated poses so that they resemble predictions: noise, outliers, lost joints, lost and false people."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfpose.boxes import around_keypoints
from tfpose.metrics.matching import head_sizes
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence, poses_from_frame
from tfpose.posetrack.sequences import POSETRACK_BOX_MARGIN


@dataclasses.dataclass(frozen=True)
class Corruption:
    """Amount of corruption, which was chosen once, before any tracker was run on it.

    The corrupted poses have a joint precision of 75 percent and a recall of 70 percent (Payer et al., 2017, on
    PoseTrack validation: 73 and 62). Scores separate right from wrong only in part. Noise is independent in each frame,
    which favors smoothing and filling: a real network repeats its errors.

    Attributes:
        noise: Standard deviation of x and y of a joint, in head sizes.
        outlier_share: Share of joints with larger noise and lower scores.
        outlier_noise: Standard deviation of x and y of these joints, in head sizes.
        lost_joint_share: Share of joints that are lost.
        lost_person_share: Share of people that are lost in a frame, independent of other frames.
        occlusion_rate: Probability per frame that a person is lost for several frames.
        occlusion_frames: Smallest and largest number of these frames.
        false_people_per_frame: Mean number of poses from anywhere in the video that are put at random places.
        double_share: Share of people that are found a second time, with noise and half of their joints.
        double_noise: Standard deviation of x and y of the joints of these people, in head sizes.
        true_score: Parameters of the beta distribution of the scores of joints near the truth.
        outlier_score: Parameters of the distribution of the scores of outliers.
        false_score: Parameters of the distribution of the scores of false and double people.
    """

    noise: float = 0.12
    outlier_share: float = 0.06
    outlier_noise: float = 1.0
    lost_joint_share: float = 0.1
    lost_person_share: float = 0.05
    occlusion_rate: float = 0.015
    occlusion_frames: tuple[int, int] = (2, 7)
    false_people_per_frame: float = 0.6
    double_share: float = 0.04
    double_noise: float = 0.35
    true_score: tuple[float, float] = (7.0, 2.5)
    outlier_score: tuple[float, float] = (3.0, 4.0)
    false_score: tuple[float, float] = (3.0, 5.0)


def corrupt_sequence(sequence: PoseSequence, rng: np.random.Generator, corruption: Corruption) -> list[Poses]:
    """Corrupts the poses of an annotated sequence and removes their identities.

    Args:
        sequence: Ground truth with head boxes.
        rng: Source of the corruption.
        corruption: Amount of corruption.

    Returns:
        The poses of each frame, in random order.
    """
    truth = [poses_from_frame(frame) for frame in sequence.frames]
    poses_of_video = [(k, s > 0) for poses in truth for k, s in zip(poses.keypoints, poses.joint_scores, strict=True)]
    poses_of_video = [(keypoints, is_joint) for keypoints, is_joint in poses_of_video if is_joint.any()]
    hidden_until: dict[int, int] = {}
    frames = []
    for number, (poses, frame) in enumerate(zip(truth, sequence.frames, strict=True)):
        heads = head_sizes(frame.head_boxes)
        is_found = _find_people(poses.track_ids, number, hidden_until, rng, corruption)
        is_double = rng.random(len(poses)) < corruption.double_share
        parts = [
            _noisy_people(poses.select(is_found), heads[is_found], rng, corruption),
            _double_people(poses.select(is_double), heads[is_double], rng, corruption),
            _false_people(poses_of_video, poses.keypoints.shape[1], rng, corruption),
        ]
        keypoints, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = rng.permutation(len(keypoints))
        order = order[(scores[order] > 0).any(axis=1)]
        frames.append(_build_poses(keypoints[order], scores[order]))
    return frames


def _find_people(
    track_ids: np.ndarray,
    frame: int,
    hidden_until: dict[int, int],
    rng: np.random.Generator,
    corruption: Corruption,
) -> np.ndarray:
    """Draws which people are found, [P] bool; updates the frames until which people are hidden."""
    is_found = rng.random(len(track_ids)) >= corruption.lost_person_share
    for person, track_id in enumerate(track_ids.tolist()):
        if hidden_until.get(track_id, 0) <= frame and rng.random() < corruption.occlusion_rate:
            shortest, longest = corruption.occlusion_frames
            hidden_until[track_id] = frame + int(rng.integers(shortest, longest + 1))
        is_found[person] &= hidden_until.get(track_id, 0) <= frame
    return is_found


def _noisy_people(
    poses: Poses, heads: np.ndarray, rng: np.random.Generator, corruption: Corruption
) -> tuple[np.ndarray, np.ndarray]:
    """Draws keypoints [P, J, 2] and joint scores [P, J]."""
    shape = poses.joint_scores.shape
    is_outlier = rng.random(shape) < corruption.outlier_share
    noise = heads[:, None] * np.where(is_outlier, corruption.outlier_noise, corruption.noise)
    keypoints = poses.keypoints + rng.normal(0, 1, (*shape, 2)) * noise[..., None]
    scores = np.where(is_outlier, rng.beta(*corruption.outlier_score, shape), rng.beta(*corruption.true_score, shape))
    is_joint = (poses.joint_scores > 0) & (rng.random(shape) >= corruption.lost_joint_share)
    return keypoints, scores * is_joint


def _double_people(
    poses: Poses, heads: np.ndarray, rng: np.random.Generator, corruption: Corruption
) -> tuple[np.ndarray, np.ndarray]:
    shape = poses.joint_scores.shape
    keypoints = poses.keypoints + rng.normal(0, corruption.double_noise, (*shape, 2)) * heads[:, None, None]
    is_joint = (poses.joint_scores > 0) & (rng.random(shape) < 0.5)
    return keypoints, rng.beta(*corruption.false_score, shape) * is_joint


def _false_people(
    poses_of_video: list[tuple[np.ndarray, np.ndarray]],
    num_joints: int,
    rng: np.random.Generator,
    corruption: Corruption,
) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([keypoints[is_joint] for keypoints, is_joint in poses_of_video])
    count = rng.poisson(corruption.false_people_per_frame)
    keypoints, scores = np.zeros((count, num_joints, 2)), np.zeros((count, num_joints))
    for person in range(count):
        pose, is_joint = poses_of_video[rng.integers(len(poses_of_video))]
        place = rng.uniform(points.min(axis=0), points.max(axis=0))
        keypoints[person] = pose - pose[is_joint].mean(axis=0) + place
        scores[person] = rng.beta(*corruption.false_score, num_joints) * is_joint
    return keypoints, scores


def _build_poses(keypoints: np.ndarray, joint_scores: np.ndarray) -> Poses:
    is_joint = joint_scores > 0
    return Poses(
        keypoints=keypoints,
        joint_scores=joint_scores,
        scores=joint_scores.sum(axis=1) / np.maximum(is_joint.sum(axis=1), 1),
        boxes=around_keypoints(keypoints, is_joint, relative_margin=POSETRACK_BOX_MARGIN),
        track_ids=np.full(len(keypoints), -1),
    )
