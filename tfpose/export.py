"""Writes a SavedModel that needs only TensorFlow: encoded images in, poses out.

    tfpose export --workdir=runs/demo --output=exported
    tfpose export --workdir=runs/demo --detector=runs/keypoint_rcnn --output=exported

The signatures are those of the system in the work folder. The single network and the two-stage system with a
detector find the people of an image (serving_default). The two-stage system also takes boxes (from_boxes).
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from tfpose.flags.box_flags import BOX_FLAGS, define_box_flags
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string("workdir", None, "Work folder of the training run to export. Required.", required=True)
    values.define_string("output", None, "Folder for the SavedModel. Required.", required=True)
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from its last step.",
    )
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose.tune wrote for the single network; the SavedModel uses its thresholds. By "
        "default it uses those of the training config.",
    )
    values.define_list(
        "convert",
        [],
        "Other formats to write the networks in, to OUTPUT/assets.extra, without detection and decoding: litert, onnx "
        "(requires the extra tfpose[onnx]) or both.",
    )
    values.define_string("config", None, "Not used, since the work folder describes its network.")
    values.begin_section("Flags of the person detector (two-stage system)", BOX_FLAGS[0])
    define_box_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Exports the weights of a work folder."""
    del inputs
    # Here and not above: TensorFlow takes seconds to import, --help should not.
    start_tensorflow()
    from tfpose import systems
    from tfpose.flags.run_flags import run_choice

    choice = run_choice(values, values.workdir)
    weights, *written = systems.from_workdir(choice.workdir).export(choice, pathlib.Path(values.output), values.convert)
    print(f"{weights} -> {values.output}: {'; '.join(written)}")


PROGRAM = Program("tfpose.export", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
