"""Writes a SavedModel that needs only TensorFlow: image files in, poses out.

    tfpose export --workdir=runs/demo --output=exported
    tfpose export --workdir=runs/demo --detector=runs/keypoint_rcnn --output=exported

The SavedModel has these signatures:

- serving_default: contents of image files (such as JPEG) in, poses of all people out;
- tolerant: as serving_default, but a broken image does not fail its batch, and an output says which images are broken;
- from_frames: as serving_default, with pixels instead of image files;
- from_boxes (two-stage system only): image files and the bounding boxes of the people in, poses out;
- heatmaps: normalized images in, heatmaps out. The signature is the network alone.

A two-stage system detects the people, and then finds the joints of each person. Without --detector, the SavedModel of a
two-stage system has only the signatures from_boxes and heatmaps.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfpose.file_names import check_output
from tfpose.flags.box_flags import BOX_FLAGS, define_box_flags
from tfpose.flags.cache_flag import define_cache_flag, fetch_models
from tfpose.flags.combinations import require_companion
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.dtype_flags import define_dtype_data_flags, dtype_from_flags
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.interruption import signals_interrupt

if TYPE_CHECKING:
    from tfpose.exporting.quantized_files import QuantizationRequest


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "workdir",
        None,
        "Work folder of the training run to export, or the name of a public checkpoint "
        "(tfpose pretrained list prints the names). Required.",
        required=True,
    )
    values.define_string("output", None, "Folder for the SavedModel. Required.", required=True)
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from the last step of the run.",
    )
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose tune wrote for the single network in --workdir. tfpose uses the thresholds of "
        "the network in this file, but not the tracker settings. By default the thresholds of the training config are "
        "used. Requires the work folder of a single network in --workdir.",
    )
    values.define_list(
        "convert",
        [],
        "Other formats to write, separated by commas: litert (formerly TensorFlow Lite) and onnx (requires pip "
        "install 'tfpose[onnx]'). The files hold only the networks, from normalized images to heatmaps; your program "
        "must do the other steps. tfpose writes the files to OUTPUT/assets.extra. By default tfpose writes only the "
        "SavedModel.",
    )
    _define_quantization_flags(values)
    define_dtype_data_flags(values)
    values.define_string(
        "config",
        None,
        "Ignored, because the work folder describes the network. Commands of earlier versions give this flag.",
    )
    define_cache_flag(values)
    values.begin_section("Flags of the person detector (two-stage system)", BOX_FLAGS[0])
    define_box_flags(
        values,
        "Without --detector, the SavedModel of a two-stage system takes the bounding boxes of the people as an input.",
        "By default 0.5. Requires --detector.",
        "By default the value in the settings of the detector (0.5 for a Keypoint R-CNN, 0.6 for a PicoDet). Requires "
        "--detector.",
    )


def _define_quantization_flags(values: ProgramFlags) -> None:
    """Defines the flags of LiteRT files with 8 bits."""
    values.define_list(
        "quantize",
        [],
        "Smaller LiteRT files of a keypoint network to write beside the float file, separated by commas. weights "
        "stores the weights in 8 bits and computes in float. int8 also lets convolutions compute in 8 bits, except "
        "for those that would cost too much accuracy; int8 requires --calibration. Requires --convert=litert. By "
        "default tfpose writes no such files.",
    )
    values.define_string(
        "calibration",
        None,
        "Folder of a dataset that tfpose build wrote. --quantize=int8 learns the ranges of the activations from the "
        "people of this dataset. tfpose also prints how far the quantization moves the joints of these people. "
        "Requires --quantize.",
    )
    values.define_string(
        "calibration_split",
        "train",
        "Split whose people are used, in the dataset of --calibration. Requires --calibration.",
    )
    values.define_string(
        "quantize_score_split",
        None,
        "Split of the dataset in --calibration on which tfpose measures the average precision (AP) of the float "
        "network and of each quantized file. By default tfpose measures no AP. Requires --calibration.",
    )


def quantization_request(values: ProgramFlags) -> QuantizationRequest | None:
    """Returns the quantized files that the flags ask for; None for none.

    Raises:
        ValueError: A flag requires another, or has an unknown value.
    """
    require_companion(values, ["calibration"], "quantize")
    require_companion(values, ["calibration_split", "quantize_score_split"], "calibration")
    if not values.quantize:
        return None
    from tfpose.exporting.quantized_files import QuantizationRequest

    if "litert" not in values.convert:
        raise ValueError(f"--quantize requires --convert=litert, got --convert={','.join(values.convert)}")
    return QuantizationRequest(
        tuple(values.quantize), values.calibration or "", values.calibration_split, values.quantize_score_split or ""
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Exports the weights of a work folder."""
    del inputs
    dtype_from_flags(values)
    check_output("output", pathlib.Path(values.output))
    fetch_models(values, "workdir")
    # Here and not above: TensorFlow takes seconds to import, --help should not.
    start_tensorflow()
    from tfpose import systems
    from tfpose.exporting.saved_model import check_target
    from tfpose.flags.run_flags import run_choice

    choice = run_choice(values, "workdir")
    system, output = systems.from_workdir(choice.workdir), pathlib.Path(values.output)
    check_target(output)
    with signals_interrupt():
        weights, *written = system.export(choice, output, values.convert, quantization_request(values))
    print(f"{weights} -> {values.output}: {'; '.join(written)}")


PROGRAM = Program("tfpose export", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
