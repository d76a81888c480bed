"""Tracks a whole video that is at hand as a list of frames."""

from __future__ import annotations

from collections.abc import Iterable

from tfpose.poses import Poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.settings import NO_SMOOTHING, PAYER2017, SmoothingSettings, TrackerSettings
from tfpose.tracking.smoothing import smooth_video
from tfpose.tracking.tracker import Tracker


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
