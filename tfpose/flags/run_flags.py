"""The choice of a run by the flags of prediction and export."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from tfpose.flags.box_flags import BOX_FLAGS, box_settings
from tfpose.flags.combinations import require_companion
from tfpose.flags.config_flag import config_source
from tfpose.flags.dtype_flags import dtype_from_flags
from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from tfpose.systems.system import RunChoice


def choose_config(values: ProgramFlags, workdir: pathlib.Path) -> tuple[ConfigDict, tuple[str, Mapping[str, Any]]]:
    """Returns the config of --config, or that of the run in a work folder, and its file with the values set by flag.

    Settings that differ from those of the run are named on stderr.

    Args:
        values: The parsed flags.
        workdir: The work folder.

    Raises:
        FileNotFoundError: --config is not given, and the run has no config.
        ValueError: The network is not that of the run, or the config of the run is damaged.
    """
    from tfpose import systems
    from tfpose.systems.run_config import RUN_CONFIG_FILE, check_evaluated

    if values.config is None:
        return systems.config_of_run(workdir), (str(workdir / RUN_CONFIG_FILE), {})
    note = systems.compare_with_run(values.config, workdir, check_evaluated)
    if note:
        print(note, file=sys.stderr)
    return values.config, config_source(values)


def run_choice(values: ProgramFlags, flag: str) -> RunChoice:
    """Returns the run that the flags choose; names of public checkpoints are resolved.

    Args:
        values: The parsed flags.
        flag: Name of the flag that says the folder of the run, or of a SavedModel.

    Raises:
        OSError: A public checkpoint cannot be downloaded.
        FileNotFoundError, ValueError: The file of --tuned is missing or damaged, or a flag requires another.
    """
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.inference.detected_boxes import DETECTOR, GROUND_TRUTH
    from tfpose.systems.loading import resolve_names
    from tfpose.systems.system import RunChoice

    of_detector = [name for name in BOX_FLAGS if name not in ("detector", "box_extension_pixels")]
    require_companion(values, of_detector, *(name for name in ("detector", "boxes") if name in values))
    tuned = read_tuned_settings(values.tuned) if values.tuned else None
    # A program may choose a detector itself.
    box_flags = tuple(n for n in ("boxes", *BOX_FLAGS) if n in values and not values[n].using_default_value)
    source = DETECTOR if values.detector else getattr(values, "boxes", None) or GROUND_TRUTH
    boxes = box_settings(values, source) if box_flags else None
    run = RunChoice(pathlib.Path(str(values[flag].value)), values.weights, boxes, tuned, box_flags or ("detector",))
    run = dataclasses.replace(run, inference_dtype=dtype_from_flags(values))
    if "flip_test" in values:
        run = dataclasses.replace(run, use_flip_test=values.flip_test)
    return resolve_names(run, f"--{flag}", values.cache)
