"""The charts of the reports: precision-recall curves, bars by sequence and by joint, and their changes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfpose.metrics.average_precision import JointSamples, TieRule, joint_curves
from tfpose.metrics.joints import JOINTS, PUBLISHED_NAMES
from tfpose.metrics.report import JOINT_GROUPS
from tfpose.report.svg import COLORS, NARROW, Chart, new_figure, render_chart, set_round_ticks, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Positions in `JOINTS` from head to feet, then that of the total.
READING_ORDER = (*(JOINTS.index(joint) for group in JOINT_GROUPS.values() for joint in group), len(JOINTS))
_PANEL_TITLES = ("Head", "Shoulders", "Elbows", "Wrists", "Hips", "Knees", "Ankles")
_LINE_COLORS = ("first", "second", "third")
_LINE_STYLES = ("-", (0, (3, 1.5)))
# Number of samples of recall; one or two per pixel.
_NUM_CURVE_POINTS = 201
_BAR_INCHES = 0.195
# Numbers of sequences that charts show where there are more; the tables hold all.
NUM_BEST, NUM_WORST = 10, 10
# MOTA has no lower bound. Longer bars are cut off here, so that one bad sequence does not shrink all other bars.
LONGEST_BAR = 100.0


@dataclasses.dataclass(frozen=True)
class Curves:
    """The precision-recall curves of one evaluation.

    Attributes:
        name: Name of the evaluation.
        curves: Precision and recall in percent of each joint of `JOINTS`, from `precision_envelopes`.
        ap: [16] AP in percent of each joint of `JOINTS`, then the total.
    """

    name: str
    curves: Sequence[tuple[np.ndarray, np.ndarray]]
    ap: np.ndarray


def precision_envelopes(samples: JointSamples, tie_rule: TieRule = "stable") -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the curve of each joint.

    Args:
        samples: The samples of all sequences.
        tie_rule: Order of equal scores, as AP was counted.
    """
    return [precision_envelope(*curve) for curve in joint_curves(samples, tie_rule)]


