"""Imports TensorFlow without the lines that it writes at every start."""

from __future__ import annotations

import os
import sys

from tfpose.stderr_filter import held_back


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices, without its usual messages.

    Later TensorFlow writes errors only, unless the environment variable TF_CPP_MIN_LOG_LEVEL asks for more.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()
