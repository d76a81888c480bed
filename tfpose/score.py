"""Scores PoseTrack files of predicted poses against annotations, without a neural network.

    tfpose score --ground_truth=annotations/val --predictions=results/predictions --output_dir=scores
    tfpose score --ground_truth=annotations/val --predictions=first --compare=second --output_dir=scores

tfpose prints the tables and writes the same metrics at full precision to OUTPUT_DIR/metrics.json.
"""

from __future__ import annotations

import pathlib
import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.scoring_flags import define_file_report_flags, define_scoring_flags, scoring_settings

if TYPE_CHECKING:
    from tfpose.metrics.posetrack_metrics import PoseTrackReport


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "ground_truth",
        None,
        "Folder of the PoseTrack annotations, one .json or .json.gz file for each video. Required.",
        required=True,
    )
    values.define_string(
        "predictions",
        None,
        "Folder of the predicted poses, one PoseTrack file with the name of the annotation file for each "
        "video. Required.",
        required=True,
    )
    values.define_string("output_dir", None, "Folder for metrics.json and the HTML pages. Required.", required=True)
    values.define_string(
        "compare",
        None,
        "Second folder of predicted poses, in the form of --predictions. tfpose prints how the metrics of the second "
        "folder differ from the metrics of --predictions. With --report, tfpose also writes "
        "OUTPUT_DIR/comparison.html.",
    )
    values.define_integer(
        "num_processes",
        None,
        "Number of processes that read and score files at the same time. By default one per processor core.",
        1,
    )
    define_scoring_flags(values, "Flags of the metrics and the report")
    define_file_report_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Scores the files."""
    del inputs
    from tfpose.evaluation.scoring import score_folders

    score_folders(
        pathlib.Path(values.ground_truth),
        pathlib.Path(values.predictions),
        pathlib.Path(values.output_dir),
        scoring_settings(values),
        pathlib.Path(values.compare) if values.compare else None,
    )


PROGRAM = Program("tfpose score", __doc__, define_flags, run)


class _CallableModule(types.ModuleType):
    """A module that `tfpose.score(...)` calls as the function of this name in `tfpose.api`."""

    def __call__(self, *arguments: Any, **keywords: Any) -> PoseTrackReport:
        from tfpose.api import score

        return score(*arguments, **keywords)


sys.modules[__name__].__class__ = _CallableModule


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
