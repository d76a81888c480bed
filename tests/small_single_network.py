"""A single heatmap network small enough for tests, and a dataset for it."""

from __future__ import annotations

from random_weights import build_random

from tfpose.inference.single_network_system import SingleNetworkSystem, build_single_network_system
from tfpose.models.pose_unet import PoseUnet
from tfpose.skeletons import POSETRACK15

NETWORK = {"input_size": (64, 96), "width": 8, "num_levels": 3, "normalization": "batch"}
# Maps of random weights lie around 0; everybody is let through.
INFERENCE = {
    "head_threshold": 0.02,
    "head_distance_cells": 3.0,
    "joint_threshold": 0.0,
    "person_threshold": -10.0,
    "refine": "quadratic",
    "people_per_chunk": 5,
}


def small_single_network(**inference) -> SingleNetworkSystem:
    """The system; `inference` changes thresholds."""
    return build_single_network_system(POSETRACK15, NETWORK, {**INFERENCE, **inference})


def random_pose_unet(system: SingleNetworkSystem, seed: int = 0, precision: str = "float32") -> PoseUnet:
    """A network whose maps have distinct peaks and whose normalizations are not trivial."""
    # So small that tanh does not saturate, which would make peaks equal.
    return build_random(system.build_network, lambda path: 0.05 * ("maps" in path), seed, precision)
