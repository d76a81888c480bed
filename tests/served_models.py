"""Small networks of both systems and their SavedModels, exported once for all tests, by whichever worker."""

from __future__ import annotations

import functools
import pathlib

from keypoint_rcnn_cases import small_network
from small_single_network import random_pose_unet, small_single_network
from small_system import random_network, small_system

from tfpose.exporting.single_network import SingleNetworkModule, export_single_network
from tfpose.exporting.two_stage_detector import TwoStageModule, export_two_stage
from tfpose.file_locks import wait_for_lock
from tfpose.inference.detectors.keypoint_rcnn import KeypointRcnnDetector
from tfpose.models.batch_norm import fold_batch_norm


class Exported:
    """What was exported, and where. Work folders of `two_stage_runs` have the same weights.

    Attributes:
        folder: with two_stage/1 and single_network/1, as a server wants them.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name / "1"

    @functools.cached_property
    def two_stage(self) -> TwoStageModule:
        """The module of the same network that was not saved."""
        network, system, detector = _two_stage_parts()
        return TwoStageModule(fold_batch_norm(network), system, detector)

    @functools.cached_property
    def single_network(self) -> SingleNetworkModule:
        """The module of the same network that was not saved."""
        return SingleNetworkModule(*_single_network_parts())


def _two_stage_parts():
    system = small_system()
    return random_network(system), system, KeypointRcnnDetector(small_network())


def _single_network_parts():
    system = small_single_network()
    return random_pose_unet(system), system


def export_all(folder: pathlib.Path) -> Exported:
    """Writes the SavedModels into a folder, unless another worker has done so."""
    folder.mkdir(exist_ok=True)
    exported = Exported(folder)
    with wait_for_lock(folder / "lock", say=lambda holder: None):
        if not exported.path("two_stage").exists():
            export_two_stage(*_two_stage_parts(), exported.path("two_stage"))
        if not exported.path("single_network").exists():
            export_single_network(*_single_network_parts(), exported.path("single_network"))
    return exported
