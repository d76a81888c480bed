"""Starts TensorFlow without the lines that it writes at every start."""

from __future__ import annotations

import functools
import os
import sys

from tfpose.stderr_filter import held_back


def start_tensorflow(*, use_devices: bool = True) -> None:
    """Imports TensorFlow and uses its devices for the first time, without its usual messages.

    Later TensorFlow writes errors only, unless the environment variable TF_CPP_MIN_LOG_LEVEL asks for more.

    Args:
        use_devices: False before a program that divides or joins devices, which TensorFlow refuses after their first
            use, and in programs that need none. The former call again when their devices are set.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with held_back():
            import tensorflow as tf

            tf.config.list_physical_devices()
    if use_devices:
        _use_devices()


@functools.cache
def _use_devices() -> None:
    import tensorflow as tf

    with held_back():
        # TensorFlow writes at the first such operation, once per process, that oneDNN has no kernel of this type.
        tf.transpose(tf.zeros((1, 1), tf.int64))
