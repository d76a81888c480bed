"""A keypoint network small enough for tests, and a dataset for it."""

from __future__ import annotations

import keras
from random_weights import build_random
from record_writing import synthetic_image, write_dataset

from tfpose.data import records
from tfpose.inference.keypoint_system import KeypointSystem, build_keypoint_system
from tfpose.skeletons import POSETRACK15

SETTINGS = {
    "network": {"depth": 18, "input_size": (64, 64), "base_width": 8, "deconv_filters": 8},
    "crop": {"margin_pixels": 5.0, "margin_scale": 1.1},
    "normalization": {},
    "inference": {},
    "selection": {},
}


def small_system(**changes) -> KeypointSystem:
    """The system; `changes` replace whole sections."""
    return build_keypoint_system(POSETRACK15, **{**SETTINGS, **changes})


def random_network(system: KeypointSystem, seed: int = 0, precision: str = "float32") -> keras.Model:
    """A network whose heatmaps have distinct peaks and whose normalizations are not trivial."""
    return build_random(
        system.build_network, lambda path: 0.2 * ("deconv" in path or "heatmaps" in path), seed, precision
    )


def small_table(directory, num_images: int = 4, sequence: str = "", **settings) -> records.RecordTable:
    """Noisy pictures with 0, 1, 2, ... people."""
    images = [synthetic_image(i, POSETRACK15, num_people=i, **settings) for i in range(num_images)]
    for image in images:
        image["sequence"] = sequence
    write_dataset(directory, POSETRACK15, images)
    return records.read_table(directory, "train")
