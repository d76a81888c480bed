"""SavedModels that need nothing but TensorFlow: encoded images in, poses out.

    python -m tfpose.export --workdir=runs/demo --output=exported
    python -m tfpose.export --workdir=runs/demo --detector=runs/keypoint_rcnn --output=exported

The work folder says which system it is of; `tfpose.exporting.two_stage`, `two_stage_detector` and `single_network`
describe the signatures. `--convert=litert,onnx` writes the bare networks for other runtimes beside them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from tfpose.evaluation.tuned_settings import read_tuned_settings
from tfpose.flags.box_flags import BOX_FLAGS, define_box_flags
from tfpose.flags.command_line import run_program
from tfpose.flags.startup_messages import start_tensorflow

if TYPE_CHECKING:
    import keras

    from tfpose.inference.keypoint_system import KeypointSystem
    from tfpose.inference.single_network_system import SingleNetworkSystem


def main(argv: Sequence[str]) -> None:
    """Exports the weights of a work folder."""
    del argv
    # Here and not above: TensorFlow takes seconds to import, --help should not.
    start_tensorflow()
    from tfpose.checkpoints import load_for_inference
    from tfpose.exporting.single_network import export_single_network
    from tfpose.inference import single_network_system

    workdir = pathlib.Path(_WORKDIR.value)
    if (workdir / single_network_system.SYSTEM_FILE).is_file():
        check_flags(BOX_FLAGS, f"with the single network in {workdir}, which finds people by itself")
        system, export = read_tuned_system(workdir, _TUNED.value), export_single_network
    elif _TUNED.value:
        raise ValueError(f"--tuned: {workdir} is not the work folder of a single network")
    else:
        system, export = read_two_stage(workdir)
    network = system.build_network()
    weights = load_for_inference(network, workdir, _WEIGHTS.value)
    written = export(network, system, _OUTPUT.value, _CONVERT.value)
    print(f"{weights} -> {_OUTPUT.value}: {'; '.join(written)}")


def check_flags(names: Sequence[str], place: str) -> None:
    """Raises a ValueError if one of these flags was given."""
    surplus = [name for name in names if flags.FLAGS[name].present]
    if surplus:
        raise ValueError(f"--{surplus[0]} has no meaning {place}")


def read_two_stage(workdir: pathlib.Path) -> tuple[KeypointSystem, Callable[..., list[str]]]:
    """The keypoint network of a work folder, and what exports it: alone, or behind the detector of the flags."""
    from tfpose.exporting.two_stage import export_keypoint_network
    from tfpose.exporting.two_stage_detector import export_two_stage
    from tfpose.inference import keypoint_system
    from tfpose.inference.keras_hub_detector import PRESET_PREFIX
    from tfpose.inference.person_detector import load_person_detector

    values = flags.FLAGS
    system = keypoint_system.read_keypoint_system(workdir)
    if values.box_extension_pixels is not None:
        system = keypoint_system.with_margin(system, values.box_extension_pixels)
    if not values.detector:
        check_flags(("detector_weights", "box_score_threshold", "box_nms"), "without --detector")
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


if __name__ == "__main__":
    _WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.")
    _OUTPUT = flags.DEFINE_string("output", None, "Folder of the SavedModel.")
    _WEIGHTS = flags.DEFINE_enum("weights", "best", ["best", "last"], "Which weights of the run.")
    _TUNED = flags.DEFINE_string(
        "tuned", None, "A tuning.json of the single network, whose thresholds are used; default: those of the training."
    )
    _CONVERT = flags.DEFINE_list(
        "convert",
        [],
        "Write the bare networks too, into OUTPUT/assets.extra: any of litert, onnx (needs tfpose[onnx]).",
    )
    define_box_flags()
    _CONFIG = flags.DEFINE_string("config", None, "Not needed: the work folder says what its weights are.")
    flags.mark_flags_as_required(["workdir", "output"])
    run_program(main)
