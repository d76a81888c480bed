"""The tables of a training run, and their curves."""

from __future__ import annotations

import csv
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tfpose.messages import MOST_OF_A_VALUE, count_of, printable
from tfpose.report.charts import format_metric
from tfpose.report.evaluation_file import Columns, TrainingTables
from tfpose.report.page import Section
from tfpose.report.svg import COLORS, NARROW, Chart, new_figure, render_chart, round_ticks, set_round_ticks, shorten
from tfpose.report.system_charts import SYSTEM_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING_FILE, EVALUATION_FILE = "train.csv", "eval.csv"
# A line in a chart has no more pixels than this number of rows.
_MOST_ROWS = 1000
# Columns of eval.csv that are shown if they are there.
_SHOWN_METRICS = ("AP", "PCK", "PCKh")
_LINE_COLORS = ("first", "second", "third")
_LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))


def has_training_tables(workdir: str | pathlib.Path) -> bool:
    """Returns whether a folder holds the tables of a training run; imported weights have none."""
    return (pathlib.Path(workdir) / TRAINING_FILE).is_file()


def read_training_tables(workdir: str | pathlib.Path) -> TrainingTables:
    """Reads train.csv and eval.csv of a run; of long tables every n-th row and the last row.

    Raises:
        FileNotFoundError: There is no train.csv.
        ValueError: A file is not such a table; the message names the file.
    """
    paths = [pathlib.Path(workdir) / name for name in (TRAINING_FILE, EVALUATION_FILE)]
    if not paths[0].is_file():
        raise FileNotFoundError(f"{paths[0]}: file not found; expected the table of a training run")
    return TrainingTables(_read_table(paths[0], ("step", "loss")), _read_table(paths[1], ("step",)))


