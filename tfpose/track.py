r"""Assigns track identities to the people in PoseTrack prediction files, without a neural network.

    tfpose track --predictions=poses --output_dir=tracked --tracker.settings=offline
    tfpose track --predictions=poses --output_dir=tracked --ground_truth=annotations/val
    tfpose track --predictions=results.json --skeleton=coco17 --keep_track_ids --ground_truth=annotations/val \
        --output_dir=converted

The tracked files keep their names and are written to OUTPUT_DIR/predictions. With --ground_truth, tfpose also scores
the tracked poses. --predictions can also be a file of COCO keypoint results, whose poses become PoseTrack files.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfpose.flags.combinations import forbid_flags, require_companion
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.scoring_flags import SCORING_FLAGS, define_file_report_flags, define_scoring_flags, scoring_settings
from tfpose.flags.tracker_flags import TRACKER_FLAGS, define_tracker_flags, tracker_from_flags

if TYPE_CHECKING:
    from tfpose.posetrack import PoseSequence
    from tfpose.tracking.choice import TrackerChoice


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "predictions",
        None,
        "Folder of the predicted poses to track, one PoseTrack file for each video, or a file of COCO keypoint results "
        "(requires --skeleton). tfpose replaces track identities that the files already hold, unless --keep_track_ids "
        "is given. Required.",
        required=True,
    )
    values.define_string(
        "skeleton",
        "",
        "Names and order of the joints in a file of COCO results: coco17 (COCO), posetrack15 (PoseTrack 2017) or "
        "posetrack18 (PoseTrack 2018). Requires a file of COCO results in --predictions.",
    )
    values.define_bool(
        "keep_track_ids",
        False,
        "Do not track: keep the track identities of --predictions, and only convert the poses to PoseTrack files. "
        "Cannot be combined with --tuned and --tracker flags.",
    )
    values.define_string(
        "output_dir",
        None,
        "Folder for the tracked files (in OUTPUT_DIR/predictions), metrics.json and the report. Required.",
        required=True,
    )
    values.define_enum("format", "2018", ["2017", "2018"], "Year of the PoseTrack format of the tracked files.")
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose tune wrote; tfpose uses the best tracker settings in the file. Cannot be "
        "combined with --tracker flags.",
    )
    values.define_string(
        "ground_truth",
        None,
        "Folder of the PoseTrack annotations for scoring the tracked poses, one file with the name of the prediction "
        "file for each video. For COCO results, the annotations also assign each image_id to a frame of a video. By "
        "default the tracked poses are not scored, and COCO results are one video in which image_id is the number of "
        "the frame, counted from 0.",
    )
    values.define_integer(
        "num_processes",
        None,
        "Number of processes that track and score files at the same time. By default one per processor core.",
        1,
    )
    define_tracker_flags(values)
    define_scoring_flags(values, "Flags of the metrics and the report (require --ground_truth)")
    define_file_report_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Tracks the files, and scores the result where there are annotations."""
    del inputs
    require_companion(values, SCORING_FLAGS, "ground_truth")
    if values.tuned:
        forbid_flags(values, TRACKER_FLAGS, "--tuned")
    if values.keep_track_ids:
        forbid_flags(values, ("tuned", *TRACKER_FLAGS), "--keep_track_ids")
    from tfpose.evaluation.retracking import track_all
    from tfpose.evaluation.scoring import score_folders
    from tfpose.metrics.posetrack import PREDICTIONS_FOLDER

    tracker = None if values.keep_track_ids else _choose_tracker(values)
    settings = scoring_settings(values)
    output_dir = pathlib.Path(values.output_dir)
    tracked = output_dir / PREDICTIONS_FOLDER
    print(track_all(_read_sources(values), tracked, tracker, values.format, values.num_processes))
    print(f"written: {tracked}")
    if values.ground_truth:
        provenance: dict[str, Any] = {"poses": str(values.predictions)}
        provenance |= {"tracker": tracker.to_dict()} if tracker else {}
        score_folders(pathlib.Path(values.ground_truth), tracked, output_dir, settings, **provenance)


def _choose_tracker(values: ProgramFlags) -> TrackerChoice:
    from tfpose.evaluation.tuned_settings import read_tuned_settings

    return read_tuned_settings(values.tuned).tracker if values.tuned else tracker_from_flags(values)


def _read_sources(values: ProgramFlags) -> Sequence[pathlib.Path | PoseSequence]:
    """Returns the files of --predictions, or the videos of a file of COCO results."""
    from tfpose.evaluation.coco_sequences import read_coco_sequences
    from tfpose.evaluation.retracking import find_predictions
    from tfpose.metrics.posetrack import pair_files

    predictions = pathlib.Path(values.predictions)
    ground_truth = pathlib.Path(values.ground_truth) if values.ground_truth else None
    if predictions.is_file():
        return read_coco_sequences(predictions, values.skeleton, ground_truth)
    forbid_flags(values, ("skeleton",), "a folder in --predictions")
    if ground_truth:
        pair_files(ground_truth, predictions)
    return list(find_predictions(predictions).values())


PROGRAM = Program("tfpose track", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
