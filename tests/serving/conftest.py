"""Small networks of both systems and their SavedModels, exported once for all tests of serving."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from keypoint_rcnn_cases import small_network
from small_single_network import random_pose_unet, small_single_network
from small_system import random_network, small_system

from tfpose.exporting.single_network import SingleNetworkModule, export_single_network
from tfpose.exporting.two_stage_detector import TwoStageModule, export_two_stage
from tfpose.inference.detectors.keypoint_rcnn import KeypointRcnnDetector
from tfpose.models.batch_norm import fold_batch_norm


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was exported, and where.

    Attributes:
        folder: with two_stage/1 and single_network/1, as a server wants them.
        two_stage: the module of the same network that was not saved.
        single_network: likewise.
    """

    folder: pathlib.Path
    two_stage: TwoStageModule
    single_network: SingleNetworkModule

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name / "1"


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    folder = tmp_path_factory.mktemp("models")
    system, single = small_system(), small_single_network()
    network, unet = random_network(system), random_pose_unet(single)
    detector = KeypointRcnnDetector(small_network())
    modules = TwoStageModule(fold_batch_norm(network), system, detector), SingleNetworkModule(unet, single)
    export_two_stage(network, system, detector, folder / "two_stage" / "1")
    export_single_network(unet, single, folder / "single_network" / "1")
    return Exported(folder, *modules)
