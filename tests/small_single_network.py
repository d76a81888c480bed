"""A single heatmap network small enough for tests, and a dataset for it."""

from __future__ import annotations

import keras
import numpy as np

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
    """A network whose maps have distinct peaks and whose normalisations are not trivial."""
    keras.utils.set_random_seed(seed)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = system.build_network()
    finally:
        keras.config.set_dtype_policy(previous)
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif "maps" in variable.path:
            # So small that tanh does not saturate, which would make peaks equal.
            variable.assign(rng.normal(0, 0.05, variable.shape))
    return network
