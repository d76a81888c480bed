"""A pose model from a folder, whatever is in it: a SavedModel or the work folder of a training run."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from tfpose import systems
from tfpose.importing.named_weights import find_workdirs, require_kinds
from tfpose.prediction.model import PoseModel, is_saved_model, load_saved_model
from tfpose.pretrained.public_checkpoints import is_public_name
from tfpose.systems.system import RunChoice


def resolve_names(run: RunChoice, flag: str, cache: str | None = None, wants_detector: bool = False) -> RunChoice:
    """Returns a run with folders where it names public checkpoints; see `importing.named_weights`.

    Args:
        run: The run. Its work folder and its detector may be names of public checkpoints.
        flag: Name of the flag that names the work folder, for messages.
        cache: Folder of public checkpoints; None for the default.
        wants_detector: Whether the work folder must be that of a person detector.

    Raises:
        OSError: A file cannot be downloaded, or the cache cannot be written.
        ValueError: A file is damaged, or a name stands for another kind of network.
    """
    model, detector = os.fspath(run.workdir), run.boxes.detector if run.boxes else ""
    require_kinds(model, flag, detector, wants_detector)
    if not is_public_name(model) and not is_public_name(detector):
        return run
    model, detector = find_workdirs([model, detector], cache)
    boxes = run.boxes and dataclasses.replace(run.boxes, detector=detector)
    return dataclasses.replace(run, workdir=pathlib.Path(model), boxes=boxes)


def load_pose_model(choice: RunChoice, skeleton: str = "") -> PoseModel:
    """Loads a SavedModel or the weights of a work folder.

    Args:
        choice: Folder, and what replaces the settings of a work folder.
        skeleton: Name of a known skeleton, for a SavedModel that does not describe its joints; empty for none.

    Raises:
        FileNotFoundError, ValueError: There is neither, or one that cannot find people in pictures; says what to do.
    """
    directory = choice.workdir
    if not is_saved_model(directory):
        try:
            system = systems.from_workdir(directory)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; a SavedModel would hold saved_model.pb") from error
        if skeleton:
            raise ValueError(f"--skeleton: {directory} must be a SavedModel, got a work folder, which names its joints")
        return system.load_model(choice)
    if choice.use_flip_test is not None:
        raise ValueError(f"--flip_test: {directory} must be the work folder of a training run, got a SavedModel")
    if choice.inference_dtype.name != "float32":
        raise ValueError(
            f"--inference_dtype: {directory} must be the work folder of a training run, got a SavedModel; give "
            "--inference_dtype to tfpose export"
        )
    if choice.weights != "best":
        raise ValueError(f"--weights: {directory} must be the work folder of a training run, got a SavedModel")
    if choice.tuned is not None:
        raise ValueError(f"--tuned: {directory} must be the work folder of a single network, got a SavedModel")
    if choice.boxes is not None:
        hint = "; its signature from_boxes takes boxes (docs/serve.md)" if "boxes" in choice.box_flags else ""
        rule = "must be the work folder of a keypoint network, got a SavedModel"
        raise ValueError(f"--{choice.box_flags[0]}: {directory} {rule}{hint}")
    return load_saved_model(directory, skeleton)
