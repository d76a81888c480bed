"""Endless batches from a function of the step, as a tf.data.Dataset."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

Shapes = dict[str, tuple[tuple[int | None, ...], tf.DType]]


def dataset_of_steps(
    batch: Callable[[int, int, slice], dict[str, np.ndarray]],
    shapes: Shapes,
    start_step: int,
    batch_size: int,
    num_replicas: int = 1,
    replicas: range = range(1),
) -> tf.data.Dataset:
    """Batches from `start_step` on: of each step one per replica of this worker, in turn.

    Args:
        batch: gives the examples `part` of the global batch of a step, from (step, global_batch_size, part).
        shapes: shape and type of each array of a replica's batch.
        start_step: the first step.
        batch_size: per replica.
        num_replicas: of all workers.
        replicas: those of this worker.
    """

    def load(index: int) -> dict[str, np.ndarray]:
        step, local = divmod(index, len(replicas))
        first = replicas[local] * batch_size
        return batch(start_step + step, batch_size * num_replicas, slice(first, first + batch_size))

    return dataset_of_arrays(load, shapes, tf.data.Dataset.counter())


def dataset_of_arrays(
    load: Callable[[int], dict[str, np.ndarray]], shapes: Shapes, indices: tf.data.Dataset
) -> tf.data.Dataset:
    """Calls `load` for every index in parallel, in order. OpenCV and the decoders release Python's lock."""

    def load_values(index: np.int64) -> tuple[np.ndarray, ...]:
        values = load(int(index))
        return tuple(values[name] for name in shapes)

    def call(index: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(load_values, [index], [dtype for _, dtype in shapes.values()])
        for value, (shape, _) in zip(values, shapes.values(), strict=True):
            value.set_shape(shape)
        return dict(zip(shapes, values, strict=True))

    # tf.data's own choice of the number of calls starts with one and is slow to learn that more is faster.
    num_calls = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return without_autotuning(indices.map(call, num_parallel_calls=num_calls, deterministic=True).prefetch(2))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset without the thread that chooses the numbers of calls and buffers left to tf.data.

    Where nothing is left to choose it only costs: it can miss that the iterator ends, whose end then waits for minutes
    until the thread looks again (TensorFlow 2.21, `Model::OptimizeLoop`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
