"""An evaluation that all devices of all workers do together."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfpose.inference.float32_networks import build_in_float32
from tfpose.models.unfilled import build_unfilled

Arrays = tuple[np.ndarray, ...]
Network = TypeVar("Network", bound=keras.Model)
Find = TypeVar("Find")


@dataclasses.dataclass(frozen=True)
class EvaluationShare:
    """The devices that evaluate together: which part is whose, and how the parts come together.

    Every worker of a training must call `run` equally often, or the others wait for it.

    Attributes:
        devices: Names of this worker's devices.
        strategy: Strategy of the training; None for one worker.
        worker: Index of this worker.
        num_workers: Number of workers.
    """

    devices: Sequence[str] = ("",)
    strategy: tf.distribute.Strategy | None = None
    worker: int = 0
    num_workers: int = 1

    def run(self, num_items: int, batch_size: int, work: Callable[[int, slice], Arrays]) -> Arrays:
        """Lets every device of every worker do a part of the items, and returns the results of all.

        The parts consist of whole batches, so that each batch is the same as on one device, and so are the results.

        Args:
            num_items: Number of items.
            batch_size: Number of items of a batch; the last batch may be smaller.
            work: Function from the position of a device in `devices` and a slice of the items to arrays, whose rows
                belong to the items in order; an item may have several rows or none. An empty slice must give arrays
                without rows, of the same types. It is called in a thread for each device.

        Returns:
            The arrays for all items, the same on every worker.
        """
        num_parts = self.num_workers * len(self.devices)
        num_batches = -(-num_items // batch_size)
        bounds = [min(num_items, batch_size * (num_batches * part // num_parts)) for part in range(num_parts + 1)]
        first = self.worker * len(self.devices)
        parts = [slice(bounds[first + i], bounds[first + i + 1]) for i in range(len(self.devices))]
        found = self._run_on_devices(parts, work)
        arrays = tuple(np.concatenate(of_parts) for of_parts in zip(*found, strict=True))
        return arrays if self.num_workers == 1 else tuple(self._gather(values) for values in arrays)

    def _run_on_devices(self, parts: Sequence[slice], work: Callable[[int, slice], Arrays]) -> list[Arrays]:
        if len(parts) == 1:
            return [work(0, parts[0])]

        def run(index: int) -> Arrays:
            with tf.device(self.devices[index]):
                return work(index, parts[index])

        with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
            return list(pool.map(run, range(len(parts))))

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        """Returns the rows of all workers, one worker after the other."""
        if self.strategy is None:
            raise ValueError("strategy must be given for several workers, got None")
        # The other devices of the worker add nothing.
        values = iter([rows, *[rows[:0]] * (len(self.devices) - 1)])
        shared = self.strategy.experimental_distribute_values_from_function(lambda _: tf.constant(next(values)))
        return self.strategy.gather(shared, axis=0).numpy()


ALONE = EvaluationShare()


class DeviceCopies(Generic[Network, Find]):
    """Copies of a network in training, one for each device of this worker, in float32 whatever it is trained in.

    Args:
        compile_copy: Function from a copy to the function that finds people with it. Each copy is compiled once, for
            all evaluations of a training.
    """

    def __init__(self, compile_copy: Callable[[Network], Find]) -> None:
        self._compile_copy = compile_copy
        self._copies: list[Network] = []
        self._functions: list[Find] = []

    def update(self, network: keras.Model, build_copy: Callable[[], Network], devices: Sequence[str]) -> list[Find]:
        """Gives all copies the weights of the network.

        Args:
            network: Network with the weights.
            build_copy: Function that builds the same network. The first call of `update` builds the copies.
            devices: Names of the devices, the same for every call.

        Returns:
            The function of each device.
        """
        if not self._copies:
            for device in devices:
                with tf.device(device):
                    self._copies.append(build_in_float32(lambda: build_unfilled(build_copy)))
            self._functions = [self._compile_copy(copy) for copy in self._copies]
        weights = network.get_weights()
        for copy in self._copies:
            copy.set_weights(weights)
        return self._functions
