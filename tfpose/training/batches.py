"""The batches that one worker trains on, for every system."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

# Enough for the statistics of a network.
_SAMPLE_BATCHES, _SAMPLE_BATCH_SIZE = 16, 16


class Examples(Protocol):
    """Training examples that can be read from any step on."""

    def dataset(self, start_step: int, batch_size: int, num_replicas: int, replicas: range) -> tf.data.Dataset:
        """Returns endless batches from `start_step` on: for each step one batch per replica of this worker, in turn.

        Args:
            start_step: First step, counted from 0.
            batch_size: Number of examples per replica.
            num_replicas: Number of replicas of all workers.
            replicas: Indices of the replicas of this worker.
        """


def check_batch_size(batch_size: int, num_replicas: int, accumulation_steps: int) -> None:
    """Checks that the devices can share a batch, and that each can cut its share into equal parts.

    Raises:
        ValueError: They cannot; the message names the flag.
    """
    if batch_size % num_replicas:
        raise ValueError(
            f"--config.batch_size must be a multiple of {num_replicas}, the number of devices, got {batch_size}"
        )
    share = batch_size // num_replicas
    if share % accumulation_steps:
        raise ValueError(
            f"--config.optimization.accumulation_steps must divide {share}, the batch of a device, got "
            f"{accumulation_steps}"
        )


def make_dataset(
    examples: Examples, batch_size: int, start_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Returns the batches for the replicas of one worker, in the form that `training.loop.train` expects.

    Args:
        examples: Training examples of the run.
        batch_size: Number of examples per step, over all replicas.
        start_step: First step, counted from 0.
        context: Place of this worker among all workers.

    Raises:
        ValueError: The replicas cannot share the batch equally.
    """
    num_replicas = context.num_replicas_in_sync
    if batch_size % num_replicas:
        raise ValueError(f"batch_size must be a multiple of {num_replicas}, the number of replicas, got {batch_size}")
    per_worker = num_replicas // context.num_input_pipelines
    first = context.input_pipeline_id * per_worker
    replicas = range(first, first + per_worker)
    return examples.dataset(start_step, batch_size // num_replicas, num_replicas, replicas)


def sample_batches(examples: Examples) -> tf.data.Dataset:
    """Returns the first batches of a run for one replica, the same on every worker: a sample of what training sees."""
    return examples.dataset(0, _SAMPLE_BATCH_SIZE, 1, range(1)).take(_SAMPLE_BATCHES)
