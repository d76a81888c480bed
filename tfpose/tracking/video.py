"""Tracks a whole video that is at hand as a list of frames, and the settings that are known by a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tfpose.poses import Poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.smoothing import NO_SMOOTHING, SmoothingSettings, smooth_video
from tfpose.tracking.tracker import PAYER2017, Tracker, TrackerSettings


def track_video(
    frames: Iterable[Poses],
    settings: TrackerSettings = PAYER2017,
    smoothing: SmoothingSettings = NO_SMOOTHING,
    skeleton: Skeleton | None = None,
) -> list[Poses]:
    """Gives everybody in a video an identity, then repairs the tracks.

    Args:
        frames: the people of each frame; their `track_ids` are not looked at.
        settings: of the tracker.
        smoothing: what is done to whole tracks.
        skeleton: of the poses; needed for OKS.

    Returns:
        One entry per frame, with `track_ids` from 0 on in the order of appearance.

    Raises:
        ValueError: as `Tracker.update`.
    """
    tracker = Tracker(settings, skeleton)
    return smooth_video([tracker.update(poses) for poses in frames], smoothing)


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
