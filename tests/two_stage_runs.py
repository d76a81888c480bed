"""Work folders of both stages with small random networks, and pictures of several sizes in which they find people."""

from __future__ import annotations

import pathlib

import cv2
import keypoint_rcnn_cases
import numpy as np
from record_writing import synthetic_image, write_dataset
from small_system import random_network, small_system

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.keypoint_rcnn_system import write_keypoint_rcnn_settings
from tfpose.inference.keypoint_system import KeypointSystem, write_keypoint_system
from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
from tfpose.skeletons import POSETRACK15

SIZES = [(120, 160), (50, 90), (300, 200), (64, 96), (131, 77)]
SEQUENCE = "000001_mpii_test"


def write_keypoint_run(directory: pathlib.Path, **changes) -> KeypointSystem:
    """A work folder of the keypoint network; `changes` as in `small_system`."""
    system = small_system(**changes)
    write_keypoint_system(directory, system)
    write_weights(random_network(system), directory / BEST_WEIGHTS_NAME)
    return system


def write_detector_run(
    directory: pathlib.Path, settings: KeypointRcnnSettings = keypoint_rcnn_cases.SMALL
) -> pathlib.Path:
    """A work folder of the detector."""
    write_keypoint_rcnn_settings(directory, settings)
    write_weights(keypoint_rcnn_cases.small_network(settings), directory / BEST_WEIGHTS_NAME)
    return directory


def write_pictures(directory: pathlib.Path, split: str = "val", sequence: str = "") -> pathlib.Path:
    """A dataset of JPEG pictures and a PNG one; two are shown to the keypoint network at less than half their size."""
    images = [synthetic_image(i, POSETRACK15, size=size) for i, size in enumerate(SIZES)]
    picture = cv2.imdecode(np.frombuffer(images[1]["image"], np.uint8), cv2.IMREAD_COLOR)
    images[1]["image"] = cv2.imencode(".png", picture)[1].tobytes()
    for image in images:
        image["sequence"] = sequence
    return write_dataset(directory, POSETRACK15, images, split)
