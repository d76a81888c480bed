"""Shares of correct keypoints (PCK, PCKh) of single people. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfpose.metrics.matching import head_sizes
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class CorrectKeypoints:
    """Counts of correct keypoints, which are added over batches and divided at the end.

    Attributes:
        correct: [J] int number of keypoints close enough to their label.
        labeled: [J] int number of keypoints that count.
    """

    correct: np.ndarray
    labeled: np.ndarray

    def __add__(self, other: CorrectKeypoints) -> CorrectKeypoints:
        return CorrectKeypoints(self.correct + other.correct, self.labeled + other.labeled)

    @property
    def per_joint(self) -> np.ndarray:
        """The shares [J] in [0, 1]; NaN for a joint that was never labeled."""
        shares = self.correct / np.maximum(self.labeled, 1)
        return np.where(self.labeled > 0, shares, np.nan)

    @property
    def mean_over_joints(self) -> float:
        """The mean of the shares of the joints that were labeled at all; NaN if none was."""
        shares = self.per_joint[self.labeled > 0]
        return float(shares.mean()) if len(shares) else float("nan")

    @property
    def over_all_keypoints(self) -> float:
        """The share of all labeled keypoints, whatever their joint; NaN if there is none."""
        total = int(self.labeled.sum())
        return float(self.correct.sum() / total) if total else float("nan")


def pck(
    predicted: np.ndarray,
    true: np.ndarray,
    is_visible: np.ndarray,
    normalizers: np.ndarray,
    threshold: float = 0.2,
) -> CorrectKeypoints:
    """Counts keypoints whose error is at most `threshold` times their person's size.

    Percentage of correct keypoints, Yang and Ramanan 2013, "Articulated Human Detection with
    Flexible Mixtures of Parts"; what a person's size is differs by dataset: the torso diagonal for
    LSP and FLIC (`torso_diagonals`), the larger side of the person's box in the paper.

    Args:
        predicted: [N, J, 2] predicted keypoints in pixels; NaN for a missing keypoint, which is wrong.
        true: [N, J, 2] labels in the same pixels, finite where visible.
        is_visible: [N, J] bool, whether the keypoint is labeled and counts.
        normalizers: [N] size of each person in pixels; NaN leaves the person out.
        threshold: Largest error that is correct, as a share of the size.

    Returns:
        The counts of each joint.

    Raises:
        ValueError: Shapes do not fit, a normalizer is not positive, or a visible label is not finite.

    Example:
        >>> origin = np.zeros((1, 1, 2))
        >>> pck(origin + [3, 4], origin, np.ones((1, 1)), np.array([25.0])).over_all_keypoints
        1.0
    """
    is_visible = np.asarray(is_visible, dtype=bool)
    _check_keypoints(predicted, true, is_visible, normalizers)
    counts = is_visible & ~np.isnan(normalizers)[:, None]
    errors = np.linalg.norm(np.asarray(predicted, np.float64) - true, axis=-1)  # [N, J]
    is_correct = counts & (errors <= threshold * np.asarray(normalizers)[:, None])
    return CorrectKeypoints(is_correct.sum(axis=0), counts.sum(axis=0))


def pckh(
    predicted: np.ndarray,
    true: np.ndarray,
    is_visible: np.ndarray,
    head_boxes: np.ndarray,
    threshold: float = 0.5,
) -> CorrectKeypoints:
    """Computes PCK relative to the head: a keypoint is correct within half the length of the head segment.

    Andriluka et al. 2014, "2D Human Pose Estimation: New Benchmark and State of the Art Analysis",
    PCKh@0.5: the head segment is steadier under articulation than the torso. Its length is
    0.6 times the diagonal of the head box, as in the evaluation toolkit of that dataset (MPII).

    Args:
        predicted: [N, J, 2] predicted keypoints in pixels; NaN for a missing keypoint.
        true: [N, J, 2] labels in the same pixels.
        is_visible: [N, J] bool, whether the keypoint is labeled and counts.
        head_boxes: [N, 4] xyxy in pixels, around each labeled head; NaN leaves the person out.
        threshold: Largest error that is correct, as a share of the segment.

    Returns:
        The counts of each joint.

    Raises:
        ValueError: as `pck`, or a head box without extent.
    """
    if np.shape(head_boxes) != (len(true), 4):
        raise ValueError(f"head_boxes must be {(len(true), 4)}, got {np.shape(head_boxes)}")
    return pck(predicted, true, is_visible, head_sizes(np.asarray(head_boxes, np.float64)), threshold)


def torso_diagonals(keypoints: np.ndarray, is_visible: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Returns the distance from a shoulder to the opposite hip, the size that PCK on LSP is relative to.

    Args:
        keypoints: [N, J, 2] labels in pixels.
        is_visible: [N, J] bool, whether the keypoint is labeled.
        skeleton: Skeleton of the keypoints; it must have both shoulders and both hips.

    Returns:
        [N] distances in pixels from the right shoulder to the left hip; where one of these is not labeled, from the
        left shoulder to the right hip. NaN where that fails too or the distance is 0.

    Raises:
        ValueError: The skeleton lacks one of the joints.
    """
    is_visible = np.asarray(is_visible, dtype=bool)
    sizes = np.full(len(keypoints), np.nan)
    for shoulder, hip in (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")):
        a, b = skeleton.index(shoulder), skeleton.index(hip)
        distances = np.linalg.norm(keypoints[:, a] - keypoints[:, b], axis=-1)
        is_usable = is_visible[:, a] & is_visible[:, b] & (distances > 0)
        sizes = np.where(is_usable, distances, sizes)
    return sizes


def _check_keypoints(predicted: np.ndarray, true: np.ndarray, is_visible: np.ndarray, normalizers: np.ndarray) -> None:
    if np.ndim(true) != 3 or np.shape(true)[2] != 2:
        raise ValueError(f"true must be [people, joints, 2], got {np.shape(true)}")
    people, joints = np.shape(true)[:2]
    expected = {
        "predicted": (predicted, (people, joints, 2)),
        "is_visible": (is_visible, (people, joints)),
        "normalizers": (normalizers, (people,)),
    }
    for name, (values, shape) in expected.items():
        if np.shape(values) != shape:
            raise ValueError(f"{name} must be {shape} beside true {np.shape(true)}, got {np.shape(values)}")
    sizes = np.asarray(normalizers, np.float64)
    is_bad = ~np.isnan(sizes) & ~((sizes > 0) & np.isfinite(sizes))
    if is_bad.any():
        person = int(np.flatnonzero(is_bad)[0])
        raise ValueError(f"normalizers must be positive (or NaN), got {sizes[person]} at {person}")
    is_lost = is_visible & ~np.isfinite(true).all(axis=-1)
    if is_lost.any():
        person, joint = (int(i) for i in np.argwhere(is_lost)[0])
        raise ValueError(
            f"true must be finite where visible, got {true[person][joint]} for person {person}, joint {joint}"
        )
