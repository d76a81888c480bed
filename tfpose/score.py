"""Scores files of predicted poses against annotations. Needs no network.

    tfpose score --ground_truth=annotations/val --predictions=results/predictions --output_dir=scores
    tfpose score --ground_truth=annotations/val --predictions=first --compare=second --output_dir=scores

The tables are printed; OUTPUT_DIR/metrics.json holds the same metrics at full precision.
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
        "Folder of the predicted poses, PoseTrack files with the same names as the annotations. Required.",
        required=True,
    )
    values.define_string("output_dir", None, "Folder for metrics.json and the pages. Required.", required=True)
    values.define_string(
        "compare",
        None,
        "Second folder of predictions. tfpose also prints how its metrics differ from those of --predictions, and "
        "writes OUTPUT_DIR/comparison.html with --report.",
    )
    values.define_integer(
        "num_processes",
        None,
        "Number of processes that read and score files at the same time. By default one per core.",
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


PROGRAM = Program("tfpose.score", __doc__, define_flags, run)


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
