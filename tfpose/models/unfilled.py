"""Builds networks whose weights come from elsewhere: drawing random ones takes most of the time of building one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import keras

from tfpose.garbage import without_cycle_search

Network = TypeVar("Network", bound=keras.Model)
# The initializers that draw the kernels of layers; Glorot's and He's derive from them.
_INITIALIZERS = (
    keras.initializers.VarianceScaling,
    keras.initializers.RandomNormal,
    keras.initializers.TruncatedNormal,
)
_LOCK = threading.RLock()


def build_unfilled(build: Callable[[], Network]) -> Network:
    """Builds a network with zeros in place of random weights.

    Args:
        build: Function that builds the network. What other threads build meanwhile has random weights as usual.

    Returns:
        The network. All of its weights must be loaded before it is of use.
    """
    owner = threading.get_ident()

    def without_drawing(draw: Callable[..., Any]) -> Callable[..., Any]:
        def start(self: keras.Initializer, shape: tuple[int, ...], dtype: str | None = None, **kwargs: Any) -> Any:
            if threading.get_ident() != owner:
                return draw(self, shape, dtype, **kwargs)
            return keras.ops.zeros(shape, dtype)

        return start

    # Keras has no setting for it.
    with _LOCK, without_cycle_search():
        originals = [initializer.__call__ for initializer in _INITIALIZERS]
        for initializer, draw in zip(_INITIALIZERS, originals, strict=True):
            initializer.__call__ = without_drawing(draw)
        try:
            return build()
        finally:
            for initializer, draw in zip(_INITIALIZERS, originals, strict=True):
                initializer.__call__ = draw
