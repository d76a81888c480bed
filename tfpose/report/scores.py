"""The page of one set of PoseTrack metrics."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfpose.metrics.average_precision import JointAveragePrecision, TieRule
from tfpose.metrics.catalog import METRICS, SEQUENCE_CHART
from tfpose.metrics.intervals import CONFIDENCE_PERCENT, NUM_RESAMPLES, SEED, Interval
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
_METRICS_WITH_INTERVALS = {"average_precision": "mAP", "tracking": "MOTA"}
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
    """Writes one set of metrics as a page, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: Path of the page; its folder must exist.
        report: The metrics; sections without metrics are left out.
        title: Title of the page.
        provenance: Where the metrics come from; see `write_page`.
        tables: Tables to show; None shows those of `report_tables`.
        tie_rule: Order of equal scores, as AP was counted, for the curves.

    Raises:
        OSError: The files cannot be written.
    """
    write_page(path, title, report_sections(report, tables, tie_rule), provenance)


def report_sections(
    report: PoseTrackReport, tables: Sequence[Table] | None = None, tie_rule: TieRule = "stable"
) -> list[Section]:
    """Returns the sections of `write_report`, for pages with more sections."""
    tables = report_tables(report) if tables is None else tables
    sections = [
        Section("summary", "Summary", summary_text(report), cards=summary_cards(report.total, report.intervals)),
        Section("tables", "Tables", TABLES_TEXT, tables=[ShownTable(table) for table in tables]),
    ]
    if report.samples is not None and report.total.average_precision is not None:
        sections.append(curves_section(report.total.average_precision, precision_envelopes(report.samples, tie_rule)))
    sections.append(joint_section(report.total))
    if report.sequences:
        sections.append(sequence_section(report))
    return sections


def curves_section(metrics: JointAveragePrecision, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Section:
    """Builds the section of the precision-recall curves of all joints, which `precision_envelopes` returns."""
    chart = precision_recall_chart([Curves("", curves, metrics.ap)])
    return Section("curves", "Precision and recall", _CURVES_TEXT, charts=[chart])


def summary_cards(metrics: PoseTrackMetrics, intervals: Mapping[str, Interval] | None = None) -> list[Card]:
    """Returns cards with the totals that papers report, each group's main block first; of equal labels the last one.

    Args:
        metrics: Metrics of all sequences.
        intervals: Confidence intervals by the name of the block; see `PoseTrackReport`.
    """
    cards: dict[str, Card] = {}
    groups = list(METRICS)
    columns = sorted(computed_columns(metrics), key=lambda c: (groups.index(c.group), not c.is_in_main_block))
    for found in columns:
        label = found.column.card_label
        if label:
            cards.pop(label, None)
            interval = (intervals or {}).get(METRICS[found.group].main_block) if found.is_main else None
            cards[label] = Card(label, float(found.values[-1]), note=found.column.card_note, interval=interval)
    return list(cards.values())


def joint_table(metrics: PoseTrackMetrics) -> Table:
    """Returns all metrics of each joint from head to feet, and in total."""
    columns = {c.column.joint_label: c.values for c in computed_columns(metrics) if c.column.joint_label}
    names, values = joint_names(), np.stack(list(columns.values()), axis=-1)
    return Table("Each joint (%)", tuple(columns), tuple((names[index], values[index]) for index in READING_ORDER))


def summary_text(report: PoseTrackReport) -> str:
    """Returns a text on how much was scored."""
    text = f"{_count(report.num_sequences, 'sequence')} with {_count(report.total.num_frames, 'evaluated frame')}."
    if report.single_frame_sequences:
        number = len(report.single_frame_sequences)
        verbs = ("says", "is") if number == 1 else ("say", "are")
        text += f" {_count(number, 'sequence')} of a single evaluated frame {verbs[0]} nothing about tracking and "
        text += f"{verbs[1]} left out of its metrics."
    return text


def interval_text(reports: Mapping[str, PoseTrackReport]) -> str:
    """Returns sentences on the method of the confidence intervals, and on the systems that have none.

    Args:
        reports: Reports by the names of their systems.
    """
    with_some = [report for report in reports.values() if report.intervals]
    text = ""
    if with_some:
        text = f"The ranges beside mAP and MOTA are {CONFIDENCE_PERCENT} % confidence intervals: percentile bootstrap, "
        text += (
            f"{NUM_RESAMPLES:,} resamples of the {with_some[0].num_sequences} sequences with replacement, seed {SEED}."
        )
    lacking: dict[tuple[str, str], list[str]] = {}
    for name, report in reports.items():
        reason = "there is only one sequence" if report.num_sequences < 2 else "the results hold no counts for it"
        for block, label in _METRICS_WITH_INTERVALS.items():
            if block in report.total.blocks and block not in report.intervals:
                lacking.setdefault((label, reason), []).append(name)
    for (label, reason), names in lacking.items():
        whose = f" of {', '.join(names)}" if len(reports) > 1 else ""
        text += f" No interval is given for the {label}{whose}: {reason}."
    return text.strip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def joint_section(metrics: PoseTrackMetrics) -> Section:
    """Builds the section of the metrics by joint: a chart of the main ones and a table of all."""
    main = {label: found.values for label, found in main_columns(metrics).items()}
    table = ShownTable(joint_table(metrics), row_kind="joint")
    return Section("joints", "Joints", charts=[joint_chart(main)] if main else (), tables=[table])


def sequence_section(report: PoseTrackReport) -> Section:
    """Builds the section of one metric by sequence: that of `SEQUENCE_CHART`, or of the first computed group."""
    totals = main_columns(report.total)
    total = next((found for found in totals.values() if found.group == SEQUENCE_CHART), next(iter(totals.values())))
    label = total.column.label
    values = {name: float(main_columns(metrics)[label].values[-1]) for name, metrics in report.sequences.items()}
    text = f"{label} of each sequence alone. The metrics of all sequences together are in the tables above."
    note = METRICS[total.group].sequence_note
    chart = sequence_chart(label, values, float(total.values[-1]), total.column.higher_is_better)
    return Section("sequences", "Sequences", f"{text} {note}".rstrip(), charts=[chart])
