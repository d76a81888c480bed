"""The page of what is better and what is worse in a second set of PoseTrack figures."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from tfpose.metrics.average_precision import TieRule
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.metrics.report import Table, comparison_table
from tfpose.report.charts import (
    Curves,
    count_changes,
    format_metric,
    joint_change_chart,
    precision_envelopes,
    precision_recall_chart,
    sequence_change_chart,
)
from tfpose.report.page import Card, Section, ShownTable, write_page
from tfpose.report.scores import joint_table, main_measures, summary_cards


def write_comparison(
    path: str | pathlib.Path,
    first: PoseTrackReport,
    second: PoseTrackReport,
    *,
    names: tuple[str, str],
    provenance: Mapping,
    tie_rule: TieRule = "stable",
) -> None:
    """Writes what got better and worse from the first to the second of two reports on the same ground truth.

    Args:
        path: of the page; its folder must be there. Charts go into `<stem>_pictures` beside it.
        first: the one compared to.
        second: the one that is better where figures are positive.
        names: of the two, for readers.
        provenance: see `write_page`.
        tie_rule: by which both reports' AP was counted, for the curves.

    Raises:
        OSError: the files cannot be written.
        ValueError: the reports are about different sequences, or have no figures in common.
    """
    sections = comparison_sections(first, second, names, tie_rule)
    write_page(path, f"{names[1]} compared to {names[0]}", sections, provenance)


def comparison_sections(
    first: PoseTrackReport, second: PoseTrackReport, names: tuple[str, str], tie_rule: TieRule = "stable"
) -> list[Section]:
    """The sections of `write_comparison`, for pages with more of them."""
    measures = [main_measures(report.total) for report in (first, second)]
    common = [metric for metric in measures[0] if metric in measures[1]]
    if not common:
        found = [", ".join(known) or "none" for known in measures]
        raise ValueError(f"reports to compare should share AP, MOTA or HOTA, found {found[0]} and {found[1]}")
    text = f"Changes from {names[0]} to {names[1]}, in percentage points. Positive, blue: {names[1]} is better; "
    text += f"negative, orange: {names[0]} is better. The darker, the greater the change."
    changes = {metric: measures[1][metric] - measures[0][metric] for metric in common}
    sections = [
        Section("summary", "Summary", text, cards=_cards(first, second, names)),
        *(_change_section(first, second, metric) for metric in common),
        Section("joints", "Joints", charts=[joint_change_chart(changes)], tables=[_joint_changes(first, second)]),
    ]
    evaluations = [_curves(report, name, tie_rule) for report, name in zip((first, second), names, strict=True)]
    if None not in evaluations:
        sections.append(_curves_section(evaluations))
    return sections


def _cards(first: PoseTrackReport, second: PoseTrackReport, names: tuple[str, str]) -> list[Card]:
    earlier = {card.label: card.value for card in summary_cards(first.total)}
    return [
        dataclasses.replace(
            card,
            note=f"{names[0]}: {format_metric(earlier[card.label])}",
            change=card.value - earlier[card.label],
        )
        for card in summary_cards(second.total)
        if card.label in earlier
    ]


def _change_section(first: PoseTrackReport, second: PoseTrackReport, metric: str) -> Section:
    """What changed in one metric, by sequence and joint group."""
    table = comparison_table(first, second, metric.lower())
    totals = {name: float(values[-1]) for name, values in table.rows if name != "total"}
    shown = Table(f"Change of {metric} (percentage points)", table.columns, table.rows)
    return Section(
        f"changes-{metric.lower()}",
        f"Change of {metric}",
        count_changes(totals.values()) if totals else "",
        charts=[sequence_change_chart(metric, totals)] if totals else (),
        tables=[ShownTable(shown, is_change=True)],
    )


def _joint_changes(first: PoseTrackReport, second: PoseTrackReport) -> ShownTable:
    tables = [joint_table(report.total) for report in (first, second)]
    columns = [column for column in tables[0].columns if column in tables[1].columns]
    values = [
        np.stack([row[[table.columns.index(column) for column in columns]] for _, row in table.rows])
        for table in tables
    ]
    names = [name for name, _ in tables[0].rows]
    rows = tuple(zip(names, values[1] - values[0], strict=True))
    return ShownTable(Table("Change of each joint (percentage points)", tuple(columns), rows), "joint", is_change=True)


def _curves(report: PoseTrackReport, name: str, tie_rule: TieRule) -> Curves | None:
    if report.samples is None or report.total.average_precision is None:
        return None
    return Curves(name, precision_envelopes(report.samples, tie_rule), report.total.average_precision.ap)


def _curves_section(evaluations: list[Curves]) -> Section:
    names = [evaluation.name for evaluation in evaluations]
    text = f"Solid: {names[0]}; dashed: {names[1]}. The AP in each panel is that of the first, then of the second. At "
    text += "each recall the best precision at that recall or more is drawn, so AP is the area below."
    return Section("curves", "Precision and recall", text, charts=[precision_recall_chart(evaluations)])
