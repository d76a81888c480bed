"""What the single heatmap network finds in a frame, and which of it are people. NumPy only.

The thresholds of Payer et al. 2017, section 2, act after the network, so that they can be searched without running it
again: `select_people` gives the same people from peaks that were found with lower thresholds.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np

from tfpose import boxes as box_math
from tfpose.poses import Poses
from tfpose.posetrack.sequences import POSETRACK_BOX_MARGIN

Array = Any
Refinement = Literal["none", "quadratic"]


@dataclasses.dataclass(frozen=True)
class SingleNetworkSettings:
    """How maps are read. The defaults are the best of Payer's grid search (2017, section 4).

    Attributes:
        head_threshold: a head is a local maximum of the head map above this.
        head_distance_cells: a head removes all weaker ones that are no further away than this; 0 removes none.
        joint_threshold: a joint whose map has a maximum below this is dropped.
        person_threshold: people are dropped if the maxima of all their joints, also of dropped ones, add up to less.
            So are people without any joint.
        refine: 'none' takes the highest cell for the joint, 'quadratic' the top of a parabola through it and its
            neighbours on each axis.
        use_flip_test: average all maps with those of the mirrored frame, for twice the time and memory; Payer has none.
        max_people: the strongest heads of a frame that are looked at; 0 for all.
        people_per_chunk: heads that go through the second network at once; bounds the memory of crowded frames.
        head_mask_sigma_cells: of the Gaussian around the head of the person of interest, as in training.

    Raises:
        ValueError: naming the setting, its rule and the value.
    """

    head_threshold: float = 0.2
    head_distance_cells: float = 4.0
    joint_threshold: float = 0.3
    person_threshold: float = 3.0
    refine: Refinement = "none"
    use_flip_test: bool = False
    max_people: int = 0
    people_per_chunk: int = 16
    head_mask_sigma_cells: float = 4.0

    def __post_init__(self) -> None:
        rules = {
            "head_threshold": (math.isfinite(self.head_threshold), "finite"),
            "head_distance_cells": (0 <= self.head_distance_cells < math.inf, "at least 0 and finite"),
            "joint_threshold": (0 <= self.joint_threshold < math.inf, "at least 0 and finite"),
            "person_threshold": (math.isfinite(self.person_threshold), "finite"),
            "refine": (self.refine in get_args(Refinement), f"one of {get_args(Refinement)}"),
            "max_people": (self.max_people >= 0, "at least 0"),
            "people_per_chunk": (self.people_per_chunk >= 1, "at least 1"),
            "head_mask_sigma_cells": (0 < self.head_mask_sigma_cells < math.inf, "positive and finite"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"inference: {field} must be {rule}, got {getattr(self, field)!r}")

    @property
    def squared_head_distance(self) -> int:
        """The largest squared distance between whole cells that counts as near."""
        return math.floor(self.head_distance_cells**2)


@dataclasses.dataclass(frozen=True)
class Peaks:
    """The heads of one frame, strongest first, with the joints that belong to each.

    Attributes:
        heads: [M, 2] int (x, y) in heatmap cells.
        head_scores: [M] float32 values of the head map.
        keypoints: [M, J, 2] float64 (x, y) in original image pixels.
        joint_scores: [M, J] float32 values of the joints' maps at their maxima.
    """

    heads: np.ndarray
    head_scores: np.ndarray
    keypoints: np.ndarray
    joint_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.heads)

    def select(self, indices: np.ndarray) -> Peaks:
        """The heads at these positions (or where this mask is true), in this order."""
        return Peaks(**{f.name: getattr(self, f.name)[indices] for f in dataclasses.fields(self)})


def no_peaks(num_joints: int) -> Peaks:
    """A frame without heads."""
    return Peaks(
        heads=np.zeros((0, 2), np.int32),
        head_scores=np.zeros(0, np.float32),
        keypoints=np.zeros((0, num_joints, 2)),
        joint_scores=np.zeros((0, num_joints), np.float32),
    )


def select_people(peaks: Peaks, settings: SingleNetworkSettings) -> Poses:
    """The people of a frame under these thresholds.

    Peaks found with a lower `head_threshold`, `head_distance_cells` 0 and `max_people` 0 give exactly what the network
    gives when run with `settings`; `refine`, the flip test and the head mask are those of the peaks. Peaks found with
    `settings` themselves stay.

    Args:
        peaks: of the frame.
        settings: thresholds.

    Returns:
        People by the strength of their heads. A joint's score is the value of its map, 0 where it is dropped; a
        person's score is the mean of the joints that stay; boxes are the extent of these grown as PoseTrack's.
    """
    is_head = peaks.head_scores > np.float32(settings.head_threshold)
    peaks = peaks.select(is_head)
    peaks = peaks.select(suppress_heads(peaks.heads, settings.squared_head_distance))
    peaks = peaks.select(slice(settings.max_people or None))
    is_person, joint_scores, scores = apply_thresholds(peaks.joint_scores.astype(np.float64), settings, np)
    boxes = box_math.around_keypoints(peaks.keypoints, joint_scores > 0, POSETRACK_BOX_MARGIN)
    return Poses(
        keypoints=peaks.keypoints,
        joint_scores=joint_scores,
        scores=scores,
        boxes=boxes,
        track_ids=np.full(len(peaks), -1),
    ).select(is_person)


def suppress_heads(heads: np.ndarray, squared_distance: int) -> np.ndarray:
    """Which heads no stronger one removes; a head that is removed removes none.

    Args:
        heads: [M, 2] whole cells, strongest first.
        squared_distance: heads no further apart are too near.

    Returns:
        [M] bool.
    """
    is_kept = np.ones(len(heads), bool)
    if squared_distance == 0:
        return is_kept
    for index in range(len(heads)):
        if is_kept[index]:
            is_kept[index + 1 :] &= ~are_near(heads[index + 1 :], heads[index], squared_distance, np)
    return is_kept


def are_near(heads: Array, others: Array, squared_distance: int, xp: Any) -> Array:
    """Whether heads are so close that the weaker one of the two is removed, once for NumPy and for graphs.

    Args:
        heads: [..., 2] whole cells.
        others: [..., 2] whole cells.
        squared_distance: Largest squared distance in cells that counts as near.
        xp: `numpy` or `keras.ops`, whichever the heads belong to.

    Returns:
        [...] bool.
    """
    return xp.sum(xp.square(heads - others), axis=-1) <= squared_distance


def apply_thresholds(joint_values: Array, settings: SingleNetworkSettings, xp: Any) -> tuple[Array, Array, Array]:
    """The thresholds of joints and people, once for NumPy and for graphs.

    Args:
        joint_values: [M, J] float64 maxima of the joints' maps.
        settings: thresholds.
        xp: `numpy` or `keras.ops`, whichever the values belong to.

    Returns:
        Which are people [M] bool, joint scores [M, J] with 0 for dropped joints, person scores [M]: the mean of the
        joints that stay.
    """
    # Thresholds in the precision of the maps: a value of exactly 0.3 is not below 0.3.
    is_joint = xp.logical_and(joint_values >= float(np.float32(settings.joint_threshold)), joint_values > 0)
    joint_scores = xp.where(is_joint, joint_values, xp.zeros_like(joint_values))
    counts = xp.sum(xp.where(is_joint, xp.ones_like(joint_values), xp.zeros_like(joint_values)), axis=-1)
    scores = xp.sum(joint_scores, axis=-1) / xp.maximum(counts, xp.ones_like(counts))
    is_strong = xp.sum(joint_values, axis=-1) >= settings.person_threshold
    return xp.logical_and(is_strong, counts > 0), joint_scores, scores
