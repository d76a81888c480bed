"""Scores folders of PoseTrack files: tables in the terminal, metrics.json, pages. NumPy only."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import __version__
from tfpose.evaluation.metrics_file import write_metrics
from tfpose.evaluation.progress import LateProgress
from tfpose.metrics.catalog import METRICS
from tfpose.metrics.matching import MATCH_RADIUS
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.metrics.report import (
    RENDERERS,
    Table,
    comparison_table,
    official_ap_table,
    official_tracking_table,
    report_tables,
)

COMPARISON_FILE = "comparison.html"


@dataclasses.dataclass(frozen=True)
class ScoringSettings:
    """What to compute and to show.

    Attributes:
        options: which figures.
        per_sequence: the figures of each sequence alone as well.
        table_formats: of the printed tables, any of `RENDERERS`.
        has_page: write report.html, and what it takes to write it again.
        num_processes: None takes as many as there are cores.
        images: folder that the names of pictures in the ground truth are below of, for the page.
        frames_per_second: of the video of the page.

    Raises:
        ValueError: a format of tables is not known.
    """

    options: PoseTrackOptions = PoseTrackOptions()
    per_sequence: bool = False
    table_formats: Sequence[str] = ("text",)
    has_page: bool = False
    num_processes: int | None = None
    images: pathlib.Path | None = None
    frames_per_second: float = 10.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.table_formats if name not in RENDERERS]
        if unknown or not self.table_formats:
            found = ", ".join(unknown) or "none"
            raise ValueError(f"table must be some of {', '.join(RENDERERS)}, got {found}")


def score_folders(
    ground_truth: pathlib.Path,
    predictions: pathlib.Path,
    output_dir: pathlib.Path,
    settings: ScoringSettings,
    compared: pathlib.Path | None = None,
    **provenance: Any,
) -> pathlib.Path:
    """Scores a folder of predictions, and a second one beside it where there is one.

    Args:
        ground_truth: folder.
        predictions: folder.
        output_dir: for metrics.json and pages.
        settings: what to compute and to show.
        compared: a second folder of predictions.
        **provenance: entries of metrics.json beside those that are always there.

    Returns:
        The path of metrics.json.

    Raises:
        FileNotFoundError, ValueError: as `evaluate_posetrack`.
    """
    folders = [predictions] if compared is None else [predictions, compared]
    needs_sequences = settings.per_sequence or settings.has_page or compared is not None
    reports = [_evaluate(ground_truth, folder, settings, needs_sequences) for folder in folders]
    shown = [report if settings.per_sequence else dataclasses.replace(report, sequences={}) for report in reports]
    provenance = describe_files(ground_truth, predictions, reports[0], settings.options) | provenance
    metrics: dict[str, Any] = shown[0].to_dict()
    if compared is not None:
        metrics["comparison"] = {"predictions": str(compared), **shown[1].to_dict()}
    path = write_metrics(output_dir, metrics | {"provenance": provenance})
    print_report(shown[0], settings.table_formats)
    if compared is not None:
        print_comparison(reports[0], reports[1], settings)
    written = [path]
    if settings.has_page:
        written += _write_report((ground_truth, predictions), output_dir, reports[0], provenance, settings)
    if compared is not None:
        written.append(write_comparison_page(output_dir, reports, folders, provenance))
    print(f"written: {', '.join(map(str, written))}")
    return path


def _evaluate(
    ground_truth: pathlib.Path, predictions: pathlib.Path, settings: ScoringSettings, per_sequence: bool
) -> PoseTrackReport:
    with LateProgress("scoring", "sequences") as progress:
        report = evaluate_posetrack(
            ground_truth, predictions, settings.options, per_sequence, settings.num_processes, progress
        )
    for name in report.single_frame_sequences:
        print(f"note: {name} has one evaluated frame, about which tracking figures say nothing", file=sys.stderr)
    return report


def describe_files(
    ground_truth: pathlib.Path, predictions: pathlib.Path, report: PoseTrackReport, options: PoseTrackOptions
) -> dict[str, Any]:
    """What figures of files are of: the block `provenance` of metrics.json."""
    return {
        "boxes": f"those of {predictions}",
        "labels": str(ground_truth),
        **describe_scoring(report, options),
        "version": __version__,
    }


def describe_scoring(report: PoseTrackReport, options: PoseTrackOptions) -> dict[str, Any]:
    """How much was scored, and by which rules."""
    thresholds = {"match_radius_head_sizes": MATCH_RADIUS, "tie_rule": options.tie_rule}
    for name in options.metrics:
        thresholds |= METRICS[name].thresholds
    return {
        "metrics": list(options.metrics),
        "sequences": report.num_sequences,
        "frames": report.total.num_frames,
        "thresholds": thresholds,
    }


def print_report(report: PoseTrackReport, formats: Sequence[str]) -> None:
    """Prints the papers' tables; with LaTeX also the lines that poseval prints for it."""
    for name in formats:
        for table in report_tables(report):
            print(RENDERERS[name](table))
        if name == "latex":
            print(official_lines(report))


def official_lines(report: PoseTrackReport) -> str:
    """What poseval prints, for pasting into LaTeX."""
    figures = report.total
    tables = [official_ap_table(figures.average_precision)] if figures.average_precision is not None else []
    tables += [official_tracking_table(figures.tracking)] if figures.tracking is not None else []
    return "".join(f"% as poseval prints it\n{table.header}{table.row}" for table in tables)


def print_comparison(first: PoseTrackReport, second: PoseTrackReport, settings: ScoringSettings) -> None:
    """Prints by how much the second folder is better, and which sequences and joints changed most."""
    for metric in settings.options.metrics:
        table = sort_by_total(comparison_table(first, second, METRICS[metric].main.label.lower()))
        for name in settings.table_formats:
            print(RENDERERS[name](table))
        print("\n".join(describe_extremes(table)) + "\n")


def sort_by_total(table: Table) -> Table:
    """The rows of sequences by their last column, the best first, those without a figure and the total last."""
    *sequences, total = table.rows
    ordered = sorted(sequences, key=lambda row: -row[1][-1] if row[1][-1] == row[1][-1] else np.inf)
    return dataclasses.replace(table, rows=(*ordered, total))


def describe_extremes(table: Table) -> list[str]:
    """Lines naming the sequence and joint group of a comparison that gained most, and those that lost most."""
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


def _write_report(
    folders: tuple[pathlib.Path, pathlib.Path],
    output_dir: pathlib.Path,
    report: PoseTrackReport,
    provenance: Mapping[str, Any],
    settings: ScoringSettings,
) -> list[pathlib.Path]:
    # It draws; scoring alone need not wait for that to be loaded.
    from tfpose.evaluation.report_files import begin_evaluation, write_folder_report

    evaluation = begin_evaluation(output_dir, report, provenance, settings.options.tie_rule)
    return write_folder_report(folders, evaluation, settings.images, settings.frames_per_second)


def write_comparison_page(
    output_dir: pathlib.Path,
    reports: Sequence[PoseTrackReport],
    folders: Sequence[pathlib.Path],
    provenance: Mapping[str, Any],
) -> pathlib.Path:
    """Writes comparison.html: what the second of two reports is better and worse at."""
    from tfpose import report as pages

    path = output_dir / COMPARISON_FILE
    names = str(folders[0]), str(folders[1])
    pages.write_comparison(path, *reports, names=names, provenance=provenance)
    return path
