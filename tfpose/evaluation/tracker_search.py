"""Grid search over the settings of a tracker on a folder of predictions. NumPy and SciPy only."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfpose import __version__
from tfpose.evaluation.metrics_file import without_nan
from tfpose.evaluation.progress import LateProgress
from tfpose.evaluation.retracking import first_video, read_predictions, track_sequence, unlisted_notes
from tfpose.evaluation.scoring import shorten_notes
from tfpose.json_files import write_json
from tfpose.messages import print_notes
from tfpose.metrics.catalog import DEFAULT_OBJECTIVE, METRICS, group_of, objectives
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences, pair_files, unpaired_note
from tfpose.metrics.posetrack_metrics import search_scores
from tfpose.metrics.posetrack_selection import pairing_notes
from tfpose.posetrack import PoseSequence, read_posetrack
from tfpose.posetrack.columns import columns_from_sequence
from tfpose.posetrack.videos import find_videos
from tfpose.processes import num_cores
from tfpose.tracking.choice import TrackerChoice, json_setting
from tfpose.tracking.tuning import Trial, expand_grid, format_trials, search_grid

TUNING_FILE = "tuning.json"


@dataclasses.dataclass(frozen=True)
class Case:
    """An annotated sequence and the predictions to track."""

    truth: PoseSequence
    predictions: PoseSequence

    def notes(self) -> list[str]:
        """Returns lines on what was left out of the files, and on what was paired with what."""
        columns = columns_from_sequence(self.truth, True), columns_from_sequence(self.predictions, False)
        return [*unlisted_notes(self.truth), *unlisted_notes(self.predictions), *pairing_notes(*columns)]


def tune_tracker(
    ground_truth: pathlib.Path,
    predictions: pathlib.Path,
    output_dir: pathlib.Path,
    choices: Mapping[str, Sequence[Any]],
    base: TrackerChoice,
    objective: str = DEFAULT_OBJECTIVE,
    num_processes: int | None = None,
) -> TrackerChoice:
    """Tries every combination of settings, prints the table of all trials and writes tuning.json.

    Args:
        ground_truth: Folder of the annotations.
        predictions: Folder of the predictions, with or without identities.
        output_dir: Folder for tuning.json.
        choices: Values to try for each setting.
        base: Tracker whose settings the values replace.
        objective: Metric to optimize, a key of `catalog.objectives`.
        num_processes: Number of processes; None starts one per core.

    Returns:
        The tracker with the best settings.

    Raises:
        FileNotFoundError, ValueError: A file is missing or damaged, see `evaluate_posetrack`.
    """
    pairs = pair_files(ground_truth, predictions)
    cases, notes = [], list(unpaired_note(pairs, predictions))
    for true, found in pairs:
        whole = read_posetrack(true, drop_unknown_images=True), read_predictions(found)
        cases.append(Case(*map(first_video, whole)))
        notes += [*itertools.chain.from_iterable(map(_first_video_notes, whole)), *cases[-1].notes()]
    print_notes(shorten_notes(notes))
    column = METRICS[group_of(objective)].main
    label = column.label
    num_trials = len(expand_grid(choices))
    processes = min(num_processes or num_cores(), num_trials)
    done: list[Trial] = []
    with shown_on_interruption(done), LateProgress("tuning", "trials") as progress:

        def show(trial: Trial) -> None:
            done.append(trial)
            progress(len(done), num_trials)

        score = functools.partial(score_tracker, cases=cases, base=base, objective=label)
        trials = search_grid(score, choices, label, processes, show, column.higher_is_better)
    best = base.with_changes(trials[0].settings)
    labels = {"predictions": str(predictions), "labels": str(ground_truth), "sequences": len(cases)}
    write_tuning(output_dir, trials, describe_trials(trials, best, objective, base, labels))
    return best


def _first_video_notes(sequence: PoseSequence) -> list[str]:
    """Returns a line if only some of the frames of a file are evaluated."""
    count, kept = len(sequence.frames), len(first_video(sequence).frames)
    if count == kept:
        return []
    return [
        f"{sequence.path}: {count - kept} of {count} frames are left out: poseval evaluates only the first of the "
        "videos in a file"
    ]


def score_tracker(
    settings: Mapping[str, Any], cases: Sequence[Case], base: TrackerChoice, objective: str = "MOTA"
) -> dict[str, float]:
    """Scores a tracker on all sequences together; returns the totals over joints by label, the objective first."""
    tracker = base.with_changes(settings)
    tracked = [track_sequence(case.predictions, tracker, find_videos(case.predictions)) for case in cases]
    report = evaluate_sequences([case.truth for case in cases], tracked, PoseTrackOptions(tuple(METRICS)))
    return search_scores(report.total, objective)


def describe_trials(
    trials: Sequence[Trial], best: TrackerChoice, objective: str, base: TrackerChoice, labels: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the content of tuning.json; the trials are best first."""
    rows = [
        {"settings": {name: json_setting(v) for name, v in trial.settings.items()}, "scores": dict(trial.scores)}
        for trial in trials
    ]
    return {
        "objective": objectives()[objective],
        "best": rows[0] | {"flags": best.to_flags(), "tracker": best.to_dict()},
        "trials": rows,
        "provenance": {**labels, "base": base.to_dict(), "metrics": list(METRICS), "version": __version__},
    }


@contextlib.contextmanager
def shown_on_interruption(done: Sequence[Trial]) -> Iterator[None]:
    """Within, Ctrl-C prints the table of the trials that are done, in their order, which would be lost otherwise."""
    try:
        yield
    except KeyboardInterrupt:
        if done:
            print(format_trials(done), flush=True)
        raise


def write_tuning(output_dir: pathlib.Path, trials: Sequence[Trial], content: Mapping[str, Any]) -> None:
    """Writes tuning.json; prints the table of all trials and the best settings as flags.

    Raises:
        ValueError: The objective is not known for any trial, so that none is the best.
    """
    objective = content["objective"]
    if all(math.isnan(trial.scores[objective]) for trial in trials):
        raise ValueError(f"--tune_objective: {objective} must be known for some setting, got none; are there people?")
    path = output_dir / TUNING_FILE
    write_json(path, without_nan(content), indent=2)
    print(format_trials(trials))
    equal = sum(trial.scores[objective] == trials[0].scores[objective] for trial in trials)
    if equal > 1:
        print(f"note: {equal} settings have the best {objective}; the first of them is taken", file=sys.stderr)
    print(f"best {objective}: {content['best']['flags']}")
    print(f"written: {path}")
