"""Starts TensorFlow without the lines that it writes at every start, and without what no program uses."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import Any

from tfpose.stderr_filter import held_back


def start_tensorflow(*, use_devices: bool = True, needs_keras_plots: bool = False) -> None:
    """Imports TensorFlow and uses its devices for the first time, without its usual messages.

    Later TensorFlow writes errors only, unless the environment variable TF_CPP_MIN_LOG_LEVEL asks for more.

    Args:
        use_devices: False before a program that divides or joins devices, which TensorFlow refuses after their first
            use, and in programs that need none. The former call again when their devices are set.
        needs_keras_plots: Whether the functions of `keras.visualization` must work, for the Python of a user. Keras
            imports Matplotlib for them, a tenth of the time of a start.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with held_back(), contextlib.nullcontext() if needs_keras_plots else _without_matplotlib():
            import tensorflow as tf

            tf.config.list_physical_devices()
    if use_devices:
        _use_devices()


@contextlib.contextmanager
def _without_matplotlib() -> Iterator[None]:
    """Within, an import of Matplotlib fails, unless it is imported already; Keras then does without it."""
    modules: dict[str, Any] = sys.modules
    if "matplotlib" in modules:
        yield
        return
    modules["matplotlib"] = None
    try:
        yield
    finally:
        del modules["matplotlib"]


@functools.cache
def _use_devices() -> None:
    import tensorflow as tf

    with held_back():
        # TensorFlow writes at the first such operation, once per process, that oneDNN has no kernel of this type.
        tf.transpose(tf.zeros((1, 1), tf.int64))
