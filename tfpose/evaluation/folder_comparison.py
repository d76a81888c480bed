"""Compares the metrics of two folders of predictions: tables in the terminal and a page. NumPy only."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.metrics.catalog import METRICS
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.metrics.report import RENDERERS, Table, comparison_table

COMPARISON_FILE = "comparison.html"


def print_comparison(
    first: PoseTrackReport, second: PoseTrackReport, metrics: Sequence[str], formats: Sequence[str]
) -> None:
    """Prints how much the second report is better, and the sequences and joints that changed most.

    Args:
        first: Report to compare with.
        second: Report that is better or worse.
        metrics: Metrics to compare, keys of `catalog.METRICS`.
        formats: Formats of the tables, keys of `RENDERERS`.
    """
    for metric in metrics:
        table = sort_by_total(comparison_table(first, second, METRICS[metric].main.label.lower()))
        for name in formats:
            print(RENDERERS[name](table))
        print("\n".join(describe_extremes(table)) + "\n")


def sort_by_total(table: Table) -> Table:
    """Sorts the sequences by their last column, best first; sequences without a value and the total come last."""
    *sequences, total = table.rows
    ordered = sorted(sequences, key=lambda row: -row[1][-1] if row[1][-1] == row[1][-1] else np.inf)
    return dataclasses.replace(table, rows=(*ordered, total))


def describe_extremes(table: Table) -> list[str]:
    """Returns lines with the sequence and the joint group of a comparison that gained most and lost most."""
    *sequences, (_, total) = table.rows
    columns = {"sequence": [(name, values[-1]) for name, values in sequences]}
    columns["joint group"] = list(zip(table.columns[:-1], total[:-1], strict=True))
    lines = []
    for kind, gains in columns.items():
        known = [(name, gain) for name, gain in gains if gain == gain]
        if known:
            best, worst = (choose(known, key=lambda pair: pair[1]) for choose in (max, min))
            lines.append(f"{kind}: best {best[0]} ({best[1]:+.1f}), worst {worst[0]} ({worst[1]:+.1f})")
    return lines


def write_comparison_page(
    output_dir: pathlib.Path,
    reports: Sequence[PoseTrackReport],
    folders: Sequence[pathlib.Path],
    provenance: Mapping[str, Any],
) -> pathlib.Path:
    """Writes comparison.html, which shows where the second of two reports is better and worse; returns its path."""
    # Here and not above: scoring alone need not wait for the pages to be imported.
    from tfpose import report as pages

    path = output_dir / COMPARISON_FILE
    names = str(folders[0]), str(folders[1])
    pages.write_comparison(path, *reports, names=names, provenance=provenance)
    return path
