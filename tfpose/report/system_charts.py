"""Charts that compare systems: their scores with confidence intervals, and their scores by joint group and sequence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfpose.metrics.intervals import Interval
from tfpose.metrics.report import GROUP_NAMES
from tfpose.report.charts import LONGEST_BAR, NUM_BEST, NUM_WORST, format_metric
from tfpose.report.svg import COLORS, NARROW, Chart, new_figure, render_chart, round_ticks, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Color and marker of each system. More systems cannot be told apart.
SYSTEM_STYLES = (
    *(("first", "o"), ("second", "s"), ("third", "^")),
    *(("fourth", "D"), ("fifth", "v"), ("sixth", "P")),
)
_ROW_INCHES = 0.3
# The systems with the highest and the lowest scores; the tables hold all.
_MOST_ROWS = 24
# Scores that differ less are drawn on an axis of at least so many percentage points.
_SHORTEST_AXIS = 5.0


@dataclasses.dataclass(frozen=True)
class Score:
    """A metric of a system in percent; NaN where there is none. The interval is None where there is none."""

    value: float
    interval: Interval | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number to draw."""
        return (self.value, self.value) if self.interval is None else (self.interval.low, self.interval.high)


def scores_chart(name: str, title: str, scores: Mapping[str, Mapping[str, Score]]) -> Chart:
    """Draws a dot with its confidence interval for each system, in a panel for each metric.

    Args:
        name: Name of the chart.
        title: Title of the chart.
        scores: Metrics by the names of the systems and of the metrics; the best `_MOST_ROWS` by the first metric are
            drawn.
    """
    metrics = list(dict.fromkeys(metric for of_system in scores.values() for metric in of_system))[:4]
    first = metrics[0]
    none = Score(math.nan)
    kept = sorted(scores, key=lambda system: -_or(scores[system].get(first, none).value, -math.inf))[:_MOST_ROWS]
    systems = [system for system in scores if system in kept]

    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        height = max(2, len(systems)) * _ROW_INCHES + 0.55
        figure = new_figure(width, height * (len(metrics) if is_narrow else 1))
        shape = (len(metrics), 1) if is_narrow else (1, len(metrics))
        for number, (axes, metric) in enumerate(zip(figure.subplots(*shape, squeeze=False).flat, metrics, strict=True)):
            _draw_scores(axes, [scores[system].get(metric, none) for system in systems])
            has_names = is_narrow or number == 0
            names = [shorten(system, 16 if is_narrow else 34 if len(metrics) > 2 else 46) for system in systems]
            axes.set_yticks(range(len(systems)), names if has_names else [""] * len(systems), color=COLORS["ink"])
            axes.set_title(f"{metric} (%)")
        return figure

    if len(systems) < len(scores):
        title += f" (the {len(systems)} with the highest {first} of {len(scores)})"
    return render_chart(name, title, _describe(scores), draw)


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


def _describe(scores: Mapping[str, Mapping[str, Score]]) -> str:
    parts = []
    for system, metrics in scores.items():
        words = (
            f"{metric} {format_metric(score.value)}"
            + (
                f" ({format_metric(score.interval.low)} to {format_metric(score.interval.high)})"
                if score.interval
                else ""
            )
            for metric, score in metrics.items()
        )
        parts.append(f"{system}: {', '.join(words)}.")
    return " ".join(parts[:_MOST_ROWS])


def _draw_scores(axes: Axes, scores: Sequence[Score]) -> None:
    for row, score in enumerate(scores):
        if math.isnan(score.value):
            continue
        if score.interval is not None:
            axes.plot(score.ends, [row, row], color=COLORS["muted"], linewidth=1.4, solid_capstyle="butt")
            axes.plot(score.ends, [row, row], "|", color=COLORS["muted"], markersize=7)
        axes.plot([score.value], [row], "o", color=COLORS["first"], markersize=5.5)
        place = (score.ends[1], row)
        label = format_metric(score.value)
        axes.annotate(label, place, xytext=(6, 0), textcoords="offset points", va="center", fontsize=8.5)
    known = [end for score in scores if not math.isnan(score.value) for end in score.ends]
    _set_limits(axes, known, room=0.22)
    _set_rows(axes, len(scores))


