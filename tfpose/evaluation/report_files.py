"""The report of an evaluation: report_data.json, pictures, a video and the page that shows them. No TensorFlow."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from tfpose.evaluation.metrics_file import REPORT_FILE
from tfpose.evaluation.report_videos import ScoredVideos, add_videos, read_scored_videos
from tfpose.metrics.average_precision import TieRule
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.report.charts import precision_envelopes
from tfpose.report.evaluation_file import Evaluation, write_evaluation
from tfpose.report.overview import name_of_results, write_overview
from tfpose.running_command import running_command


def begin_evaluation(
    directory: pathlib.Path, report: PoseTrackReport | None, provenance: Mapping[str, Any], tie_rule: TieRule = "stable"
) -> Evaluation:
    """Returns the content of a page with PoseTrack's metrics; `report` is None for single photos, which have none."""
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    evaluation = Evaluation(directory, provenance, command=running_command(), date=date)
    if report is None:
        return evaluation
    curves = precision_envelopes(report.samples, tie_rule) if report.samples is not None else ()
    return dataclasses.replace(evaluation, report=dataclasses.replace(report, samples=None), curves=curves)


def write_report(evaluation: Evaluation) -> list[pathlib.Path]:
    """Writes report_data.json and report.html into the folder of the evaluation; returns their paths."""
    name = name_of_results(evaluation.directory)
    page = evaluation.directory / REPORT_FILE
    written = [write_evaluation(evaluation), page]
    write_overview(page, name, {name: evaluation})
    return written


def try_add_videos(evaluation: Evaluation, videos: ScoredVideos) -> Evaluation:
    """Adds videos as `add_videos` does; leaves them out, with a note, if their annotations do not suit the metrics."""
    try:
        return add_videos(evaluation, videos)
    except ValueError as error:
        _say_left_out(error)
        return evaluation


def write_folder_report(
    folders: tuple[pathlib.Path, pathlib.Path],
    evaluation: Evaluation,
    images: pathlib.Path | None,
    frames_per_second: float,
) -> list[pathlib.Path]:
    """Writes the report of two folders of PoseTrack files.

    Args:
        folders: Folder of the annotations and folder of the predictions.
        evaluation: Evaluation with its metrics.
        images: Root folder of the images that the annotations name; None if it is not available.
        frames_per_second: Frame rate of the video.

    Raises:
        OSError: A file cannot be written.
    """
    try:
        videos = read_scored_videos(*folders, images, frames_per_second)
    except ValueError as error:
        _say_left_out(error)
        return write_report(evaluation)
    return write_report(try_add_videos(evaluation, videos))


def _say_left_out(error: ValueError) -> None:
    print(f"note: the report shows no tracks and frames: {error}", file=sys.stderr)
