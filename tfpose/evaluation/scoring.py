"""Scores folders of PoseTrack files: tables in the terminal, metrics.json and pages. NumPy only."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfpose import __version__
from tfpose.evaluation.folder_comparison import print_comparison, write_comparison_page
from tfpose.evaluation.metrics_file import write_metrics
from tfpose.evaluation.progress import LateProgress
from tfpose.messages import print_notes
from tfpose.metrics.catalog import METRICS
from tfpose.metrics.matching import MATCH_RADIUS
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack, pair_files
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.metrics.report import (
    RENDERERS,
    official_ap_table,
    official_tracking_table,
    report_tables,
)


@dataclasses.dataclass(frozen=True)
class ScoringSettings:
    """The metrics to compute and the forms in which to show them.

    Attributes:
        options: Metrics to compute.
        per_sequence: Also compute the metrics of each sequence alone.
        table_formats: Formats of the printed tables, keys of `RENDERERS`.
        has_page: Write report.html and the files that are needed to write it again.
        num_processes: Number of processes; None starts one per core.
        images: Root folder of the images that the annotations name, for the page; None if it is not available.
        frames_per_second: Frame rate of the video on the page.

    Raises:
        FileNotFoundError: The folder of images does not exist.
        ValueError: A format of tables is unknown.
    """

    options: PoseTrackOptions = dataclasses.field(default_factory=PoseTrackOptions)
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
        if self.images is not None and not self.images.is_dir():
            raise FileNotFoundError(f"--images must be a folder, got {self.images}")


def score_folders(
    ground_truth: pathlib.Path,
    predictions: pathlib.Path,
    output_dir: pathlib.Path,
    settings: ScoringSettings,
    compared: pathlib.Path | None = None,
    **provenance: Any,
) -> pathlib.Path:
    """Scores a folder of predictions, and compares a second one with it if it is given.

    Args:
        ground_truth: Folder of the annotations.
        predictions: Folder of the predictions.
        output_dir: Folder for metrics.json and pages.
        settings: What is computed and shown.
        compared: Second folder of predictions.
        **provenance: Further entries for the block `provenance` of metrics.json.

    Returns:
        The path of metrics.json.

    Raises:
        FileNotFoundError, ValueError: A file is missing or damaged, see `evaluate_posetrack`.
    """
    folders = [predictions] if compared is None else [predictions, compared]
    if compared is not None:
        # A second folder that lacks a file is told before the first one is scored.
        for folder in folders:
            pair_files(ground_truth, folder)
    needs_sequences = settings.per_sequence or settings.has_page or compared is not None
    reports = [_evaluate(ground_truth, folder, settings, needs_sequences) for folder in folders]
    shown = [report if settings.per_sequence else dataclasses.replace(report, sequences={}) for report in reports]
    provenance = describe_files(ground_truth, predictions, reports[0], settings.options) | provenance
    metrics: dict[str, Any] = shown[0].to_dict()
    if compared is not None:
        metrics["comparison"] = {"predictions": str(compared), **shown[1].to_dict()}
    path = write_metrics(output_dir, metrics | {"provenance": provenance}, settings.has_page)
    print_report(shown[0], settings.table_formats)
    if compared is not None:
        print_comparison(reports[0], reports[1], settings.options.metrics, settings.table_formats)
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
    print_notes(notes_on(report))
    return report


def notes_on(report: PoseTrackReport) -> list[str]:
    """Returns lines on what was left out, on what was paired with what, and on metrics without meaning."""
    single = [
        f"{name} has only one evaluated frame, so its tracking metrics have no meaning"
        for name in report.single_frame_sequences
    ]
    return [*shorten_notes(report.notes), *single]


def shorten_notes(notes: Sequence[str], most: int = 10) -> list[str]:
    """Returns the first `most` notes, and a line that counts the others."""
    more = [f"{len(notes) - most} more notes of this kind"] if len(notes) > most else []
    return [*notes[:most], *more]


def describe_files(
    ground_truth: pathlib.Path, predictions: pathlib.Path, report: PoseTrackReport, options: PoseTrackOptions
) -> dict[str, Any]:
    """Returns the block `provenance` of metrics.json for the metrics of files."""
    return {
        "boxes": f"those of {predictions}",
        "labels": str(ground_truth),
        **describe_scoring(report, options),
        "version": __version__,
    }


def describe_scoring(report: PoseTrackReport, options: PoseTrackOptions) -> dict[str, Any]:
    """Returns what was scored, by which rules, for the block `provenance` of metrics.json."""
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
    """Prints the tables of the papers; the format 'latex' adds the lines that poseval prints."""
    for name in formats:
        for table in report_tables(report):
            print(RENDERERS[name](table))
        if name == "latex":
            print(official_lines(report))


def official_lines(report: PoseTrackReport) -> str:
    """Returns the lines that poseval prints, for pasting into LaTeX."""
    total = report.total
    tables = [official_ap_table(total.average_precision)] if total.average_precision is not None else []
    tables += [official_tracking_table(total.tracking)] if total.tracking is not None else []
    return "".join(f"% as poseval prints it\n{table.header}{table.row}" for table in tables)


def _write_report(
    folders: tuple[pathlib.Path, pathlib.Path],
    output_dir: pathlib.Path,
    report: PoseTrackReport,
    provenance: Mapping[str, Any],
    settings: ScoringSettings,
) -> list[pathlib.Path]:
    # Here and not above: scoring alone need not wait for the drawing to be imported.
    from tfpose.evaluation.report_files import begin_evaluation, write_folder_report

    evaluation = begin_evaluation(output_dir, report, provenance, settings.options.tie_rule)
    return write_folder_report(folders, evaluation, settings.images, settings.frames_per_second)
