"""Starts TensorFlow without the lines that it writes at every start, and without what no program uses."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tfpose.garbage import without_cycle_search
from tfpose.stderr_filter import held_back

# Packages that TensorFlow and Keras import for functions that no program uses, and do without.
_UNUSED_PACKAGES = ("matplotlib", "scipy")


def start_tensorflow(*, use_devices: bool = True, is_program: bool = True) -> None:
    """Imports TensorFlow and uses its devices for the first time, without its usual messages.

    Later TensorFlow writes errors only, unless the environment variable TF_CPP_MIN_LOG_LEVEL asks for more.

    Args:
        use_devices: False before a program that divides or joins devices, which TensorFlow refuses after their first
            use, and in programs that need none. The former call again when their devices are set.
        is_program: False in the Python of a user. There all of Keras must work, such as `keras.visualization`, and the
            settings of Keras and of the garbage collector are the user's.

    Raises:
        ValueError: Keras has settings with which the networks do not work, or see `check_process`.
    """
    if "keras" not in sys.modules and is_program:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    _check_keras("backend", os.environ.get("KERAS_BACKEND") or "tensorflow", "tensorflow")
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with held_back(), _only_what_programs_use() if is_program else contextlib.nullcontext():
            import tensorflow as tf

            tf.config.list_physical_devices()
    _settle_keras(is_program)
    if use_devices:
        check_process()


def check_process() -> None:
    """Checks that TensorFlow was started in this process: in a forked process it waits for ever.

    Raises:
        ValueError: It was started in the process from which this one was forked.
    """
    if _use_devices() != os.getpid():
        raise ValueError(
            f"TensorFlow must be started in the process that uses it, got process {os.getpid()}, which was forked "
            f"from process {_use_devices()}; load models in the new process, and start it by 'spawn'"
        )


def _settle_keras(is_program: bool) -> None:
    """Gives Keras its usual settings in a program, and checks them elsewhere: ~/.keras/keras.json may hold others."""
    import keras

    _check_keras("backend", keras.config.backend(), "tensorflow")
    if is_program:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
    _check_keras("image_data_format", keras.config.image_data_format(), "channels_last")
    _check_keras("floatx", keras.config.floatx(), "float32")


def _check_keras(name: str, value: str, needed: str) -> None:
    if value != needed:
        raise ValueError(f"{name} of Keras must be {needed}, got {value}; see ~/.keras/keras.json and KERAS_BACKEND")


@contextlib.contextmanager
def _only_what_programs_use() -> Iterator[None]:
    """Within, imports do without some packages and without the garbage collector.

    The collector would search the growing heap for garbage again and again, a fifth of the time of the import. What is
    imported stays until the process ends, so that the collector never looks at it later.
    """
    with without_cycle_search():
        try:
            with _without_packages(_UNUSED_PACKAGES):
                yield
        finally:
            gc.freeze()


@contextlib.contextmanager
def _without_packages(names: Sequence[str]) -> Iterator[None]:
    """Within, an import of these packages fails, unless they are imported already."""
    modules: dict[str, Any] = sys.modules
    blocked = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(blocked))
    try:
        yield
    finally:
        for name in blocked:
            del modules[name]


@functools.cache
def _use_devices() -> int:
    """Uses the devices for the first time; returns the number of the process that did so."""
    import tensorflow as tf

    with held_back():
        # TensorFlow writes at the first such operation, once per process, that oneDNN has no kernel of this type.
        tf.transpose(tf.zeros((1, 1), tf.int64))
    return os.getpid()