def precision_envelope(precision: np.ndarray, recall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the curve whose area is AP: at even steps of recall, the best precision at that recall or a higher one.

    Args:
        precision: [N] precision after each sample, in [0, 1].
        recall: [N] recall after each sample, in [0, 1]; NaN if there are no true joints.

    Returns:
        Precision and recall [M] in percent; empty if there is no curve.
    """
    if not len(recall) or np.isnan(recall).any():
        return np.empty(0), np.empty(0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.linspace(0, recall[-1], max(2, math.ceil(_NUM_CURVE_POINTS * recall[-1])))
    return 100 * envelope[np.searchsorted(recall, steps)], 100 * steps


def precision_recall_chart(evaluations: Sequence[Curves]) -> Chart:
    """Draws a panel for each joint group with the curve of each joint, for one evaluation or two."""
    curves = [evaluation.curves for evaluation in evaluations]

    def draw(width: float) -> Figure:
        num_columns = 2 if width <= NARROW else 4
        num_rows = math.ceil(len(JOINT_GROUPS) / num_columns)
        figure = new_figure(width, num_rows * (1.95 if width <= NARROW else 2.45) + 0.3)
        all_axes = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, title, group in zip(all_axes, _PANEL_TITLES, JOINT_GROUPS.values(), strict=False):
            _draw_curves(axes, title, group, curves, [e.ap for e in evaluations])
        _draw_line_key(all_axes[len(JOINT_GROUPS)], [e.name for e in evaluations])
        figure.supxlabel("recall (%)", fontsize=8.5)
        figure.supylabel("precision (%)", fontsize=8.5)
        return figure

    description = "Precision over recall, a panel per joint group, a line per joint. The AP of each joint in percent "
    description += "is in its panel and in the table of joints."
    return render_chart("precision_recall", "Precision and recall by joint", description, draw)


def _draw_curves(
    axes: Axes, title: str, group: Sequence[str], curves: Sequence[Sequence[tuple]], aps: Sequence[np.ndarray]
) -> None:
    for joint, color in zip(group, _LINE_COLORS, strict=False):
        index = JOINTS.index(joint)
        label: str | None = f"{_short_joint(joint)} {' → '.join(format_metric(ap[index]) for ap in aps)}"
        for style, evaluation in zip(_LINE_STYLES, curves, strict=False):
            precision, recall = evaluation[index]
            axes.plot(recall, precision, color=COLORS[color], linestyle=style, label=label)
            # Only the first curve of a joint has an entry in the legend.
            label = None
    axes.set_title(title)
    axes.set(xlim=(0, 101), ylim=(0, 103), xticks=range(0, 101, 50), yticks=range(0, 101, 25))
    axes.tick_params(labelbottom=True)
    alignments: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
    for alignment, tick_label in zip(alignments, axes.get_xticklabels(), strict=True):
        # The last label of a panel must not touch the first label of the next one.
        tick_label.set_horizontalalignment(alignment)
    legend = axes.legend(loc="best", fontsize=8, borderaxespad=0.1, labelspacing=0.25, title="AP (%)", alignment="left")
    legend.get_title().set_fontsize(8)


def _short_joint(joint: str) -> str:
    """Returns the name of a joint within its group: "right", "left", or its full name."""
    return joint.split("_")[0] if joint.startswith(("right_", "left_")) else joint.replace("_", " ")


def _draw_line_key(axes: Axes, names: Sequence[str]) -> None:
    """Explains in a panel of its own which line style is which evaluation; draws nothing for one evaluation."""
    axes.axis("off")
    if len(names) > 1:
        for name, style in zip(names, _LINE_STYLES, strict=True):
            axes.plot([], [], color=COLORS["ink"], linestyle=style, label=textwrap.fill(shorten(name, 48), 18))
        axes.legend(loc="upper left", fontsize=8.5, handlelength=2.2)


def sequence_chart(metric: str, values: Mapping[str, float], total: float, higher_is_better: bool = True) -> Chart:
    """Draws bars of one metric in percent by sequence, best first, and a line at the metric of all sequences."""
    shown, left_out = _best_and_worst(values, higher_is_better)
    title = f"{metric} by sequence (%){left_out}"

    def draw(width: float) -> Figure:
        figure, all_axes = _bar_columns(width, len(shown))
        for axes, part in zip(all_axes, _split(shown, len(all_axes)), strict=True):
            colors = ["first" if value >= 0 else "worse" for _, value in part]
            _draw_bars(axes, part, colors, format_metric, _label_columns(width))
            axes.axvline(_bar_length(total), color=COLORS["ink"], linestyle=(0, (4, 2)), linewidth=1, zorder=1)
        _set_limits(all_axes, [value for _, value in shown] + [total])
        figure.suptitle(f"dashed line: all sequences together, {format_metric(total)}", fontsize=8.5, x=0.01, ha="left")
        return figure

    known = [(name, value) for name, value in shown if value == value]
    description = f"Horizontal bars, best sequence first{left_out}; all together {format_metric(total)}."
    if known:
        best, worst = ([f"{name} with {format_metric(value)}"] for name, value in (known[0], known[-1]))
        description += f" Best: {best[0]}; worst: {worst[0]}."
    return render_chart(f"{metric.lower()}_by_sequence", title, description, draw)


def sequence_change_chart(metric: str, values: Mapping[str, float]) -> Chart:
    """Draws bars of the gain in one metric in percentage points by sequence, greatest gain first."""
    shown, left_out = _best_and_worst(values)

    def draw(width: float) -> Figure:
        figure, all_axes = _bar_columns(width, len(shown))
        for axes, part in zip(all_axes, _split(shown, len(all_axes)), strict=True):
            _draw_bars(axes, part, _change_colors(part), format_change, _label_columns(width))
        _set_limits(all_axes, [value for _, value in shown])
        return figure

    description = f"Horizontal bars, greatest gain first{left_out}. {count_changes(values.values())}"
    title = f"Change of {metric} by sequence (percentage points){left_out}"
    return render_chart(f"{metric.lower()}_change_by_sequence", title, description, draw)


def joint_chart(metrics: Mapping[str, np.ndarray]) -> Chart:
    """Draws bars of some metrics in percent by joint; values [16] are in the order of `JOINTS`, the total last."""

    def draw(width: float) -> Figure:
        figure, all_axes = _panels(width, len(metrics))
        all_colors = itertools.cycle(_LINE_COLORS)
        for axes, (name, values), color in zip(all_axes, metrics.items(), all_colors, strict=False):
            colors = [*[color] * len(JOINTS), "muted"]
            _draw_bars(axes, _by_joint(values), colors, format_metric, 16)
            _set_limits([axes], values, least_high=100)
            axes.set_title(f"{name} (%)")
        return figure

    description = f"Horizontal bars of {', '.join(metrics)} per joint and in total; the numbers are in the table."
    return render_chart("joints", f"{', '.join(metrics)} by joint", description, draw)


def joint_change_chart(metrics: Mapping[str, np.ndarray]) -> Chart:
    """Draws bars of the gains in some metrics in percentage points by joint; [16] as those of `joint_chart`."""

    def draw(width: float) -> Figure:
        figure, all_axes = _panels(width, len(metrics))
        for axes, (name, values) in zip(all_axes, metrics.items(), strict=True):
            bars = _by_joint(values)
            _draw_bars(axes, bars, _change_colors(bars), format_change, 16)
            _set_limits([axes], values)
            axes.set_title(f"{name} (points)")
        return figure

    description = f"Horizontal bars of the change of {', '.join(metrics)} per joint and in total."
    return render_chart("joint_changes", "Change by joint (percentage points)", description, draw)


def count_changes(changes: Iterable[float]) -> str:
    """Returns a sentence on how many sequences got better or worse by at least 0.05 percentage points."""
    rounded = [round(change, 1) for change in changes]
    better, worse = sum(change > 0 for change in rounded), sum(change < 0 for change in rounded)
    return f"Of {len(rounded)} sequences, {better} got better, {worse} worse, {len(rounded) - better - worse} neither."


def joint_names() -> list[str]:
    """Returns the names of `JOINTS` in words, then "total"."""
    return [*map(joint_in_words, JOINTS), "total"]


def joint_in_words(joint: str) -> str:
    """Returns the name of a joint as all tables of a page show it."""
    return PUBLISHED_NAMES.get(joint, joint).replace("_", " ")


def format_metric(value: float) -> str:
    """Returns a number with one decimal and a true minus sign, and a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def format_change(value: float) -> str:
    """Returns a number as `format_metric` does, with a plus sign for gains."""
    return ("+" if value >= 0.05 else "") + format_metric(value)


_Bars = Sequence[tuple[str, float]]


def _best_and_worst(values: Mapping[str, float], higher_is_better: bool = True) -> tuple[_Bars, str]:
    """Returns names and values, best first and NaN last, and a phrase about the values that are left out."""
    sign = -1 if higher_is_better else 1
    ordered = sorted(values.items(), key=lambda item: (math.isnan(item[1]), sign * item[1], item[0]))
    if len(ordered) <= NUM_BEST + NUM_WORST:
        return ordered, ""
    left_out = f", the {NUM_BEST} best and the {NUM_WORST} worst of {len(ordered)}"
    # Sequences without a value are neither best nor worst.
    known = [item for item in ordered if not math.isnan(item[1])]
    known = known if len(known) > NUM_BEST + NUM_WORST else ordered
    return [*known[:NUM_BEST], *known[-NUM_WORST:]], left_out


def _split(bars: _Bars, num_columns: int) -> list[_Bars]:
    size = math.ceil(len(bars) / num_columns)
    return [bars[start : start + size] for start in range(0, max(1, len(bars)), max(1, size))]


def _bar_columns(width: float, num_bars: int) -> tuple[Figure, list[Axes]]:
    num_columns = 2 if width > NARROW and num_bars > NUM_BEST else 1
    figure = new_figure(width, math.ceil(num_bars / num_columns) * _BAR_INCHES + 0.7)
    return figure, list(figure.subplots(1, num_columns, squeeze=False)[0])


def _panels(width: float, number: int) -> tuple[Figure, list[Axes]]:
    """Makes panels side by side, or one below the other on narrow pages."""
    height = (len(JOINTS) + 1) * _BAR_INCHES + 0.6
    if width <= NARROW:
        figure = new_figure(width, number * height)
        return figure, list(figure.subplots(number, 1, squeeze=False)[:, 0])
    figure = new_figure(width, height)
    return figure, list(figure.subplots(1, number, squeeze=False)[0])


def _label_columns(width: float) -> int:
    return 18 if width <= NARROW else 26


def _by_joint(values: np.ndarray) -> _Bars:
    return [(joint_names()[index], float(values[index])) for index in READING_ORDER]


def _change_colors(bars: _Bars) -> list[str]:
    return ["better" if value >= 0 else "worse" for _, value in bars]


def _draw_bars(
    axes: Axes, bars: _Bars, colors: Sequence[str], number: Callable[[float], str], label_columns: int
) -> None:
    """Draws horizontal bars from top to bottom, each with its number at the end."""
    rows = range(len(bars))
    lengths = [_bar_length(value) for _, value in bars]
    axes.barh(rows, lengths, height=0.68, color=[COLORS[color] for color in colors])
    axes.set_yticks(rows, [shorten(name, label_columns) for name, _ in bars], color=COLORS["ink"])
    axes.set_ylim(max(len(bars), 1) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=COLORS["muted"], linewidth=0.8)
    for row, (_, value) in enumerate(bars):
        # The number is right of the bar even if the bar is left of zero, since the names are on the left.
        place = (max(0.0, lengths[row]), row)
        label = f"{'◂ ' if value < -LONGEST_BAR else ''}{number(value)}{' ▸' if value > LONGEST_BAR else ''}"
        # The box hides the lines behind the number.
        box = {"facecolor": COLORS["paper"], "edgecolor": "none", "pad": 1.5}
        axes.annotate(label, place, xytext=(3, 0), textcoords="offset points", va="center", fontsize=8, bbox=box)


def _bar_length(value: float) -> float:
    return 0.0 if math.isnan(value) else min(max(value, -LONGEST_BAR), LONGEST_BAR)


def _set_limits(all_axes: Iterable[Axes], values: Iterable[float], least_high: float = 0.0) -> None:
    """Sets limits that include all values and 0, with room for the numbers at the ends of the bars."""
    lengths = [_bar_length(float(value)) for value in values]
    low, high = min([0.0, *lengths]), max([0.0, *lengths])
    room = 0.17 * max(high - low, 1e-3)
    for axes in all_axes:
        axes.set_xlim(low - 0.02 * (high - low), max(high + room, least_high))
        set_round_ticks(axes, "x", 6)
