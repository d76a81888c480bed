"""Grid search over the thresholds of the single heatmap network and its tracker, without running the network again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfpose.data.records import RecordTable
from tfpose.evaluation.retracking import track_sequence
from tfpose.evaluation.tracker_flags import TrackerChoice
from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings, select_people
from tfpose.inference.results import ground_truth_sequences, sequences_from_poses
from tfpose.metrics.posetrack import evaluate_sequences
from tfpose.posetrack import PoseSequence
from tfpose.skeletons import Skeleton
from tfpose.tracking.settings import setting_types
from tfpose.tracking.tuning import Trial, search_grid

# What acts on peaks that were found already.
THRESHOLDS = ("head_threshold", "head_distance_cells", "joint_threshold", "person_threshold", "max_people")


@dataclasses.dataclass(frozen=True)
class SearchSystem:
    """What the values of a search are changes of.

    Attributes:
        skeleton: of the peaks.
        thresholds: of the network.
        tracker: of the poses.
    """

    skeleton: Skeleton
    thresholds: SingleNetworkSettings
    tracker: TrackerChoice

    def with_changes(self, changes: Mapping[str, Any]) -> SearchSystem:
        """The same with some settings changed, of the network or of the tracker.

        Raises:
            ValueError: a setting is unknown or out of range.
        """
        known = (*THRESHOLDS, *setting_types())
        for name in changes:
            if name not in known:
                raise ValueError(f"choices: unknown setting {name!r}, expected some of {', '.join(known)}")
        of_network = {name: value for name, value in changes.items() if name in THRESHOLDS}
        of_tracker = {name: value for name, value in changes.items() if name not in THRESHOLDS}
        return dataclasses.replace(
            self,
            thresholds=dataclasses.replace(self.thresholds, **of_network),
            tracker=self.tracker.with_changes(of_tracker),
        )


def search_thresholds(
    peaks: Sequence[Peaks],
    table: RecordTable,
    base: SearchSystem,
    choices: Mapping[str, Sequence[Any]],
    objective: str = "MOTA",
    num_processes: int = 1,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Scores every combination on the annotated videos of a table.

    Args:
        peaks: of every image of the table, from `single_network.predict_table_peaks`; found with a head threshold no
            higher than any of the choices, `head_distance_cells` 0 and `max_people` 0.
        table: the records of a validation split.
        base: what the choices are changes of.
        choices: values to try by setting: `THRESHOLDS`, `max_joint_distance_pixels` (the paper's t_pose_dist),
            `max_age_frames` (t_max_age) and the tracker's others.
        objective: 'MOTA' or 'AP', each of all joints together, in percent.
        num_processes: 1 runs in this one.
        on_trial: called after each combination.

    Returns:
        The trials, best first.

    Raises:
        ValueError: the table has no annotated videos, or a setting is unknown or out of range.
    """
    truth = ground_truth_sequences(table)
    if not truth:
        raise ValueError(f"{table.shards[0].parent}: a search needs videos, found single photos only")
    score = functools.partial(score_thresholds, peaks=peaks, table=table, truth=truth, base=base)
    return search_grid(score, choices, objective, num_processes, on_trial)


def score_thresholds(
    settings: Mapping[str, Any],
    peaks: Sequence[Peaks],
    table: RecordTable,
    truth: Sequence[PoseSequence],
    base: SearchSystem,
) -> dict[str, float]:
    """MOTA and AP in percent of all videos together under changed settings, each total over joints."""
    system = base.with_changes(settings)
    poses = [select_people(of_image, system.thresholds) for of_image in peaks]
    sequences = sequences_from_poses(table, poses, system.skeleton)
    tracked = [track_sequence(sequence, system.tracker) for sequence in sequences]
    figures = evaluate_sequences(truth, tracked).total
    return {"MOTA": float(figures.tracking.mota[-1]), "AP": float(figures.average_precision.ap[-1])}
