"""Grid search over settings in several processes, for any function that scores settings."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tfpose.processes import end_quietly_on_interrupt, map_forked, may_fork

Settings = dict[str, Any]
Score = Callable[[Settings], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One point of the grid.

    Attributes:
        settings: The values of the settings by name.
        scores: The metrics of these settings by name.
    """

    settings: Settings
    scores: Mapping[str, float]


def expand_grid(choices: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Returns every combination of the values to try; the last name varies fastest.

    Raises:
        ValueError: There is nothing to try for a name.

    Example:
        >>> expand_grid({"max_age_frames": [5, 10], "matching": ["greedy"]})
        [{'max_age_frames': 5, 'matching': 'greedy'}, {'max_age_frames': 10, 'matching': 'greedy'}]
    """
    for name, values in choices.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) == 0:
            raise ValueError(f"choices: {name!r} must be a list of values to try, got {values!r}")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def search_grid(
    score: Score,
    choices: Mapping[str, Sequence[Any]],
    objective: str,
    num_processes: int = 1,
    on_trial: Callable[[Trial], None] | None = None,
    higher_is_better: bool = True,
) -> list[Trial]:
    """Scores every combination.

    Args:
        score: Function that returns metrics by name for a dictionary of settings. With several processes it must be
            picklable (a function of a module, or a partial of one); it travels to each process once.
        choices: Values to try for each setting.
        objective: Name of the metric to sort by.
        num_processes: Number of processes; 1 scores in this process.
        on_trial: Function that is called after each combination, in the order of the grid, such as for progress.
        higher_is_better: Whether a greater number of the objective is the better one.

    Returns:
        The trials, best first; of equal ones the first in the grid comes first, NaN comes last. Does not
        depend on `num_processes`.

    Raises:
        ValueError: `num_processes` is not positive, a name has no values, or the scores lack the objective.
    """
    if num_processes < 1:
        raise ValueError(f"num_processes must be at least 1, got {num_processes}")
    trials = []
    for trial in _run(score, expand_grid(choices), num_processes):
        if objective not in trial.scores:
            raise ValueError(f"objective must be one of {sorted(trial.scores)}, got {objective!r}")
        trials.append(trial)
        if on_trial is not None:
            on_trial(trial)
    sign = -1 if higher_is_better else 1
    return sorted(trials, key=lambda trial: _nan_last(sign * trial.scores[objective]))


def format_trials(trials: Sequence[Trial], max_rows: int | None = None) -> str:
    """Returns the trials as a table of plain text, in the order given."""
    if not trials:
        return "nothing was tried"
    names, metrics = list(trials[0].settings), list(trials[0].scores)
    rows = [
        [str(trial.settings[name]) for name in names] + [_format_score(trial.scores[metric]) for metric in metrics]
        for trial in trials[:max_rows]
    ]
    widths = [max(map(len, column)) for column in zip(names + metrics, *rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [names + metrics, *rows]
    ]
    return "\n".join(lines)


def _format_score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _run(score: Score, grid: Sequence[Settings], num_processes: int) -> Iterator[Trial]:
    if num_processes == 1:
        for settings in grid:
            yield Trial(settings, score(settings))
        return
    if may_fork():
        yield from (Trial(*pair) for pair in zip(grid, map_forked(score, grid, num_processes), strict=True))
        return
    # Forking a process that runs TensorFlow's threads may hang; spawned ones start clean.
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(
        num_processes, mp_context=context, initializer=_keep_score, initargs=(score,)
    )
    try:
        for settings, scores in zip(grid, executor.map(_score_kept, grid), strict=True):
            yield Trial(settings, scores)
    finally:
        # After an error the rest of the grid is not worth waiting for.
        executor.shutdown(cancel_futures=True)


_kept_score: list[Score] = []


def _keep_score(score: Score) -> None:
    end_quietly_on_interrupt()
    _kept_score[:] = [score]


def _score_kept(settings: Settings) -> Mapping[str, float]:
    return _kept_score[0](settings)
