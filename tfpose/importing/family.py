"""The interface of a family of public checkpoints, and the functions with which all families write a work folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from typing import Protocol

import keras

from tfpose.checkpoints import BEST_WEIGHTS_NAME, FINAL_WEIGHTS_NAME, RUN_CONFIG_FILE, write_weights
from tfpose.file_names import whole_file
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.inference.keypoint_rcnn_system import KEYPOINT_RCNN_FILE
from tfpose.inference.keypoint_system import KEYPOINT_SYSTEM_FILE
from tfpose.inference.picodet_system import PICODET_FILE
from tfpose.pretrained.checkpoint_files import read_arrays
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.published_names import WeightNames


@dataclasses.dataclass(frozen=True)
class Targets:
    """Files that an import may write.

    Attributes:
        weights: File for the weights, NAME.weights.h5.
        config: File for the config, NAME.py.
        workdir: Work folder, NAME.
    """

    weights: pathlib.Path
    config: pathlib.Path
    workdir: pathlib.Path


class Family(Protocol):
    """Checkpoints that the same code has written: the names of their tensors, and what these stand for."""

    @property
    def description(self) -> str:
        """The name of the network and of the code that wrote the checkpoint, for messages."""

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Returns whether a checkpoint is of this family, by the names of its tensors."""

    def convert(self, checkpoint: Checkpoint, targets: Targets, settings: ImportSettings, say: Say) -> None:
        """Writes the weights and the work folder, and says what was found and written.

        Raises:
            FileExistsError: A file exists that must not be replaced.
            ValueError: A tensor is missing, superfluous, damaged or has a wrong shape, or a setting does not fit; the
                message is one line with the path.
        """


def load_checkpoint(network: keras.Model, checkpoint: Checkpoint, names: WeightNames) -> None:
    """Sets the weights of a network from a checkpoint. An error changes nothing.

    Raises:
        ValueError: A tensor is missing, superfluous, damaged or has a wrong shape; the message begins with the path.
    """
    arrays = read_arrays(checkpoint.path, checkpoint.tensors)
    try:
        names.load(network, arrays)
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {error}") from error


def write_network(network: keras.Model, targets: Targets) -> None:
    """Writes the weights file, and the same weights under the names that they have in a work folder."""
    write_weights(network, targets.weights)
    targets.workdir.mkdir(parents=True, exist_ok=True)
    # An interrupted import must not leave new weights with the description of old ones, nor of another network.
    for name in (KEYPOINT_SYSTEM_FILE, KEYPOINT_RCNN_FILE, PICODET_FILE, RUN_CONFIG_FILE):
        (targets.workdir / name).unlink(missing_ok=True)
    for name in (BEST_WEIGHTS_NAME, FINAL_WEIGHTS_NAME):
        _link(targets.weights, targets.workdir / name)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a file a second name where the file system can do that, otherwise copies it."""
    with whole_file(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
