"""The peaks that the single heatmap network finds in a frame, and the people among them. NumPy only.

The thresholds of Payer et al. 2017, section 2, act after the network, so they can be searched without running it again:
`select_people` gives the same people from peaks that were found with lower thresholds.
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
    """The settings that turn heatmaps into people. The defaults are the best values of Payer et al. 2017, section 4.

    Attributes:
        head_threshold: Value of the head map above which a local maximum is a head.
        head_distance_cells: Distance in heatmap cells within which a head removes all weaker heads; 0 removes none.
        joint_threshold: A joint is dropped if the maximum of its map is lower.
        person_threshold: A person is dropped if the maxima of all joints, also of dropped joints, add up to less. A
            person without any joint is dropped too.
        refine: 'none' places a joint at its highest cell, 'quadratic' at the top of a parabola through the highest cell
            and its neighbors on each axis.
        use_flip_test: Average all maps with the maps of the mirrored frame, for twice the time and memory. Payer does
            not.
        max_people: Number of the strongest heads of a frame that are kept; 0 keeps all.
        people_per_chunk: Number of heads that go through the second network at once, which limits the memory of crowded
            frames.
        head_mask_sigma_cells: Standard deviation in heatmap cells of the Gaussian around the head of the person of
            interest, as in training.

    Raises:
        ValueError: Names the setting, its rule and the value.
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
        """The largest squared distance, in whole cells, at which a head removes a weaker head."""
        return math.floor(self.head_distance_cells**2)


@dataclasses.dataclass(frozen=True)
class Peaks:
    """The heads of one frame, strongest first, with the joints that belong to each.

    Attributes:
        heads: Cells of the heads, [M, 2] int (x, y).
        head_scores: Values of the head map at the heads, [M] float32.
        keypoints: Places of the joints in pixels of the original image, [M, J, 2] float64 (x, y).
        joint_scores: Maxima of the joints' maps, [M, J] float32.
    """

    heads: np.ndarray
    head_scores: np.ndarray
    keypoints: np.ndarray
    joint_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.heads)

    def select(self, indices: np.ndarray | slice) -> Peaks:
        """Returns the heads at these positions (or where this mask is true), in this order."""
        return Peaks(**{f.name: getattr(self, f.name)[indices] for f in dataclasses.fields(self)})


def select_people(peaks: Peaks, settings: SingleNetworkSettings) -> Poses:
    """Returns the people of a frame under these thresholds.

    The peaks must have been found with `settings` themselves, or with a lower `head_threshold`, `head_distance_cells` 0
    and `max_people` 0. Both give the same people. `refine`, the flip test and the head mask act before the peaks are
    found, so `settings` cannot change them here.

    Args:
        peaks: Peaks of the frame.
        settings: Thresholds.

    Returns:
        People, strongest heads first. The score of a joint is the value of its map, 0 for a dropped joint. The score of
        a person is the mean over the joints that are kept. The box holds these joints, with PoseTrack's margin.
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
    """Finds the heads that no stronger head removes; a head that is removed removes none.

    Args:
        heads: Whole cells, [M, 2], strongest first.
        squared_distance: Largest squared distance in cells within which a head removes a weaker one; 0 keeps all.

    Returns:
        [M] bool, true for the heads that are kept.
    """
    is_kept = np.ones(len(heads), bool)
    if squared_distance == 0:
        return is_kept
    for index in range(len(heads)):
        if is_kept[index]:
            is_kept[index + 1 :] &= ~are_near(heads[index + 1 :], heads[index], squared_distance, np)
    return is_kept


def are_near(heads: Array, others: Array, squared_distance: int, xp: Any) -> Array:
    """Compares heads by their distance; the one formula for searches (NumPy) and graphs.

    Args:
        heads: Whole cells, [..., 2].
        others: Whole cells, [..., 2].
        squared_distance: Largest squared distance in cells within which a head removes a weaker one.
        xp: `numpy` or `keras.ops`, whichever the heads belong to.

    Returns:
        [...] bool.
    """
    return xp.sum(xp.square(heads - others), axis=-1) <= squared_distance


def apply_thresholds(joint_values: Array, settings: SingleNetworkSettings, xp: Any) -> tuple[Array, Array, Array]:
    """Applies the thresholds of joints and people; the one formula for searches (NumPy) and graphs.

    Args:
        joint_values: Maxima of the joints' maps, [M, J] float64.
        settings: Thresholds.
        xp: `numpy` or `keras.ops`, whichever the values belong to.

    Returns:
        [M] bool, true for people; joint scores [M, J], 0 for dropped joints; and person scores [M], the mean over the
        joints that are kept.
    """
    # Thresholds in the precision of the maps: a value of exactly 0.3 is not below 0.3.
    is_joint = xp.logical_and(joint_values >= float(np.float32(settings.joint_threshold)), joint_values > 0)
    joint_scores = xp.where(is_joint, joint_values, xp.zeros_like(joint_values))
    counts = xp.sum(xp.where(is_joint, xp.ones_like(joint_values), xp.zeros_like(joint_values)), axis=-1)
    scores = xp.sum(joint_scores, axis=-1) / xp.maximum(counts, xp.ones_like(counts))
    is_strong = xp.sum(joint_values, axis=-1) >= settings.person_threshold
    return xp.logical_and(is_strong, counts > 0), joint_scores, scores
