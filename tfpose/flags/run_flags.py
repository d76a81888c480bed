"""What the flags of prediction and export say about the run to use."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from tfpose.flags.box_flags import BOX_FLAGS, box_settings
from tfpose.flags.combinations import require_companion
from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from tfpose.systems.system import RunChoice


def run_choice(values: ProgramFlags, workdir: str) -> RunChoice:
    """Returns the run that --weights, --tuned and the flags of boxes choose.

    Args:
        values: The parsed flags.
        workdir: Folder of the run, or of a SavedModel.

    Raises:
        FileNotFoundError, ValueError: The file of --tuned is missing or damaged, or a flag requires --detector.
    """
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.inference.detected_boxes import DETECTOR, GROUND_TRUTH
    from tfpose.systems.system import RunChoice

    of_detector = [name for name in BOX_FLAGS if name not in ("detector", "box_extension_pixels")]
    require_companion(values, of_detector, "detector")
    tuned = read_tuned_settings(values.tuned) if values.tuned else None
    box_flags = tuple(name for name in BOX_FLAGS if values[name].present)
    if not box_flags:
        return RunChoice(pathlib.Path(workdir), values.weights, tuned=tuned)
    boxes = box_settings(values, DETECTOR if values.detector else GROUND_TRUTH)
    return RunChoice(pathlib.Path(workdir), values.weights, boxes, tuned, box_flags)
