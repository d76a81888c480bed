"""Tables of PoseTrack metrics: as the official tool prints them, and as text, LaTeX, Markdown and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.metrics.average_precision import JointAveragePrecision
from tfpose.metrics.catalog import DEFAULT_OBJECTIVE, METRICS, Block, Evaluator, group_of, objectives
from tfpose.metrics.joints import JOINTS
from tfpose.metrics.posetrack_metrics import PoseTrackMetrics, PoseTrackReport, main_columns
from tfpose.metrics.tracking import TrackingMetrics

# Columns of the papers' tables; each is the mean of its joints.
JOINT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Head": ("head_top", "neck", "nose"),
    "Shou": ("right_shoulder", "left_shoulder"),
    "Elb": ("right_elbow", "left_elbow"),
    "Wri": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankl": ("right_ankle", "left_ankle"),
}
GROUP_NAMES = (*JOINT_GROUPS, "Total")


def group_means(values: np.ndarray, joints: Sequence[str] = JOINTS) -> np.ndarray:
    """Returns [8] the numbers of `GROUP_NAMES` from the numbers [16] of 15 joints and their total.

    A group with a NaN joint is NaN. The total stays as it is; it is not the mean of the groups.
    """
    means = [np.mean([values[joints.index(joint)] for joint in group]) for group in JOINT_GROUPS.values()]
    return np.array([*means, values[len(joints)]])


@dataclasses.dataclass(frozen=True)
class OfficialTable:
    """A table as poseval prints it, which can be pasted into LaTeX.

    Attributes:
        header: One or two lines.
        row: One line of numbers.
        values: The numbers of the row, not rounded.
    """

    header: str
    row: str
    values: np.ndarray


def official_ap_table(metrics: JointAveragePrecision) -> OfficialTable:
    """Returns poseval's table of AP."""
    values = group_means(metrics.ap)
    return OfficialTable(_official_line(f"{name:<4s} " for name in GROUP_NAMES[:-1]) + "& Total\\\\\n", *_row(values))


def official_tracking_table(metrics: TrackingMetrics) -> OfficialTable:
    """Returns poseval's table of tracking: MOTA of the groups, then the totals of MOTP, precision and recall."""
    totals = [metrics.motp[-1], metrics.precision[-1], metrics.recall[-1]]
    values = np.concatenate([group_means(metrics.mota), totals])
    names = _official_line(f"{name:<4s} " for name in ["MOTA"] * 8 + ["MOTP", "Prec"]) + "& Rec  \\\\\n"
    groups = _official_line(f"{name:<4s} " for name in GROUP_NAMES[:-1]) + "& Total& Total& Total& Total\\\\\n"
    return OfficialTable(names + groups, *_row(values))


def _official_line(cells: Iterable[str]) -> str:
    return "".join(f"& {cell}" for cell in cells)


def _row(values: np.ndarray) -> tuple[str, np.ndarray]:
    return "".join(f"&{value:5.1f} " for value in values) + "\\\\\n", values


