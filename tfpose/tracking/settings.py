"""Settings of the tracker and of the repairs after it, and the settings that are known by a name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

from tfpose.tracking.assignment import MATCHERS
from tfpose.tracking.similarity import SIMILARITIES

Motion = Literal["none", "velocity"]


@dataclasses.dataclass(frozen=True)
class TrackerSettings:
    """The settings that decide which person in a frame continues which track. The defaults follow Payer et al. 2017.

    Attributes:
        similarity: How near a person is to a track: "joint_distance" is the median distance of their joints (Payer et
            al. 2017, section 3), "oks" the object keypoint similarity over the joints that both have, "iou" the
            overlap of their boxes.
        max_joint_distance_pixels: With similarity "joint_distance": a person must be closer to a track than this, in
            original image pixels.
        min_oks: With similarity "oks": the OKS of a person and a track must be greater than this, in [0, 1).
        min_iou: With similarity "iou": the overlap of a person and a track must be greater than this, in [0, 1).
        matching: "greedy" takes the closest pair first (Payer et al. 2017), "optimal" minimizes the total distance.
        max_age_frames: A person can continue a track up to this many frames after its last person; 1 allows no gap.
        age_penalty_per_frame: The distance to a track grows by this share for each frame without a person, so that the
            tracker prefers, of two equally near tracks, the one seen later. 0 treats both alike (Payer et al. 2017).
        min_joint_score: Joints with this score or a lower one are removed, also from the result.
        min_joints: People with fewer joints are removed.
        min_person_score: People with a lower score are removed.
        min_new_track_score: People with a lower score can continue a track but cannot start one; they are removed
            where they would.
        remember_joints: Whether a joint that the last pose of a track lacks is taken from the pose that last had it,
            moved along with the person since.
        motion: "none" compares people with the last pose of a track (Payer et al. 2017), "velocity" with that pose
            moved on by the person's velocity, the median over the joints.
        velocity_memory: Share of the old velocity that a track keeps at each match, in [0, 1); 0 uses the last two
            poses only.
        max_prediction_frames: The velocity moves a pose during at most this many frames of a gap.
        second_pose_distance: A person who starts a track at less than this median distance of joints from another
            person of the frame, as a share of the square root of the box area, counts as a second pose of that person.
            Until the two are seen apart, such a track only takes people whom no other track takes. 0 treats all tracks
            alike (Payer et al. 2017).

    Raises:
        ValueError: A setting breaks its rule; the message names the setting, the rule and the value.
    """

    similarity: str = "joint_distance"
    max_joint_distance_pixels: float = 200.0
    min_oks: float = 0.2
    min_iou: float = 0.2
    matching: str = "greedy"
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
    second_pose_distance: float = 0.2

    def __post_init__(self) -> None:
        choices = {"similarity": tuple(SIMILARITIES), "matching": tuple(MATCHERS), "motion": get_args(Motion)}
        for field, words in choices.items():
            if getattr(self, field) not in words:
                raise ValueError(f"{field} must be one of {words}, got {getattr(self, field)!r}")
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
            "second_pose_distance": (0 <= self.second_pose_distance < math.inf, "at least 0 and finite"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{field} must be {rule}, got {getattr(self, field)}")


@dataclasses.dataclass(frozen=True)
class SmoothingSettings:
    """Settings of the repairs to the tracks of a whole video, in the order of the repairs. The defaults repair nothing.

    Times are in frames; take smaller ones at lower frame rates.

    Attributes:
        min_track_length_frames: Tracks that were seen in fewer frames are removed; in a shorter video, those that were
            not seen in every frame.
        min_track_score: Tracks whose people have a lower mean score are removed.
        max_jump: A joint is removed where it is further than this from the median of the same joint of the track
            within `jump_window_frames` before and after, as a share of the square root of the person's box area.
            Infinity removes no joint. Steady motion is no jump.
        jump_window_frames: Number of frames before and after that `max_jump` looks at.
        max_person_gap_frames: A person who is missing for at most this many frames is put on the straight line between
            the places before and after, with the lower of the two scores.
        max_joint_gap_frames: A joint that a person lacks for at most this many frames is put on the straight line
            between its places before and after, with the lower of the two scores. Annotations lack hidden joints, so
            the filled joint may count as wrong.
        sigma_frames: Width of the Gaussian that smooths each joint over time; 0 does not smooth.

    Raises:
        ValueError: A setting breaks its rule; the message names the setting, the rule and the value.
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


# Payer et al. 2017, section 4: t_pose_dist = 200, t_max_age = 10, which a grid search there found.
PAYER2017 = TrackerSettings()
NO_SMOOTHING = SmoothingSettings()
# The best settings of a grid search in benchmarks/tracker_settings.py that use no later frames and no scores, whose
# scale differs between sources of poses.
ONLINE = dataclasses.replace(
    PAYER2017,
    max_joint_distance_pixels=100.0,
    matching="optimal",
    remember_joints=True,
    motion="velocity",
)
# The best settings of that search that use later frames and scores, for poses from a network at 25 frames per second.
# Of the settings within 0.1 of the best MOTA, these have the best HOTA. Scores are taken to be in [0, 1]; search again
# for scores on another scale.
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


def find_named_settings(name: str) -> tuple[TrackerSettings, SmoothingSettings]:
    """Returns the settings that are known by a name.

    Raises:
        ValueError: No settings have that name.
    """
    if name not in NAMED_SETTINGS:
        raise ValueError(f"settings must be one of {', '.join(NAMED_SETTINGS)}, got {name!r}")
    return NAMED_SETTINGS[name]


def setting_types() -> dict[str, Any]:
    """Returns the type of every setting by name: bool, int, float or a Literal of words."""
    hints = {
        name: kind
        for settings in (TrackerSettings, SmoothingSettings)
        for name, kind in get_type_hints(settings).items()
    }
    return hints | {
        "similarity": Literal.__getitem__(tuple(SIMILARITIES)),
        "matching": Literal.__getitem__(tuple(MATCHERS)),
    }


def replace_settings(
    tracker: TrackerSettings, smoothing: SmoothingSettings, changes: Mapping[str, Any]
) -> tuple[TrackerSettings, SmoothingSettings]:
    """Returns the settings with some of them changed, whichever of the two they belong to.

    Raises:
        ValueError: A setting breaks its rule; the message names the setting, the rule and the value.
        TypeError: There is no setting of a name.
    """
    of_tracker = {field.name for field in dataclasses.fields(TrackerSettings)}
    return (
        dataclasses.replace(tracker, **{name: value for name, value in changes.items() if name in of_tracker}),
        dataclasses.replace(smoothing, **{name: value for name, value in changes.items() if name not in of_tracker}),
    )
