"""Converts a checkpoint file of another framework to weights and a work folder of this library."""

from __future__ import annotations

import pathlib

from tfpose.checkpoints import list_checkpoints
from tfpose.importing.families import find_family
from tfpose.importing.family import Targets
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.pretrained.named_tensors import read_checkpoint

WEIGHTS_SUFFIX = ".weights.h5"


def convert_checkpoint(
    path: pathlib.Path, output: pathlib.Path, settings: ImportSettings, say: Say = print
) -> tuple[pathlib.Path, pathlib.Path]:
    """Converts a checkpoint file, and says what it was and what was written.

    Args:
        path: Checkpoint file of PyTorch, Paddle or Detectron, or a safetensors file.
        output: File to write, NAME.weights.h5. The work folder NAME and, for keypoint networks, the config NAME.py are
            written beside it.
        settings: What the user says about the checkpoint.
        say: Function that receives the lines about it.

    Returns:
        Path of the config, which is written for keypoint networks only, and the work folder.

    Raises:
        OSError: `path` does not exist, `output` cannot be written, or it exists and must not be replaced.
        ValueError: The file is damaged or of an unknown kind, or a tensor is missing, superfluous or has a wrong shape.
    """
    name = output.name.removesuffix(WEIGHTS_SUFFIX)
    targets = Targets(output, output.with_name(f"{name}.py"), output.with_name(name))
    _check_workdir(targets.workdir)
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint)
    say(f"{path}: {family.description} ({checkpoint.container}, {len(checkpoint.tensors)} tensors)")
    family.convert(checkpoint, targets, settings, say)
    return targets.config, targets.workdir


def _check_workdir(workdir: pathlib.Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise FileExistsError(f"{workdir}: must be a folder, got a file; choose another --output")
    if list_checkpoints(workdir):
        raise FileExistsError(f"{workdir}: is the work folder of a training; choose another --output")
