"""Training batches that are functions of the step, and their tf.data.Dataset.

A step's batch is found by arithmetic, not by replaying the steps before it. So training continues at any step at once
and exactly, and one device sees the same global batch as many devices.
"""

from __future__ import annotations

import abc
import functools
import traceback
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import tensorflow as tf

from tfpose.messages import describe_error
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
    """Calls `load` for every index in parallel, in order. OpenCV and the decoders release Python's lock.

    An exception of `load` becomes a `tf.errors.InvalidArgumentError` with the exception's line, and
    `iterate_dataset` makes a ValueError of it.
    """

    def load_values(index: np.int64) -> tuple[str | np.ndarray, ...]:
        # TensorFlow would log the traceback of an exception, and one that is alive can keep the process from ending.
        try:
            values = load(int(index))
            return "", *(values[name] for name in shapes)
        except Exception as error:
            return describe_error(error), *(np.zeros(0, dtype.as_numpy_dtype) for _, dtype in shapes.values())

    @tf.autograph.experimental.do_not_convert
    def call(index: tf.Tensor) -> dict[str, tf.Tensor]:
        failure, *values = tf.numpy_function(
            load_values, [index], [tf.string, *(dtype for _, dtype in shapes.values())]
        )
        with tf.control_dependencies([tf.debugging.Assert(failure == "", [failure])]):
            values = [tf.identity(value) for value in values]
        for value, (shape, _) in zip(values, shapes.values(), strict=True):
            value.set_shape(shape)
        return dict(zip(shapes, values, strict=True))

    # tf.data's own choice of the number of calls starts with one and is slow to learn that more is faster.
    return without_autotuning(indices.map(call, num_parallel_calls=num_cores(), deterministic=True).prefetch(2))


def iterate_dataset(dataset: tf.data.Dataset) -> Generator[Any, None, None]:
    """Yields the elements of a dataset, and ends the threads of the dataset when the caller stops, for any reason.

    Raises:
        ValueError: The dataset failed. The message is the line that tells why.
    """
    iterator = iter(dataset)
    try:
        while True:
            # No variable may hold the last element, or the last iterator, while the caller works.
            yield next(iterator)
    except StopIteration:
        return
    except tf.errors.OpError as error:
        # The frames of the traceback hold the iterator. While it is alive the process may not end.
        traceback.clear_frames(error.__traceback__)
        raise ValueError(describe_error(error)) from None
    finally:
        del iterator


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset without the thread that chooses the numbers of calls and buffers left to tf.data.

    Where nothing is left to choose it only costs: it can miss that the iterator ends, whose end then waits for minutes
    until the thread looks again (TensorFlow 2.21, `Model::OptimizeLoop`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