def _set_limits(axes: Axes, values: Sequence[float], room: float) -> None:
    """Sets limits around the values with room for the numbers on the right, and round ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 100.0)
    missing = max(0.0, _SHORTEST_AXIS - (high - low)) / 2
    low, high = low - missing, high + missing
    start, end = low - 0.06 * (high - low), high + room * (high - low)
    axes.set_xlim(start, end)
    # No percentage is above 100, though the axis may need room for a marker there.
    axes.set_xticks(*round_ticks(start, min(end, 100.0), 8))


def _set_rows(axes: Axes, num_rows: int) -> None:
    axes.set_ylim(max(num_rows, 1) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)


def groups_chart(metrics: Mapping[str, Mapping[str, np.ndarray]]) -> Chart:
    """Draws a row for each joint group with a marker for each system, in a panel for each metric.

    Args:
        metrics: [8] percent in the order of `GROUP_NAMES`, by the names of the metrics and of the systems; at most as
            many systems as there are `SYSTEM_STYLES`.
    """

    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        height = len(GROUP_NAMES) * _ROW_INCHES + 0.55
        figure = new_figure(width, height * (len(metrics) if is_narrow else 1) + 0.3)
        shape = (len(metrics), 1) if is_narrow else (1, len(metrics))
        panels = figure.subplots(*shape, squeeze=False).flat
        for axes, (metric, systems) in zip(panels, metrics.items(), strict=True):
            _draw_markers(axes, list(systems.values()))
            axes.set_yticks(range(len(GROUP_NAMES)), GROUP_NAMES, color=COLORS["ink"])
            axes.set_title(f"{metric} (%)")
        _add_key(figure, list(next(iter(metrics.values()))), is_narrow)
        return figure

    names = ", ".join(metrics)
    description = f"{names} by joint group, a marker for each system; the numbers are in the tables."
    return render_chart("joint_groups", f"{names} by joint group", description, draw)


def sequences_chart(metric: str, systems: Mapping[str, Mapping[str, float]], higher_is_better: bool = True) -> Chart:
    """Draws the best and the worst sequences with a marker for each system, by the mean over the systems.

    Args:
        metric: Name of the metric.
        systems: Percent by the names of the systems and of the sequences.
        higher_is_better: Whether a greater number is the better one.
    """
    best, worst, count = _extreme_sequences(systems, higher_is_better)
    panels = {"Best": best, "Worst": worst} if worst else {"": best}

    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        rows = sum(map(len, panels.values())) if is_narrow else len(best)
        figure = new_figure(width, rows * _ROW_INCHES + 0.55 * (len(panels) if is_narrow else 1) + 0.3)
        ratios = [len(part) + 2 for part in panels.values()]
        if is_narrow:
            grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=ratios)
        else:
            grid = figure.subplots(1, len(panels), squeeze=False)
        for axes, (title, names) in zip(grid.flat, panels.items(), strict=True):
            of_systems = [np.array([values.get(name, math.nan) for name in names]) for values in systems.values()]
            _draw_markers(axes, of_systems)
            axes.set_yticks(
                range(len(names)), [shorten(n, 18 if is_narrow else 26) for n in names], color=COLORS["ink"]
            )
            axes.set_title(title)
        _add_key(figure, list(systems), is_narrow)
        return figure

    title = f"{metric} by sequence (%)"
    if worst:
        title += f": the {len(best)} best and the {len(worst)} worst of {count}"
    description = f"A marker for each system, best sequence first by the mean over the systems. Best: {best[0]}."
    if worst:
        description += f" Worst: {worst[-1]}."
    return render_chart(f"{metric.lower()}_by_sequence", title, description, draw)


def _extreme_sequences(
    systems: Mapping[str, Mapping[str, float]], higher_is_better: bool
) -> tuple[list[str], list[str], int]:
    """Returns the names of the best and of the worst sequences, best first, and the number of all sequences."""
    names = list(dict.fromkeys(name for values in systems.values() for name in values))

    def mean(name: str) -> float:
        known = [value for values in systems.values() if not math.isnan(value := values.get(name, math.nan))]
        return sum(known) / len(known) if known else math.nan

    sign = -1 if higher_is_better else 1
    ordered = sorted((name for name in names if not math.isnan(mean(name))), key=lambda n: (sign * mean(n), n)) or names
    if len(ordered) <= NUM_BEST + NUM_WORST:
        return ordered, [], len(ordered)
    return ordered[:NUM_BEST], ordered[-NUM_WORST:], len(ordered)


def _draw_markers(axes: Axes, systems: Sequence[np.ndarray]) -> None:
    """Draws a row for each number and a marker for each system."""
    drawn = [np.maximum(values, -LONGEST_BAR) for values in systems]
    num_rows = len(systems[0])
    for values, (color, marker) in zip(drawn, SYSTEM_STYLES, strict=False):
        axes.plot(values, range(num_rows), marker, color=COLORS[color], markersize=6, alpha=0.9, clip_on=False)
    known = [float(value) for values in drawn for value in values if not math.isnan(value)]
    _set_limits(axes, known, room=0.06)
    axes.grid(True, axis="both")
    _set_rows(axes, num_rows)


def _add_key(figure: Figure, names: Sequence[str], is_narrow: bool) -> None:
    """Explains the markers above the panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLORS[color], marker=marker, linestyle="", label=shorten(name, 30))
        for name, (color, marker) in zip(names, SYSTEM_STYLES, strict=False)
    ]
    place: Callable = figure.legend
    place(handles=handles, loc="outside upper left", ncols=1 if is_narrow else 3, fontsize=8.5, handlelength=1.0)
