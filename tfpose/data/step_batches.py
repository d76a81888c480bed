"""Training batches that are functions of the step, and their tf.data.Dataset.

A step's batch is found by arithmetic, not by replaying the steps before it. So training continues at any step at once
and exactly, and one device sees the same global batch as many devices.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfpose.processes import num_cores

Shapes = dict[str, tuple[tuple[int | None, ...], tf.DType]]


class StepBatches(abc.ABC):
    """Training examples whose batches are a function of the step."""

    @abc.abstractmethod
    def batch(self, step: int, global_batch_size: int, part: slice) -> dict[str, np.ndarray]:
        """Returns the examples `part` of the global batch of a step, each array [B, ...]."""

    @abc.abstractmethod
    def example_shapes(self) -> Shapes:
        """Returns the shape and the type of each array of one example."""

    def dataset(
        self, start_step: int, batch_size: int, num_replicas: int = 1, replicas: range = range(1)
    ) -> tf.data.Dataset:
        """Returns endless batches: for each step one per replica of this worker, in turn.

        Args:
            start_step: First step.
            batch_size: Examples per replica.
            num_replicas: Number of replicas of all workers.
            replicas: Replicas of this worker.
        """

        def load(index: int) -> dict[str, np.ndarray]:
            step, local = divmod(index, len(replicas))
            first = replicas[local] * batch_size
            return self.batch(start_step + step, batch_size * num_replicas, slice(first, first + batch_size))

        shapes = {name: ((batch_size, *shape), dtype) for name, (shape, dtype) in self.example_shapes().items()}
        return dataset_of_arrays(load, shapes, tf.data.Dataset.counter())


class EpochOrder:
    """The order of examples, shuffled anew in every epoch.

    The examples of all epochs stand one after another. Step s takes the places s * global_batch and following.
    """

    def __init__(self, length: int, seed: int) -> None:
        """Takes the number of examples and the seed of their order."""
        self._length, self._seed = length, seed
        self._of_epoch = functools.lru_cache(maxsize=2)(self._shuffle)

    def positions(self, step: int, global_batch_size: int, part: slice) -> np.ndarray:
        """Returns which examples [B] int64 are the examples `part` of the global batch of a step."""
        places = step * global_batch_size + np.arange(global_batch_size)[part]
        epochs, positions = np.divmod(places, self._length)
        return np.array([self._of_epoch(int(e))[p] for e, p in zip(epochs, positions, strict=True)], np.int64)

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch, 0]).permutation(self._length)


def pad_rows(values: np.ndarray, count: int) -> np.ndarray:
    """Returns values [n, ...] as [count, ...] float32, with zeros behind them."""
    padded = np.zeros((count, *values.shape[1:]), np.float32)
    padded[: len(values)] = values
    return padded


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
    return without_autotuning(indices.map(call, num_parallel_calls=num_cores(), deterministic=True).prefetch(2))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset without the thread that chooses the numbers of calls and buffers left to tf.data.

    Where nothing is left to choose it only costs: it can miss that the iterator ends, whose end then waits for minutes
    until the thread looks again (TensorFlow 2.21, `Model::OptimizeLoop`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
