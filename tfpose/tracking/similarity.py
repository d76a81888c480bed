"""Distances between the people of a frame and known tracks, and `SIMILARITIES`, the measures for trackers.

A new similarity takes a function and an entry of `SIMILARITIES`.
"""

from __future__ import annotations

import dataclasses
import functools
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
    ordered = np.where(is_counted, values, np.inf)
    ordered.sort(axis=-1)
    middles = _middle_values(ordered, np.add.reduce(is_counted, axis=-1, dtype=np.intp))
    return (middles[..., 0] + middles[..., 1]) / 2


def _middle_values(ordered: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns [..., 2] the two middle numbers among the first ones of each row; one number twice for an odd count.

    Args:
        ordered: [..., N] numbers, ascending in each row.
        counts: How many of the first numbers count, broadcasts to [...]; 0 returns the first number.
    """
    size = ordered.shape[-1]
    firsts = np.arange(0, ordered.size, size).reshape(*ordered.shape[:-1], 1)
    return ordered.reshape(-1).take(firsts + _middle_places(size).take(counts, axis=0))


@functools.lru_cache(maxsize=32)
def _middle_places(size: int) -> np.ndarray:
    """Returns [size + 1, 2] the places of the two middle numbers among as many numbers as the row says."""
    counts = np.arange(size + 1)
    return np.stack([np.maximum(counts - 1, 0) // 2, counts // 2], axis=1)


def median_joint_distances(
    track_keypoints: np.ndarray, keypoints: np.ndarray, is_track_joint: np.ndarray, is_joint: np.ndarray
) -> np.ndarray:
    """Returns the median over joints of the distance between two poses.

    Payer et al. 2017, "Simultaneous Multi-Person Detection and Single-Person Pose Estimation With a
    Single Heatmap Regression Network", section 3.

    Args:
        track_keypoints: [T, J, 2] keypoints of the tracks, in pixels.
        keypoints: [P, J, 2] keypoints of the people, in the same pixels.
        is_track_joint: [T, J] bool, whether the track has the joint.
        is_joint: [P, J] bool, whether the person has the joint.

    Returns:
        [T, P] distances in pixels; infinity where two poses have no joint in common.
    """
    num_tracks, num_people = len(track_keypoints), len(keypoints)
    # Whole rows of pairs in separate arrays of x and y take half the time of broadcast arrays.
    tracks, people = _pairs(num_tracks, num_people)
    # NaN is sorted behind the joints that both have.
    x = np.where(is_track_joint, track_keypoints[..., 0], np.nan).take(tracks, axis=0)  # [T * P, J]
    y = track_keypoints[..., 1].take(tracks, axis=0)
    x -= np.where(is_joint, keypoints[..., 0], np.nan).take(people, axis=0)
    y -= keypoints[..., 1].take(people, axis=0)
    lengths = np.hypot(x, y)
    lengths.sort(axis=-1)
    counts = (is_track_joint.astype(np.float64) @ is_joint.T.astype(np.float64)).astype(np.intp).reshape(-1)
    middles = _middle_values(lengths, counts)
    distances = (middles[:, 0] + middles[:, 1]) / 2
    np.copyto(distances, np.inf, where=counts == 0)
    return distances.reshape(num_tracks, num_people)


@functools.lru_cache(maxsize=256)
def _pairs(num_tracks: int, num_people: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns [T * P] tracks and [T * P] people: all pairs, by track."""
    return np.repeat(np.arange(num_tracks), num_people), np.tile(np.arange(num_people), num_tracks)


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


def _compare_joints(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    del skeleton
    return median_joint_distances(tracks.keypoints, people.keypoints, tracks.is_present, people.is_present)


def _compare_oks(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    if skeleton is None:
        raise ValueError("skeleton must be given for the similarity 'oks', got None")
    is_common = tracks.is_present[:, None] & people.is_present[None]  # [T, P, J]
    return oks_distances(tracks.keypoints, people.keypoints, is_common, tracks.boxes, people.boxes, skeleton.sigmas)


def _compare_boxes(tracks: Candidates, people: Candidates, skeleton: Skeleton | None) -> np.ndarray:
    del skeleton
    return iou_distances(tracks.boxes, people.boxes)


SIMILARITIES = {
    "joint_distance": Similarity(_compare_joints, "max_joint_distance_pixels", lambda pixels: pixels),
    "oks": Similarity(_compare_oks, "min_oks", lambda least: 1 - least, needs_skeleton=True),
    "iou": Similarity(_compare_boxes, "min_iou", lambda least: 1 - least),
}
