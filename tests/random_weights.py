"""Networks with random weights that a test can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras
import numpy as np

Network = TypeVar("Network", bound=keras.Model)


def build_random(
    build: Callable[[], Network], spread_of: Callable[[str], float], seed: int = 0, precision: str = "float32"
) -> Network:
    """Builds a network under a precision policy, its normalizations and biases not trivial.

    Args:
        build: makes it.
        spread_of: from the path of any other variable to the standard deviation of its new values; 0 leaves it.
        seed: of all weights.
        precision: a policy of Keras.
    """
    keras.utils.set_random_seed(seed)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = build()
    finally:
        keras.config.set_dtype_policy(previous)
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif spread := spread_of(variable.path):
            variable.assign(rng.normal(0, spread, variable.shape))
    return network
