"""The page of what is better and what is worse in a second set of PoseTrack metrics."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from tfpose.metrics.average_precision import TieRule
from tfpose.metrics.catalog import objectives
from tfpose.metrics.posetrack_metrics import PoseTrackReport, computed_columns, main_columns
from tfpose.metrics.report import Table, comparison_table
from tfpose.report.charts import (
    READING_ORDER,
    Curves,
    count_changes,
    format_metric,
    joint_change_chart,
    joint_names,
    precision_envelopes,
    precision_recall_chart,
    sequence_change_chart,
)
from tfpose.report.page import Card, Section, ShownTable, write_page
from tfpose.report.scores import summary_cards


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
        path: Path of the page; its folder must exist. Charts go into `<stem>_pictures` beside it.
        first: The report to compare with.
        second: The report that is better where changes are positive.
        names: Names of the two reports for readers.
        provenance: Where the metrics come from; see `write_page`.
        tie_rule: Order of equal scores, as AP was counted in both reports, for the curves.

    Raises:
        OSError: The files cannot be written.
        ValueError: The reports are about different sequences, or have no metric in common.
    """
    sections = comparison_sections(first, second, names, tie_rule)
    write_page(path, f"{names[1]} compared to {names[0]}", sections, provenance)


def comparison_sections(
    first: PoseTrackReport, second: PoseTrackReport, names: tuple[str, str], tie_rule: TieRule = "stable"
) -> list[Section]:
    """Returns the sections of `write_comparison`, for pages with more sections."""
    main = [main_columns(report.total) for report in (first, second)]
    common = [metric for metric in main[0] if metric in main[1]]
    if not common:
        known = " or ".join(objectives().values())
        labels = [", ".join(columns) or "none" for columns in main]
        raise ValueError(f"reports to compare must share {known}, got {labels[0]} and {labels[1]}")
    text = f"Changes from {names[0]} to {names[1]}, in percentage points. Positive, blue: {names[1]} is better; "
    text += f"negative, orange: {names[0]} is better. The darker, the greater the change."
    changes = {metric: main[0][metric].column.gain(main[0][metric].values, main[1][metric].values) for metric in common}
    sections = [
        Section("summary", "Summary", text, cards=_cards(first, second, names)),
        *(_change_section(first, second, metric) for metric in common),
        Section("joints", "Joints", charts=[joint_change_chart(changes)], tables=[_joint_changes(first, second)]),
    ]
    found = (_curves(report, name, tie_rule) for report, name in zip((first, second), names, strict=True))
    evaluations = [curves for curves in found if curves is not None]
    if len(evaluations) == 2:
        sections.append(_curves_section(evaluations))
    return sections


def _cards(first: PoseTrackReport, second: PoseTrackReport, names: tuple[str, str]) -> list[Card]:
    earlier = {card.label: card.value for card in summary_cards(first.total)}
    signs = {c.column.card_label: 1 if c.column.higher_is_better else -1 for c in computed_columns(second.total)}
    return [
        dataclasses.replace(
            card,
            note=f"{names[0]}: {format_metric(earlier[card.label])}",
            change=signs[card.label] * (card.value - earlier[card.label]),
        )
        for card in summary_cards(second.total)
        if card.label in earlier
    ]


def _change_section(first: PoseTrackReport, second: PoseTrackReport, metric: str) -> Section:
    """Builds the section of the changes in one metric, by sequence and joint group."""
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
    earlier, later = (
        {c.column.joint_label: c for c in computed_columns(report.total) if c.column.joint_label}
        for report in (first, second)
    )
    labels = tuple(label for label in earlier if label in later)
    changes = np.stack([later[label].column.gain(earlier[label].values, later[label].values) for label in labels])
    rows = tuple((joint_names()[index], changes[:, index]) for index in READING_ORDER)
    return ShownTable(Table("Change of each joint (percentage points)", labels, rows), "joint", is_change=True)


def _curves(report: PoseTrackReport, name: str, tie_rule: TieRule) -> Curves | None:
    if report.samples is None or report.total.average_precision is None:
        return None
    return Curves(name, precision_envelopes(report.samples, tie_rule), report.total.average_precision.ap)


def _curves_section(evaluations: list[Curves]) -> Section:
    names = [evaluation.name for evaluation in evaluations]
    text = f"Solid: {names[0]}; dashed: {names[1]}. The AP in each panel is that of the first, then of the second. At "
    text += "each recall the best precision at that recall or more is drawn, so AP is the area below."
    return Section("curves", "Precision and recall", text, charts=[precision_recall_chart(evaluations)])
