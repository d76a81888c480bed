"""A pose model from a folder, whatever is in it: a SavedModel or the work folder of a training run."""

from __future__ import annotations

from tfpose import systems
from tfpose.prediction.model import PoseModel, is_saved_model, load_saved_model
from tfpose.systems.system import RunChoice


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
        return system.load_model(choice)
    if choice.tuned is not None:
        raise ValueError(f"--tuned: {directory} must be the work folder of a single network, got a SavedModel")
    if choice.boxes is not None:
        hint = "; its signature from_boxes takes boxes (docs/serve.md)" if "boxes" in choice.box_flags else ""
        rule = "must be the work folder of a keypoint network, got a SavedModel"
        raise ValueError(f"--{choice.box_flags[0]}: {directory} {rule}{hint}")
    return load_saved_model(directory, skeleton)
