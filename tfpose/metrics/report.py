"""Tables of PoseTrack figures: as the official tool prints them, and as text, LaTeX, Markdown and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfpose.metrics.average_precision import JointAveragePrecision
from tfpose.metrics.posetrack_metrics import JOINTS, JOINTS21, PoseTrackMetrics, PoseTrackReport
from tfpose.metrics.tracking import TrackingMetrics

# Columns of the papers' tables, each the mean of its joints.
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
    """[8] figures of `GROUP_NAMES` from those of 15 joints and their total.

    A group with a NaN joint is NaN. The total is taken over, so it is not the mean of the groups.
    """
    means = [np.mean([values[joints.index(joint)] for joint in group]) for group in JOINT_GROUPS.values()]
    return np.array([*means, values[len(joints)]])


@dataclasses.dataclass(frozen=True)
class OfficialTable:
    """A table as poseval prints it, for pasting into LaTeX.

    Attributes:
        header: one line, or two.
        row: one line.
        values: the numbers of the row, unrounded.
    """

    header: str
    row: str
    values: np.ndarray


def official_ap_table(figures: JointAveragePrecision) -> OfficialTable:
    """poseval's table of AP."""
    values = group_means(figures.ap)
    return OfficialTable(_official_line(f"{name:<4s} " for name in GROUP_NAMES[:-1]) + "& Total\\\\\n", *_row(values))


def official_tracking_table(figures: TrackingMetrics) -> OfficialTable:
    """poseval's table: MOTA of the groups, then MOTP, precision and recall of the total."""
    totals = [figures.motp[-1], figures.precision[-1], figures.recall[-1]]
    values = np.concatenate([group_means(figures.mota), totals])
    measures = _official_line(f"{name:<4s} " for name in ["MOTA"] * 8 + ["MOTP", "Prec"]) + "& Rec  \\\\\n"
    groups = _official_line(f"{name:<4s} " for name in GROUP_NAMES[:-1]) + "& Total& Total& Total& Total\\\\\n"
    return OfficialTable(measures + groups, *_row(values))


def _official_line(cells: Iterable[str]) -> str:
    return "".join(f"& {cell}" for cell in cells)


def _row(values: np.ndarray) -> tuple[str, np.ndarray]:
    return "".join(f"&{value:5.1f} " for value in values) + "\\\\\n", values


