"""The page of one set of PoseTrack figures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfpose.metrics.average_precision import TieRule
from tfpose.metrics.catalog import METRICS, SEQUENCE_CHART
from tfpose.metrics.posetrack_metrics import PoseTrackMetrics, PoseTrackReport, computed_columns, main_columns
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


def summary_cards(metrics: PoseTrackMetrics) -> list[Card]:
    """The totals that papers report, those of each group's main block first; of equal labels the last one."""
    cards: dict[str, Card] = {}
    groups = list(METRICS)
    columns = sorted(computed_columns(metrics), key=lambda c: (groups.index(c.group), not c.is_in_main_block))
    for found in columns:
        label = found.column.card_label
        if label:
            cards.pop(label, None)
            cards[label] = Card(label, float(found.values[-1]), note=found.column.card_note)
    return list(cards.values())


def joint_table(metrics: PoseTrackMetrics) -> Table:
    """All metrics of each joint from head to feet, and in total."""
    columns = {c.column.joint_label: c.values for c in computed_columns(metrics) if c.column.joint_label}
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


def joint_section(metrics: PoseTrackMetrics) -> Section:
    """The main metric of each group and all other metrics by joint."""
    main = {label: found.values for label, found in main_columns(metrics).items()}
    table = ShownTable(joint_table(metrics), row_kind="joint")
    return Section("joints", "Joints", charts=[joint_chart(main)] if main else (), tables=[table])


def sequence_section(report: PoseTrackReport) -> Section:
    """The main metric of one group by sequence: of `SEQUENCE_CHART`, or else of the first group that was computed."""
    totals = main_columns(report.total)
    total = next((found for found in totals.values() if found.group == SEQUENCE_CHART), next(iter(totals.values())))
    label = total.column.label
    values = {name: float(main_columns(metrics)[label].values[-1]) for name, metrics in report.sequences.items()}
    text = f"{label} of each sequence alone. The metrics of all sequences together are in the tables above."
    note = METRICS[total.group].sequence_note
    chart = sequence_chart(label, values, float(total.values[-1]), total.column.higher_is_better)
    return Section("sequences", "Sequences", f"{text} {note}".rstrip(), charts=[chart])
