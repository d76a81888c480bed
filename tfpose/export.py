"""Writes a SavedModel that needs only TensorFlow: encoded images in, poses out.

    python -m tfpose.export --workdir=runs/demo --output=exported
    python -m tfpose.export --workdir=runs/demo --detector=runs/keypoint_rcnn --output=exported

The signatures are those of the system in the work folder. The single network and the two-stage system with a
detector find the people of an image (serving_default). The two-stage system also takes boxes (from_boxes).
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tfpose.evaluation.tuned_settings import read_tuned_settings
from tfpose.flags.box_flags import BOX_FLAGS, define_box_flags
from tfpose.flags.combinations import forbid_flags, require_companion
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow

if TYPE_CHECKING:
    import keras

    from tfpose.inference.keypoint_system import KeypointSystem
    from tfpose.inference.single_network_system import SingleNetworkSystem


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
    from tfpose.checkpoints import load_for_inference
    from tfpose.exporting.single_network import export_single_network
    from tfpose.inference import single_network_system

    workdir = pathlib.Path(values.workdir)
    if (workdir / single_network_system.SYSTEM_FILE).is_file():
        forbid_flags(values, BOX_FLAGS, f"the single network in {workdir}, which finds people without boxes")
        system, export = read_tuned_system(workdir, values.tuned), export_single_network
    elif values.tuned:
        raise ValueError(f"--tuned: {workdir} is not the work folder of a single network")
    else:
        system, export = read_two_stage(workdir, values)
    network = system.build_network()
    weights = load_for_inference(network, workdir, values.weights)
    written = export(network, system, values.output, values.convert)
    print(f"{weights} -> {values.output}: {'; '.join(written)}")


def read_two_stage(workdir: pathlib.Path, values: ProgramFlags) -> tuple[KeypointSystem, Callable[..., list[str]]]:
    """The keypoint network of a work folder, and what exports it: alone, or behind the detector of the flags."""
    from tfpose.exporting.two_stage import export_keypoint_network
    from tfpose.exporting.two_stage_detector import export_two_stage
    from tfpose.inference import keypoint_system
    from tfpose.inference.keras_hub_detector import PRESET_PREFIX
    from tfpose.inference.person_detector import load_person_detector

    system = keypoint_system.read_keypoint_system(workdir)
    if values.box_extension_pixels is not None:
        system = keypoint_system.with_margin(system, values.box_extension_pixels)
    if not values.detector:
        require_companion(values, ("detector_weights", "box_score_threshold", "box_nms"), "detector")
        return system, export_keypoint_network
    if values.detector.startswith(PRESET_PREFIX):
        raise ValueError(f"--detector={values.detector}: only a Keypoint R-CNN can be exported, use its work folder")
    detector = load_person_detector(
        values.detector,
        values.detector_weights,
        score_threshold=values.box_score_threshold,
        iou_threshold=values.box_nms,
    )

    def export(network: keras.Model, system: KeypointSystem, *arguments: Any) -> list[str]:
        return export_two_stage(network, system, detector, *arguments)

    return system, export


def read_tuned_system(workdir: pathlib.Path, tuned: str | None = None) -> SingleNetworkSystem:
    """The single network of a work folder, with the thresholds of a tuning.json where there is one."""
    from tfpose.inference import single_network_system

    system = single_network_system.read_single_network_system(workdir)
    if not tuned:
        return system
    return single_network_system.with_inference(
        system, {**vars(system.inference), **read_tuned_settings(tuned).inference}
    )


PROGRAM = Program("tfpose.export", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
