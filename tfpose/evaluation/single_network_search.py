"""Search over the thresholds of the single heatmap network and its tracker, without running the network again.

NumPy and SciPy only, so that the processes of a search start fast.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings, select_people
from tfpose.inference.posetrack_joints import posetrack_poses
from tfpose.metrics.catalog import DEFAULT_METRICS, METRICS, group_of
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.posetrack_metrics import search_scores
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence, frame_from_poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.settings import setting_types
from tfpose.tracking.tuning import Trial, search_grid
from tfpose.tracking.video import track_video

# Settings that act on peaks after they were found, with the types of their values.
THRESHOLDS: dict[str, type] = {
    "head_threshold": float,
    "head_distance_cells": float,
    "joint_threshold": float,
    "person_threshold": float,
    "max_people": int,
}


@dataclasses.dataclass(frozen=True)
class SearchSystem:
    """The system whose settings a search replaces.

    Attributes:
        skeleton: Skeleton of the peaks.
        thresholds: Settings of the network.
        tracker: Tracker and its settings.
    """

    skeleton: Skeleton
    thresholds: SingleNetworkSettings
    tracker: TrackerChoice

    def with_changes(self, changes: Mapping[str, Any]) -> SearchSystem:
        """Returns the system with some settings of the network or of the tracker replaced.

        Raises:
            ValueError: A setting is unknown or out of range.
        """
        for name in changes:
            if name not in searchable_settings():
                raise ValueError(f"choices: settings must be some of {', '.join(searchable_settings())}, got {name!r}")
        of_network = {name: value for name, value in changes.items() if name in THRESHOLDS}
        of_tracker = {name: value for name, value in changes.items() if name not in THRESHOLDS}
        return dataclasses.replace(
            self,
            thresholds=dataclasses.replace(self.thresholds, **of_network),
            tracker=self.tracker.with_changes(of_tracker),
        )

    def value(self, name: str) -> Any:
        """Returns the value of a setting of the network or of the tracker."""
        if name in THRESHOLDS:
            return getattr(self.thresholds, name)
        return next(getattr(part, name) for part in self.tracker.settings() if hasattr(part, name))

    def to_flags(self) -> str:
        """Returns the settings that a search can change as flags for a command line."""
        thresholds = (f"--config.inference.{name}={getattr(self.thresholds, name)}" for name in THRESHOLDS)
        return " ".join([*thresholds, self.tracker.to_flags()])


@dataclasses.dataclass(frozen=True)
class SearchCase:
    """An annotated video and the peaks that the network found in it.

    Attributes:
        truth: Annotated video.
        frames: The same video without people.
        peaks: Peaks of each frame.
    """

    truth: PoseSequence
    frames: PoseSequence
    peaks: tuple[Peaks, ...]


def searchable_settings() -> tuple[str, ...]:
    """Returns the names of the settings that a search can change."""
    return (*THRESHOLDS, *setting_types())


def peak_settings(base: SingleNetworkSettings, choices: Mapping[str, Sequence[Any]]) -> SingleNetworkSettings:
    """Returns the settings with which the network runs once for a search over these choices."""
    lowest = min(choices.get("head_threshold", [base.head_threshold]))
    return dataclasses.replace(base, head_threshold=lowest, head_distance_cells=0.0, max_people=0)


def search_thresholds(
    cases: Sequence[SearchCase],
    base: SearchSystem,
    choices: Mapping[str, Sequence[Any]],
    objective: str = "MOTA",
    num_processes: int = 1,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Scores every combination of settings.

    Args:
        cases: Annotated videos with the peaks found with `peak_settings`.
        base: System whose settings the choices replace.
        choices: Values to try for each setting: `THRESHOLDS`, `max_joint_distance_pixels` (the paper's t_pose_dist),
            `max_age_frames` (t_max_age) and the tracker's other settings.
        objective: Label of the metric to optimize, a value of `catalog.objectives`: its total over all joints.
        num_processes: Number of processes; 1 runs in this process.
        on_trial: Function that is called after each trial.

    Returns:
        The trials, best first.

    Raises:
        ValueError: A setting is unknown or out of range.
    """
    # The tracker's settings vary fastest, because trials with the same thresholds share a selection of people.
    ordered = {name: choices[name] for name in sorted(choices, key=lambda name: name not in THRESHOLDS)}
    score = SearchScore(cases, base, objective)
    return search_grid(score, ordered, objective, num_processes, on_trial, score.higher_is_better)


