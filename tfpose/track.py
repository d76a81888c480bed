"""Assigns track identities to the people in PoseTrack prediction files, without a network.

    tfpose track --predictions=poses --output_dir=tracked --tracker.settings=offline
    tfpose track --predictions=poses --output_dir=tracked --ground_truth=annotations/val

The tracked files keep their names and are written to OUTPUT_DIR/predictions. With --ground_truth, tfpose also scores
the tracked poses.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from tfpose.flags.combinations import forbid_flags, require_companion
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.scoring_flags import SCORING_FLAGS, define_file_report_flags, define_scoring_flags, scoring_settings
from tfpose.flags.tracker_flags import TRACKER_FLAGS, define_tracker_flags, tracker_from_flags


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "predictions",
        None,
        "Folder of the predicted poses to track, one PoseTrack file for each video. tfpose replaces track identities "
        "that the files already hold. Required.",
        required=True,
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
        "file for each video. By default the tracked poses are not scored.",
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
    from tfpose.evaluation.retracking import track_folder
    from tfpose.evaluation.scoring import score_folders
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.metrics.posetrack import PREDICTIONS_FOLDER, pair_files

    tracker = read_tuned_settings(values.tuned).tracker if values.tuned else tracker_from_flags(values)
    predictions, output_dir = pathlib.Path(values.predictions), pathlib.Path(values.output_dir)
    settings = scoring_settings(values)
    if values.ground_truth:
        pair_files(values.ground_truth, predictions)
    tracked = output_dir / PREDICTIONS_FOLDER
    print(track_folder(predictions, tracked, tracker, values.format, values.num_processes))
    print(f"written: {tracked}")
    if values.ground_truth:
        score_folders(pathlib.Path(values.ground_truth), tracked, output_dir, settings, tracker=tracker.to_dict())


PROGRAM = Program("tfpose track", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
