"""Tracks a whole video."""

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
        frames: The people of each frame; their `track_ids` are ignored.
        settings: Settings of the tracker.
        smoothing: Settings of the repairs to whole tracks.
        skeleton: Skeleton of the poses; only the similarity "oks" needs it.

    Returns:
        The people of each frame, with `track_ids` counted from 0 in the order of appearance.

    Raises:
        ValueError: Poses do not fit the skeleton or each other; see `Tracker.update`.
    """
    tracker = Tracker(settings, skeleton)
    return smooth_video([tracker.update(poses) for poses in frames], smoothing)
