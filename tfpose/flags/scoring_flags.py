"""The flags that say which metrics are computed and how they are shown."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from tfpose.file_names import check_output
from tfpose.flags.combinations import require_companion
from tfpose.flags.program_flags import ProgramFlags
from tfpose.metrics.catalog import DEFAULT_METRICS, describe_metrics

if TYPE_CHECKING:
    from tfpose.evaluation.scoring import ScoringSettings

SCORING_FLAGS = ("metrics", "per_sequence", "clean_figures", "table", "report")


def define_scoring_flags(values: ProgramFlags, title: str) -> None:
    """Defines `SCORING_FLAGS` below a title."""
    values.begin_section(title, SCORING_FLAGS[0])
    values.define_list(
        "metrics",
        DEFAULT_METRICS,
        f"Metrics to compute, separated by commas: {describe_metrics()}.",
    )
    values.define_bool("per_sequence", False, "Also print and save the metrics of each video.")
    values.define_bool(
        "clean_figures",
        False,
        "Also report the metrics with the known bugs of PoseTrack's evaluation tools fixed, under names that begin "
        "with clean_.",
    )
    values.define_list(
        "table",
        ["text"],
        "Formats of the printed tables: one or more of text, latex, markdown and csv, separated by commas.",
    )
    values.define_bool(
        "report",
        False,
        "Write OUTPUT_DIR/report.html, a page with precision-recall curves, metrics of each joint and video, timelines "
        "of the tracks and a video with the poses. The page also shows the frames with the highest and the lowest mean "
        "object keypoint similarity (OKS) of the annotated people.",
    )


def define_file_report_flags(values: ProgramFlags) -> None:
    """Defines the flags that a report on files needs, since the files do not hold the images."""
    values.define_string(
        "images",
        None,
        "Root folder of the images that the annotations name; the report draws the poses over these images. "
        "By default the report draws the poses on an empty background. Requires --report.",
    )
    values.define_float(
        "video_rate", 10.0, "Frame rate of the video in the report, in frames per second. Only with --report.", 0.1
    )


def scoring_settings(values: ProgramFlags) -> ScoringSettings:
    """Reads what to compute and to show.

    Raises:
        OSError: A folder does not exist or cannot be written.
        ValueError: Names the flag, its rule and the value.
    """
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.metrics.intervals import NUM_RESAMPLES
    from tfpose.metrics.posetrack import PoseTrackOptions

    has_files = "images" in values
    require_companion(values, ["video_rate"], "report", *([] if has_files else ["num_videos"]))
    if has_files:
        require_companion(values, ["images"], "report")
        check_output("output_dir", pathlib.Path(values.output_dir))
    num_resamples = NUM_RESAMPLES if values.report else 0
    try:
        return ScoringSettings(
            PoseTrackOptions(values.metrics, values.clean_figures, num_resamples=num_resamples),
            values.per_sequence,
            values.table,
            values.report,
            num_processes=values.num_processes if has_files else None,
            images=pathlib.Path(values.images) if has_files and values.images else None,
            frames_per_second=values.video_rate,
        )
    except ValueError as error:
        raise ValueError(f"--{error}") from error
