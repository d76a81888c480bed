"""Networks in float32 with the weights of networks that are trained in another precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras

Network = TypeVar("Network", bound=keras.Model)


def build_in_float32(build: Callable[[], Network]) -> Network:
    """Calls a function that builds a network, with float32 as the precision of all layers."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(policy)