@dataclasses.dataclass(frozen=True)
class Table:
    """Figures with names.

    Attributes:
        title: what is measured, with unit.
        columns: names.
        rows: name of a row and its numbers, one per column; NaN where there is no figure.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, np.ndarray], ...]


def report_tables(report: PoseTrackReport) -> list[Table]:
    """The tables of all figures in a report; sequences, where it has them, are rows before the total."""
    return metric_tables([*report.sequences.items(), ("total", report.total)])


def metric_tables(rows: Sequence[tuple[str, PoseTrackMetrics]]) -> list[Table]:
    """The tables of the figures under these names, a row each; those that nobody has figures for are left out."""
    tables = (_ap_table(rows), _tracking_table(rows, is_clean=False), _tracking_table(rows, is_clean=True))
    tables21 = (_pose_map_table(rows), _hota_table(rows, is_clean=False), _hota_table(rows, is_clean=True))
    return [table for table in (*tables, *tables21) if table.rows]


_Rows = Sequence[tuple[str, PoseTrackMetrics]]


def _ap_table(rows: _Rows) -> Table:
    known = [(name, figures.average_precision) for name, figures in rows if figures.average_precision is not None]
    return Table("AP (%)", GROUP_NAMES, tuple((name, group_means(figures.ap)) for name, figures in known))


def _tracking_table(rows: _Rows, is_clean: bool) -> Table:
    both = [(name, figures.clean_tracking if is_clean else figures.tracking) for name, figures in rows]
    known = [(name, figures) for name, figures in both if figures is not None]
    columns = (*(f"MOTA {name}" for name in GROUP_NAMES), "MOTP", "MOTP matched", "Prec", "Rec")
    title = "MOTA with all frames as they are (%)" if is_clean else "MOTA (%)"
    return Table(title, columns, tuple((name, _tracking_row(figures)) for name, figures in known))


def _tracking_row(figures: TrackingMetrics) -> np.ndarray:
    totals = (figures.motp, figures.motp_matched, figures.precision, figures.recall)
    return np.concatenate([group_means(figures.mota), [values[-1] for values in totals]])


def _pose_map_table(rows: _Rows) -> Table:
    known = [(name, figures.pose_map) for name, figures in rows if figures.pose_map is not None]
    values = tuple((name, group_means(figures.ap, JOINTS21)) for name, figures in known)
    return Table("PoseTrack21 mAP (%)", GROUP_NAMES, values)


def _hota_table(rows: _Rows, is_clean: bool) -> Table:
    both = [(name, figures.clean_hota if is_clean else figures.hota) for name, figures in rows]
    known = [(name, figures) for name, figures in both if figures is not None]
    columns = tuple(known[0][1]) if known else ()
    title = "HOTA, total, with empty frames counted once (%)" if is_clean else "HOTA, total (%)"
    return Table(title, columns, tuple((name, np.array([f[c][-1] for c in columns])) for name, f in known))


def comparison_table(first: PoseTrackReport, second: PoseTrackReport, metric: str = "mota") -> Table:
    """By how much the second of two reports on the same ground truth is better, per sequence and joint group.

    Args:
        first: with figures per sequence.
        second: likewise.
        metric: "ap", "mota" or "hota".

    Raises:
        ValueError: a report lacks the metric, or the reports are about different sequences.
    """
    if list(first.sequences) != list(second.sequences):
        only = sorted(set(first.sequences) ^ set(second.sequences))
        raise ValueError(f"reports to compare should be about the same sequences; only one of them has {only[:5]}")
    pairs = [*zip(first.sequences.values(), second.sequences.values(), strict=True), (first.total, second.total)]
    rows = (group_difference(*pair, metric) for pair in pairs)
    title = f"{metric.upper()}, second minus first (percentage points)"
    return Table(title, GROUP_NAMES, tuple(zip([*first.sequences, "total"], rows, strict=True)))


def group_difference(first: PoseTrackMetrics, second: PoseTrackMetrics, metric: str) -> np.ndarray:
    """[8] second minus first, in percentage points, by joint group."""
    values, joints = zip(_metric_values(first, metric), _metric_values(second, metric), strict=True)
    return group_means(values[1], joints[0]) - group_means(values[0], joints[0])


def _metric_values(figures: PoseTrackMetrics, metric: str) -> tuple[np.ndarray, Sequence[str]]:
    """[16] figures, and the names of the first 15."""
    if metric == "ap" and figures.average_precision is not None:
        return figures.average_precision.ap, JOINTS
    if metric == "mota" and figures.tracking is not None:
        return figures.tracking.mota, JOINTS
    if metric == "hota" and figures.hota is not None:
        return figures.hota["HOTA"], JOINTS21
    raise ValueError(f"metric to compare should be 'ap', 'mota' or 'hota' and computed, got {metric!r}")


def render_text(table: Table) -> str:
    """For terminals: aligned columns, one decimal."""
    cells = [["", *table.columns], *([name, *map(_number, values)] for name, values in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells)
    return "\n".join([table.title, *lines]) + "\n"


def render_markdown(table: Table) -> str:
    """With the title above; one decimal."""
    head = ["| " + " | ".join(["", *table.columns]) + " |", "| --- |" + " ---: |" * len(table.columns)]
    rows = ["| " + " | ".join([name.replace("|", "\\|"), *map(_number, values)]) + " |" for name, values in table.rows]
    return "\n".join([f"**{table.title}**", "", *head, *rows]) + "\n"


def render_latex(table: Table) -> str:
    """A tabular; needs no packages."""
    columns = "l" + "r" * len(table.columns)
    lines = [" & ".join(["", *map(_latex_text, table.columns)]) + " \\\\", "\\hline"]
    lines += [" & ".join([_latex_text(name), *map(_number, values)]) + " \\\\" for name, values in table.rows]
    title = f"% {table.title}"
    return "\n".join([title, f"\\begin{{tabular}}{{{columns}}}", *lines, "\\end{tabular}"]) + "\n"


def render_csv(table: Table) -> str:
    """All digits; empty where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.title, *table.columns])
    for name, values in table.rows:
        writer.writerow([name, *("" if value != value else repr(value) for value in values.tolist())])
    return text.getvalue()


RENDERERS = {"text": render_text, "latex": render_latex, "markdown": render_markdown, "csv": render_csv}


def _number(value: float) -> str:
    return f"{value:.1f}"


def _latex_text(text: str) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in text)