def search_by_coordinates(
    cases: Sequence[SearchCase],
    base: SearchSystem,
    choices: Mapping[str, Sequence[Any]],
    objective: str = "MOTA",
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Changes one setting at a time, for searches whose grid would be too large.

    The search starts with the settings of `base`. In each round it goes through the settings and takes the best value
    of each while the others stay. It ends when a round changes nothing, so it does not find a better combination that
    differs in two settings.

    Args:
        cases: Annotated videos with the peaks found with `peak_settings`.
        base: System whose settings the choices replace.
        choices: Values to try for each setting, see `search_thresholds`; the settings are changed in this order.
        objective: Label of the metric to optimize, see `search_thresholds`.
        on_trial: Function that is called after each trial.

    Returns:
        The trials, best first, each once.
    """
    score = SearchScore(cases, base, objective)
    sign = 1 if score.higher_is_better else -1
    done: dict[tuple, Trial] = {}

    def try_settings(settings: dict[str, Any]) -> Trial:
        key = tuple(settings.values())
        if key not in done:
            done[key] = Trial(settings, score(settings))
            if on_trial is not None:
                on_trial(done[key])
        return done[key]

    best, before = try_settings({name: base.value(name) for name in choices}), None
    while best is not before:
        before = best
        for name, values in choices.items():
            trials = [best, *(try_settings({**best.settings, name: value}) for value in values)]
            best = max(trials, key=lambda trial: _comparable(sign * trial.scores[objective]))
    return sorted(done.values(), key=lambda trial: -_comparable(sign * trial.scores[objective]))


def _comparable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


class SearchScore:
    """Scores changed settings on all videos together; remembers the people of the last thresholds.

    Args:
        cases: Annotated videos with the peaks found with `peak_settings`.
        base: System whose settings are changed.
        objective: Label of the metric to optimize, which is scored beside the default metrics and given first.
    """

    def __init__(self, cases: Sequence[SearchCase], base: SearchSystem, objective: str = "MOTA") -> None:
        self.cases = cases
        self.base = base
        self.objective = objective
        group = group_of(objective)
        self.higher_is_better = METRICS[group].main.higher_is_better
        self.options = PoseTrackOptions(tuple(dict.fromkeys((*DEFAULT_METRICS, group))))
        self._selected: tuple[SingleNetworkSettings, list[list[Poses]]] | None = None

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """Returns the totals over all videos and joints by label, the objective first."""
        system = self.base.with_changes(settings)
        pairs = zip(self.cases, self._select(system.thresholds), strict=True)
        tracked = [_track(case.frames, poses, system.tracker) for case, poses in pairs]
        report = evaluate_sequences([case.truth for case in self.cases], tracked, self.options)
        return search_scores(report.total, self.objective)

    def _select(self, thresholds: SingleNetworkSettings) -> list[list[Poses]]:
        """Returns the people of each frame of each video."""
        if self._selected is None or self._selected[0] != thresholds:
            skeleton = self.base.skeleton
            people = [
                [posetrack_poses(select_people(peaks, thresholds), skeleton) for peaks in case.peaks]
                for case in self.cases
            ]
            self._selected = thresholds, people
        return self._selected[1]


def _track(empty: PoseSequence, poses: Sequence[Poses], tracker: TrackerChoice) -> PoseSequence:
    """Tracks as `retracking.track_sequence`, from poses instead of the frames of a file."""
    tracked = track_video(poses, *tracker.settings(), empty.skeleton)
    frames = tuple(
        frame_from_poses(frame.file_name, frame.index, people, image_id=frame.image_id, image_size=frame.image_size)
        for frame, people in zip(empty.frames, tracked, strict=True)
    )
    return dataclasses.replace(empty, frames=frames)