@dataclasses.dataclass(frozen=True)
class Table:
    """Numbers with names.

    Attributes:
        title: The metric and its unit.
        columns: Names of the columns.
        rows: Name of each row and its numbers, one for each column; NaN where there is none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, np.ndarray], ...]


def report_tables(report: PoseTrackReport) -> list[Table]:
    """Returns the tables of all metrics in a report; its sequences, if it has any, are rows before the total."""
    return metric_tables([*report.sequences.items(), ("total", report.total)])


def metric_tables(rows: Sequence[tuple[str, PoseTrackMetrics]]) -> list[Table]:
    """Returns the tables of some metrics, with a row for each name; blocks that none of them has are left out."""
    tables = (_block_table(block, group.evaluator, rows) for group in METRICS.values() for block in group.blocks)
    return [table for table in tables if table.rows]


def _block_table(block: Block, evaluator: Evaluator, rows: Sequence[tuple[str, PoseTrackMetrics]]) -> Table:
    first, *others = (column for column in block.columns if column.label)
    prefix = f"{first.label} " if others else ""
    names = [f"{prefix}{name}" for name in GROUP_NAMES] if block.is_grouped else [first.label]

    def numbers(result: Any) -> np.ndarray:
        values = first.read(result)
        shown = group_means(values, evaluator.joints) if block.is_grouped else values[-1:]
        return np.concatenate([shown, [column.read(result)[-1] for column in others]])

    known = ((name, metrics.blocks[block.name]) for name, metrics in rows if block.name in metrics.blocks)
    columns = (*names, *(column.label for column in others))
    return Table(block.title, columns, tuple((name, numbers(result)) for name, result in known))


def comparison_table(first: PoseTrackReport, second: PoseTrackReport, metric: str = DEFAULT_OBJECTIVE) -> Table:
    """Returns by how much the second of two reports is better, for each sequence and joint group.

    Args:
        first: Report with metrics per sequence.
        second: Report with metrics per sequence.
        metric: Key of `catalog.objectives`, such as "mota".

    Raises:
        ValueError: A report lacks the metric, or the reports are about different sequences.
    """
    if list(first.sequences) != list(second.sequences):
        only = sorted(set(first.sequences) ^ set(second.sequences))
        raise ValueError(f"reports to compare must be about the same sequences, got {only[:5]} in only one of them")
    pairs = [*zip(first.sequences.values(), second.sequences.values(), strict=True), (first.total, second.total)]
    rows = tuple(zip([*first.sequences, "total"], [_group_gains(*pair, metric) for pair in pairs], strict=True))
    column = METRICS[group_of(metric)].main
    order = "second minus first" if column.higher_is_better else "first minus second"
    return Table(f"{column.label}, {order} (percentage points)", GROUP_NAMES, rows)


def _group_gains(first: PoseTrackMetrics, second: PoseTrackMetrics, metric: str) -> np.ndarray:
    """Returns [8] by how much the second is better, in percentage points, for each joint group."""
    label = objectives().get(metric)
    found = [main_columns(metrics).get(label or "") for metrics in (first, second)]
    if found[0] is None or found[1] is None:
        raise ValueError(f"metric to compare must be one of {', '.join(objectives())} and computed, got {metric!r}")
    return found[0].column.gain(group_means(found[0].values), group_means(found[1].values))


def render_text(table: Table) -> str:
    """Returns the table as text for terminals: aligned columns, one decimal, a dash where there is no number."""
    cells = [["", *table.columns], *([name, *map(format_number, values)] for name, values in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells)
    return "\n".join([table.title, *lines]) + "\n"


def render_markdown(table: Table) -> str:
    """Returns the table in Markdown below its title, with one decimal."""
    head = ["| " + " | ".join(["", *table.columns]) + " |", "| --- |" + " ---: |" * len(table.columns)]
    rows = [
        "| " + " | ".join([name.replace("|", "\\|"), *map(format_number, values)]) + " |" for name, values in table.rows
    ]
    return "\n".join([f"**{table.title}**", "", *head, *rows]) + "\n"


def render_latex(table: Table) -> str:
    """Returns the table as a LaTeX tabular with one decimal, which requires no packages."""
    columns = "l" + "r" * len(table.columns)
    lines = [" & ".join(["", *map(_latex_text, table.columns)]) + " \\\\", "\\hline"]
    lines += [" & ".join([_latex_text(name), *map(format_number, values)]) + " \\\\" for name, values in table.rows]
    title = f"% {table.title}"
    return "\n".join([title, f"\\begin{{tabular}}{{{columns}}}", *lines, "\\end{tabular}"]) + "\n"


def render_csv(table: Table) -> str:
    """Returns the table as CSV with all digits; cells without a number are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.title, *table.columns])
    for name, values in table.rows:
        writer.writerow([name, *("" if value != value else repr(value) for value in values.tolist())])
    return text.getvalue()


RENDERERS = {"text": render_text, "latex": render_latex, "markdown": render_markdown, "csv": render_csv}


def format_number(value: float, decimals: int = 1) -> str:
    """Returns a number as tables show it: a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _latex_text(text: str) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in text)
