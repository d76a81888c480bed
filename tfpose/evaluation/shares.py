"""An evaluation that all devices of all workers do together."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Arrays = tuple[np.ndarray, ...]


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
                belong to the items in order. An empty slice must give arrays without rows. It is called in a thread for
                each device.

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