def _read_table(path: pathlib.Path, needed: Sequence[str]) -> Columns:
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: must be a table of numbers, got something else ({error})") from error
    lacking = [name for name in needed if name not in header]
    if lacking:
        found = printable(", ".join(header), MOST_OF_A_VALUE)
        raise ValueError(f"{path}: must have a column {lacking[0]!r}, got {found}")
    # A killed run can leave half a row.
    rows = [row for row in rows if len(row) == len(header)]
    every = max(1, math.ceil(len(rows) / _MOST_ROWS))
    rows = rows[::-every][::-1]
    return {name: [_number(row[column]) for row in rows] for column, name in enumerate(header)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def training_section(tables: TrainingTables) -> Section:
    """Builds the section of the loss and the metrics on the validation split."""
    return Section("training", "Training", describe_training(tables), charts=[training_chart(tables)])


def training_chart(tables: TrainingTables) -> Chart:
    """Draws the loss, the validation metrics and the learning rate, as far as the tables hold them."""
    metrics = {name: tables.evaluation[name] for name in shown_metrics(tables.evaluation)}
    panels = ["loss", *(["metrics"] if metrics else []), *(["rate"] if "learning_rate" in tables.training else [])]

    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        figure = new_figure(width, 2.1 * len(panels) if is_narrow else 2.6)
        shape = (len(panels), 1) if is_narrow else (1, len(panels))
        for axes, panel in zip(figure.subplots(*shape, squeeze=False).ravel(), panels, strict=True):
            if panel == "metrics":
                _draw_lines(axes, "Validation (%)", tables.evaluation["step"], metrics, marker="o")
            else:
                name, title = ("loss", "Loss") if panel == "loss" else ("learning_rate", "Learning rate")
                _draw_lines(axes, title, tables.training["step"], {name: tables.training[name]})
                _choose_scale(axes, tables.training[name], is_logarithmic=panel == "loss")
        return figure

    return render_chart(
        "training", "Loss, validation and learning rate over the steps", describe_training(tables), draw
    )


def runs_chart(runs: Mapping[str, TrainingTables]) -> Chart:
    """Draws the loss and one validation metric of several runs, a line for each run.

    Args:
        runs: Tables by the names of the runs; at most as many as there are `SYSTEM_STYLES`.
    """
    losses = {name: (tables.training["step"], tables.training["loss"]) for name, tables in runs.items()}
    metric = common_metric(runs.values())
    panels = {"Loss": losses}
    if metric:
        evaluated = {name: tables.evaluation for name, tables in runs.items() if metric in tables.evaluation}
        panels[f"Validation {metric} (%)"] = {name: (t["step"], t[metric]) for name, t in evaluated.items()}

    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        figure = new_figure(width, 2.1 * len(panels) if is_narrow else 2.6)
        shape = (len(panels), 1) if is_narrow else (1, len(panels))
        styles = {name: COLORS[color] for name, (color, _) in zip(runs, SYSTEM_STYLES, strict=False)}
        for axes, (title, lines) in zip(figure.subplots(*shape, squeeze=False).flat, panels.items(), strict=True):
            for name, (steps, values) in lines.items():
                marker = "o" if title != "Loss" else ""
                axes.plot(steps, values, color=styles[name], marker=marker, markersize=3, label=shorten(name, 30))
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.set_xlim(left=0, right=1.03 * max([1.0, *(step for steps, _ in losses.values() for step in steps)]))
            set_round_ticks(axes, "x", 5)
            _choose_scale(axes, [v for _, values in lines.values() for v in values], is_logarithmic=title == "Loss")
        figure.axes[0].legend(fontsize=8, handlelength=2.2)
        return figure

    description = " ".join(f"{name}: {describe_training(tables)}" for name, tables in runs.items())
    return render_chart("runs", "Loss and validation of the training runs over the steps", description, draw)


def common_metric(tables: Iterable[TrainingTables]) -> str:
    """Returns the validation metric that most runs have, the first of them in the order of the columns; or ""."""
    names = [name for table in tables for name in shown_metrics(table.evaluation)]
    return max(dict.fromkeys(names), key=names.count, default="")


def shown_metrics(evaluation: Columns) -> list[str]:
    """Returns the names of the columns of eval.csv that are drawn, at most three."""
    known = [name for name in _SHOWN_METRICS if name in evaluation]
    return known or [name for name in evaluation if name != "step"][: len(_LINE_COLORS)]


def _draw_lines(
    axes: Axes, title: str, steps: Sequence[float], lines: Mapping[str, Sequence[float]], marker: str = ""
) -> None:
    for (name, values), color, style in zip(lines.items(), _LINE_COLORS, _LINE_STYLES, strict=False):
        axes.plot(steps, values, color=COLORS[color], linestyle=style, marker=marker, markersize=3, label=name)
    axes.set_title(title)
    axes.set_xlabel("step")
    set_round_ticks(axes, "x", 5)
    if len(lines) > 1:
        axes.legend(fontsize=8, handlelength=2.2)


def _choose_scale(axes: Axes, values: Sequence[float], is_logarithmic: bool) -> None:
    """Sets a logarithmic scale for losses, which fall by orders of magnitude, and a linear one for rates."""
    known = [value for value in values if math.isfinite(value)]
    if is_logarithmic and known and min(known) > 0:
        axes.set_yscale("log")
        axes.minorticks_off()
        ticks = _round_numbers(min(known), max(known))
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    elif known:
        axes.set_ylim(bottom=min(0.0, *known))
        set_round_ticks(axes, "y", 6)


def _round_numbers(low: float, high: float) -> list[float]:
    """Returns round numbers for a logarithmic axis: powers of ten, with 2 and 5 times those where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5)):
        numbers = [float(f"{digit}e{power}") for power in powers for digit in digits]
        inside = [number for number in numbers if low <= number <= high]
        if len(inside) >= 3:
            return inside
    return round_ticks(low, high, 5)[0]


def describe_training(tables: TrainingTables) -> str:
    """Returns a sentence or two on the loss and the best validation metric."""
    if not tables.training["step"]:
        return "The tables hold no step."
    losses = [f"{tables.training['loss'][place]:.3g}" for place in (0, -1)]
    text = f"{count_of(int(tables.training['step'][-1]), 'step')}; the loss went from {losses[0]} to {losses[1]}."
    for name in shown_metrics(tables.evaluation)[:1]:
        values = [(value, step) for value, step in zip(tables.evaluation[name], tables.evaluation["step"], strict=True)]
        known = [pair for pair in values if math.isfinite(pair[0])]
        if known:
            best, step = max(known)
            text += f" Best validation {name}: {format_metric(best)} after {count_of(int(step), 'step')}."
    return text
