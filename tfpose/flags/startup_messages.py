"""Imports TensorFlow without the lines that it writes at every start."""

from __future__ import annotations

import sys

from tfpose.stderr_filter import held_back


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices, without its usual messages."""
    if "tensorflow" in sys.modules:
        return
    with held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()
