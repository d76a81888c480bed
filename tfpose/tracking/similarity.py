"""Distances between the people of a frame and known tracks, and `SIMILARITIES`, the measures for trackers.

A new similarity takes a function and an entry of `SIMILARITIES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tfpose.boxes import areas, intersection_over_union
from tfpose.oks import object_keypoint_similarity
from tfpose.skeletons import Skeleton


def masked_median(values: np.ndarray, is_counted: np.ndarray) -> np.ndarray:
    """Returns the median along the last axis of the values that count.

    Args:
        values: [..., N] numbers with N > 0, in any unit; those that do not count may be NaN.
        is_counted: [..., N] bool, whether each number counts.

    Returns:
        [...] medians: the mean of the two middle values for an even count, infinity where nothing counts.

    Example:
        >>> masked_median(np.array([1.0, 9.0, 3.0, 7.0]), np.array([True, True, True, False])).item()
        3.0
    """
    # numpy.nanmedian takes about twenty times as long on arrays as small as those of one frame.
    ordered = np.sort(np.where(is_counted, values, np.inf), axis=-1)
    count = is_counted.sum(axis=-1, keepdims=True)
    lower = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    upper = np.take_along_axis(ordered, count // 2, axis=-1)
    return ((lower + upper) / 2)[..., 0]


def median_joint_distances(track_keypoints: np.ndarray, keypoints: np.ndarray, is_common: np.ndarray) -> np.ndarray:
    """Returns the median over joints of the distance between two poses.

    Payer et al. 2017, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
    Single Heatmap Regression Network", section 3.

    Args:
        track_keypoints: [T, J, 2] keypoints of the tracks, in pixels.
        keypoints: [P, J, 2] keypoints of the people, in the same pixels.
        is_common: [T, P, J] bool, whether both poses have the joint.

    Returns:
        [T, P] distances in pixels; infinity where two poses have no joint in common.
    """
    offsets = track_keypoints[:, None] - keypoints[None]
    return masked_median(np.hypot(offsets[..., 0], offsets[..., 1]), is_common)


def oks_distances(
    track_keypoints: np.ndarray,
    keypoints: np.ndarray,
    is_common: np.ndarray,
    track_boxes: np.ndarray,
    boxes: np.ndarray,
    sigmas: np.ndarray,
) -> np.ndarray:
    """Returns one minus the object keypoint similarity (OKS) over the joints that both poses have.

    Args:
        track_keypoints: [T, J, 2] keypoints of the tracks, in pixels.
        keypoints: [P, J, 2] keypoints of the people, in the same pixels.
        is_common: [T, P, J] bool, whether both poses have the joint.
        track_boxes: [T, 4] xyxy boxes of the tracks, whose areas are the people's sizes.
        boxes: [P, 4] xyxy boxes of the people.
        sigmas: [J] OKS constants.

    Returns:
        [T, P] distances in [0, 1]; infinity where two poses have no joint in common.
    """
    similarities = object_keypoint_similarity(
        track_keypoints, keypoints, areas(track_boxes), areas(boxes), sigmas, is_common
    )
    return np.where(is_common.any(axis=-1), 1 - similarities, np.inf)


def iou_distances(track_boxes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns [T, P] one minus intersection over union, in [0, 1], of boxes [T, 4] and [P, 4] xyxy."""
    return 1 - intersection_over_union(track_boxes, boxes)


class Candidates(Protocol):
    """N tracks or people as a similarity sees them.

    Attributes:
        keypoints: [N, J, 2] in original image pixels; where a track's joints are expected in the current frame.
        is_present: [N, J] bool, whether the joint is known.
        boxes: [N, 4] xyxy, in the same pixels.
    """

    keypoints: np.ndarray
    is_present: np.ndarray
    boxes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Similarity:
    """A measure for deciding whether a person can continue a track.

    Attributes:
        distances: Function of T tracks, P people and their skeleton that returns [T, P] distances; infinity where a
            person cannot continue a track.
        threshold: Name of the field of `TrackerSettings` that says how near a match must be.
        max_distance: Function of the threshold that returns the distance below which a match must be.
        needs_skeleton: Whether the function needs the skeleton, which is None otherwise.
    """

    distances: Callable[[Candidates, Candidates, Skeleton | None], np.ndarray]
    threshold: str
    max_distance: Callable[[float], float]
    needs_skeleton: bool = False


def _find_common_joints(tracks: Candidates, people: Candidates) -> np.ndarray:
    """Returns [T, P, J] bool, whether both have the joint."""
    return tracks.is_present[:, None] & people.is_present[None]


def _compare_joints(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    del skeleton
    return median_joint_distances(tracks.keypoints, people.keypoints, _find_common_joints(tracks, people))


def _compare_oks(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    if skeleton is None:
        raise ValueError("skeleton must be given for the similarity 'oks', got None")
    is_common = _find_common_joints(tracks, people)
    return oks_distances(tracks.keypoints, people.keypoints, is_common, tracks.boxes, people.boxes, skeleton.sigmas)


def _compare_boxes(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    del skeleton
    return iou_distances(tracks.boxes, people.boxes)


SIMILARITIES = {
    "joint_distance": Similarity(_compare_joints, "max_joint_distance_pixels", lambda pixels: pixels),
    "oks": Similarity(_compare_oks, "min_oks", lambda least: 1 - least, needs_skeleton=True),
    "iou": Similarity(_compare_boxes, "min_iou", lambda least: 1 - least),
}
