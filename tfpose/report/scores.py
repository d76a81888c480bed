"""The page of one set of PoseTrack figures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfpose.metrics.average_precision import TieRule
from tfpose.metrics.posetrack_metrics import JOINTS, JOINTS21, PoseTrackMetrics, PoseTrackReport
from tfpose.metrics.report import Table, report_tables
from tfpose.report.charts import (
    READING_ORDER,
    Curves,
    joint_chart,
    joint_names,
    precision_envelopes,
    precision_recall_chart,
    sequence_chart,
)
from tfpose.report.page import Card, Section, ShownTable, write_page

# Where a joint of `JOINTS`, or the total, is among the figures of PoseTrack21.
_FROM_JOINTS21 = [*(JOINTS21.index(joint) for joint in JOINTS), len(JOINTS)]
TABLES_TEXT = (
    "The columns of the published tables: joint groups are the mean of their joints, the total is that of all joints. "
    "Select the heading of a column to sort by it."
)
_CURVES_TEXT = (
    "From the most to the least confident joints, over all sequences. At each recall the best precision at that recall "
    "or more is drawn, as AP counts it, so AP is the area below."
)


def write_report(
    path: str | pathlib.Path,
    report: PoseTrackReport,
    *,
    title: str,
    provenance: Mapping,
    tables: Sequence[Table] | None = None,
    tie_rule: TieRule = "stable",
) -> None:
    """Writes one set of figures as a page, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: of the page; its folder must be there.
        report: what was measured; sections that it has no figures for are left out.
        title: of the page.
        provenance: see `write_page`.
        tables: to show; None takes `report_tables`.
        tie_rule: by which the report's AP was counted, for the curves.

    Raises:
        OSError: the files cannot be written.
    """
    write_page(path, title, report_sections(report, tables, tie_rule), provenance)


def report_sections(
    report: PoseTrackReport, tables: Sequence[Table] | None = None, tie_rule: TieRule = "stable"
) -> list[Section]:
    """The sections of `write_report`, for pages with more of them."""
    tables = report_tables(report) if tables is None else tables
    sections = [
        Section("summary", "Summary", summary_text(report), cards=summary_cards(report.total)),
        Section("tables", "Tables", TABLES_TEXT, tables=[ShownTable(table) for table in tables]),
    ]
    if report.samples is not None and report.total.average_precision is not None:
        sections.append(curves_section(report.total, precision_envelopes(report.samples, tie_rule)))
    sections.append(joint_section(report.total))
    if report.sequences:
        sections.append(sequence_section(report))
    return sections


def curves_section(figures: PoseTrackMetrics, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Section:
    """The precision-recall curves of all joints, from `precision_envelopes` and figures with AP."""
    chart = precision_recall_chart([Curves("", curves, figures.average_precision.ap)])
    return Section("curves", "Precision and recall", _CURVES_TEXT, charts=[chart])


def summary_cards(figures: PoseTrackMetrics) -> list[Card]:
    """The totals that papers report."""
    cards = []
    ap, tracking = figures.average_precision, figures.tracking
    if ap is not None:
        cards.append(Card("mAP", ap.ap[-1], note="mean of the joints’ average precision"))
    if tracking is not None:
        cards += [
            Card("MOTA", tracking.mota[-1], note="tracking accuracy, all joints"),
            Card("MOTP", tracking.motp[-1], note="how near the matched joints are"),
        ]
    source = tracking or ap
    if source is not None:
        cards += [
            Card("Precision", source.precision[-1], note="correct among the predicted joints"),
            Card("Recall", source.recall[-1], note="found among the true joints"),
        ]
    if figures.hota is not None:
        cards.append(Card("HOTA", figures.hota["HOTA"][-1], note="PoseTrack21: detection and association"))
    if figures.pose_map is not None:
        cards.append(Card("PT21 mAP", figures.pose_map.ap[-1], note="mAP by PoseTrack21’s rules"))
    return cards


def main_measures(figures: PoseTrackMetrics) -> dict[str, np.ndarray]:
    """AP, MOTA and HOTA in percent, as far as there are; [16] in the order of `JOINTS`, then total."""
    measures = {}
    if figures.average_precision is not None:
        measures["AP"] = figures.average_precision.ap
    if figures.tracking is not None:
        measures["MOTA"] = figures.tracking.mota
    if figures.hota is not None:
        measures["HOTA"] = figures.hota["HOTA"][_FROM_JOINTS21]
    return measures


def joint_table(figures: PoseTrackMetrics) -> Table:
    """All that is known of each joint from head to feet, and in total."""
    columns: dict[str, np.ndarray] = {}
    if figures.average_precision is not None:
        ap = figures.average_precision
        columns |= {"AP": ap.ap, "AP Prec": ap.precision, "AP Rec": ap.recall}
    if figures.tracking is not None:
        mot = figures.tracking
        columns |= {"MOTA": mot.mota, "MOTP": mot.motp, "MOT Prec": mot.precision, "MOT Rec": mot.recall}
    if figures.pose_map is not None:
        columns["PoseTrack21 AP"] = figures.pose_map.ap[_FROM_JOINTS21]
    if figures.hota is not None:
        columns |= {name: figures.hota[name][_FROM_JOINTS21] for name in ("HOTA", "DetA", "AssA")}
    names, values = joint_names(), np.stack(list(columns.values()), axis=-1)
    return Table("Each joint (%)", tuple(columns), tuple((names[index], values[index]) for index in READING_ORDER))


def summary_text(report: PoseTrackReport) -> str:
    """How much was scored."""
    text = f"{_count(report.num_sequences, 'sequence')} with {_count(report.total.num_frames, 'evaluated frame')}."
    if report.single_frame_sequences:
        number = len(report.single_frame_sequences)
        verbs = ("says", "is") if number == 1 else ("say", "are")
        text += f" {_count(number, 'sequence')} of a single evaluated frame {verbs[0]} nothing about tracking and "
        text += f"{verbs[1]} left out of its figures."
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def joint_section(figures: PoseTrackMetrics) -> Section:
    """AP, MOTA and HOTA of each joint."""
    measures = main_measures(figures)
    table = ShownTable(joint_table(figures), row_kind="joint")
    return Section("joints", "Joints", charts=[joint_chart(measures)] if measures else (), tables=[table])


def sequence_section(report: PoseTrackReport) -> Section:
    """MOTA by sequence, or the figure that was asked for instead."""
    totals = main_measures(report.total)
    metric = "MOTA" if "MOTA" in totals else next(iter(totals))
    values = {name: float(main_measures(figures)[metric][-1]) for name, figures in report.sequences.items()}
    text = f"{metric} of each sequence alone. The figures of all sequences are in the tables above."
    if metric == "MOTA":
        text += " MOTA is negative where wrong joints, misses and changes of identity outnumber the true joints."
    chart = sequence_chart(metric, values, float(totals[metric][-1]))
    return Section("sequences", "Sequences", text, charts=[chart])
