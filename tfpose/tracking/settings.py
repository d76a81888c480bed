"""What a tracker and the repairs after it can be told, and the settings that are known by a name. Plain Python."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

Similarity = Literal["joint_distance", "oks", "iou"]
Matching = Literal["greedy", "optimal"]
Motion = Literal["none", "velocity"]


@dataclasses.dataclass(frozen=True)
class TrackerSettings:
    """What decides which person of a frame continues which track. The defaults are Payer's.

    Attributes:
        similarity: "joint_distance" is the median distance of joints (Payer et al. 2017, section 3), "oks" the
            object keypoint similarity of the joints present in both poses, "iou" the overlap of the boxes.
        max_joint_distance_pixels: a match by joint distance is closer than this, in original image pixels.
        min_oks: a match by OKS is more alike than this, in [0, 1).
        min_iou: a match by boxes overlaps more than this, in [0, 1).
        matching: "greedy" takes the closest pair first (Payer), "optimal" minimises the total.
        max_age_frames: a track can be continued by a person up to this many frames after its last one, so
            1 allows no frame without it.
        age_penalty_per_frame: share by which the distance of a track grows for each frame it was not seen, so that
            of two tracks that are equally near the one seen later is taken; 0 treats them alike (Payer).
        min_joint_score: joints with a score of at most this are removed, from the result too.
        min_joints: people with fewer joints left are removed.
        min_person_score: people with a lower score are removed.
        min_new_track_score: people with a lower score may continue a track, but are removed where they would
            start one.
        remember_joints: a joint that is missing from the last pose of a track is taken from the pose that
            showed it last, moved along with the person since.
        motion: "none" compares with the last pose of a track (Payer), "velocity" with the pose moved on by the
            person's constant velocity, the median over its joints.
        velocity_memory: in [0, 1), share of the old velocity that stays at each match; 0 knows only the last
            two poses.
        max_prediction_frames: the velocity is applied for at most this many frames of a gap.

    Raises:
        ValueError: naming the setting, its rule and the value.
    """

    similarity: Similarity = "joint_distance"
    max_joint_distance_pixels: float = 200.0
    min_oks: float = 0.2
    min_iou: float = 0.2
    matching: Matching = "greedy"
    max_age_frames: int = 10
    age_penalty_per_frame: float = 0.0
    min_joint_score: float = 0.0
    min_joints: int = 0
    min_person_score: float = -math.inf
    min_new_track_score: float = -math.inf
    remember_joints: bool = False
    motion: Motion = "none"
    velocity_memory: float = 0.5
    max_prediction_frames: int = 10

    def __post_init__(self) -> None:
        choices = {"similarity": Similarity, "matching": Matching, "motion": Motion}
        for field, literal in choices.items():
            if getattr(self, field) not in get_args(literal):
                raise ValueError(f"{field} must be one of {get_args(literal)}, got {getattr(self, field)!r}")
        rules = {
            "max_joint_distance_pixels": (0 < self.max_joint_distance_pixels < math.inf, "positive and finite"),
            "min_oks": (0 <= self.min_oks < 1, "in [0, 1)"),
            "min_iou": (0 <= self.min_iou < 1, "in [0, 1)"),
            "max_age_frames": (self.max_age_frames >= 1, "at least 1"),
            "age_penalty_per_frame": (0 <= self.age_penalty_per_frame < math.inf, "at least 0 and finite"),
            "min_joint_score": (self.min_joint_score >= 0, "at least 0"),
            "min_joints": (self.min_joints >= 0, "at least 0"),
            "min_person_score": (not math.isnan(self.min_person_score), "a number"),
            "min_new_track_score": (not math.isnan(self.min_new_track_score), "a number"),
            "velocity_memory": (0 <= self.velocity_memory < 1, "in [0, 1)"),
            "max_prediction_frames": (self.max_prediction_frames >= 0, "at least 0"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{field} must be {rule}, got {getattr(self, field)}")


@dataclasses.dataclass(frozen=True)
class SmoothingSettings:
    """What is done to the tracks of a whole video, in this order. The defaults do nothing, as Payer's tracker.

    Times are in frames: with fewer frames per second, take smaller ones.

    Attributes:
        min_track_length_frames: tracks that were seen in fewer frames are removed.
        min_track_score: tracks with a lower mean of their people's scores are removed.
        max_jump: a joint is removed where it is further than this from the median of the same joint of the track
            within `jump_window_frames` before and after, as a share of the square root of the person's box area;
            infinity removes none.
        jump_window_frames: see `max_jump`.
        max_person_gap_frames: people that are missing for at most so many frames are put on the line between where
            they were before and after, with the lower of the two scores.
        max_joint_gap_frames: likewise single joints of people who are there. Annotations lack joints that are hidden,
            so a filled joint is a find or a false alarm, as the source of the poses loses joints or omits hidden ones.
        sigma_frames: width of the Gaussian by which each joint is smoothed over time.

    Raises:
        ValueError: naming the setting, its rule and the value.
    """

    min_track_length_frames: int = 1
    min_track_score: float = -math.inf
    max_jump: float = math.inf
    jump_window_frames: int = 3
    max_person_gap_frames: int = 0
    max_joint_gap_frames: int = 0
    sigma_frames: float = 0.0

    def __post_init__(self) -> None:
        rules = {
            "min_track_length_frames": (self.min_track_length_frames >= 1, "at least 1"),
            "min_track_score": (not math.isnan(self.min_track_score), "a number"),
            "max_jump": (self.max_jump > 0, "positive"),
            "jump_window_frames": (self.jump_window_frames >= 1, "at least 1"),
            "max_person_gap_frames": (self.max_person_gap_frames >= 0, "at least 0"),
            "max_joint_gap_frames": (self.max_joint_gap_frames >= 0, "at least 0"),
            "sigma_frames": (0 <= self.sigma_frames < math.inf, "at least 0 and finite"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{field} must be {rule}, got {getattr(self, field)}")


# Payer et al. 2017, section 4: t_pose_dist = 200, t_max_age = 10, found by grid search there.
PAYER2017 = TrackerSettings()
NO_SMOOTHING = SmoothingSettings()
# The best of a grid search in benchmarks/tracker_settings.py that use no later frames and no scores, whose scale
# differs between sources of poses.
ONLINE = dataclasses.replace(
    PAYER2017,
    max_joint_distance_pixels=100.0,
    matching="optimal",
    remember_joints=True,
    motion="velocity",
)
# Likewise the best with later frames and with scores, for poses from a network at 25 frames per second. Of settings
# within 0.1 of the best MOTA, the one with the best HOTA. Scores are taken to be in [0, 1]; search again for others.
OFFLINE = dataclasses.replace(ONLINE, min_joint_score=0.45, min_joints=1, min_new_track_score=0.5)
OFFLINE_SMOOTHING = SmoothingSettings(
    min_track_length_frames=6,
    max_jump=0.25,
    max_person_gap_frames=6,
    max_joint_gap_frames=2,
    sigma_frames=0.5,
)

NAMED_SETTINGS: dict[str, tuple[TrackerSettings, SmoothingSettings]] = {
    "payer2017": (PAYER2017, NO_SMOOTHING),
    "online": (ONLINE, NO_SMOOTHING),
    "offline": (OFFLINE, OFFLINE_SMOOTHING),
}


def setting_types() -> dict[str, Any]:
    """The type of every setting of trackers and smoothing by its name: bool, int, float or a Literal of words."""
    return {
        name: kind
        for settings in (TrackerSettings, SmoothingSettings)
        for name, kind in get_type_hints(settings).items()
    }


def replace_settings(
    tracker: TrackerSettings, smoothing: SmoothingSettings, changes: Mapping[str, Any]
) -> tuple[TrackerSettings, SmoothingSettings]:
    """The same with some settings changed, whichever of the two they belong to.

    Raises:
        ValueError: naming the setting, its rule and the value.
        TypeError: there is no setting of a name.
    """
    of_tracker = {field.name for field in dataclasses.fields(TrackerSettings)}
    return (
        dataclasses.replace(tracker, **{name: value for name, value in changes.items() if name in of_tracker}),
        dataclasses.replace(smoothing, **{name: value for name, value in changes.items() if name not in of_tracker}),
    )
