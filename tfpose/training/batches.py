"""The batches of one worker, of whichever system."""

from __future__ import annotations

import tensorflow as tf

from tfpose.data.person_crops import PersonCrops


def make_dataset(
    people: PersonCrops, batch_size: int, start_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Batches for the replicas of one worker, see `training.loop.train`; `batch_size` is that of all replicas.

    Raises:
        ValueError: if the batch does not divide among the replicas.
    """
    num_replicas = context.num_replicas_in_sync
    if batch_size % num_replicas:
        raise ValueError(f"batch_size must divide among {num_replicas} replicas, got {batch_size}")
    per_worker = num_replicas // context.num_input_pipelines
    first = context.input_pipeline_id * per_worker
    replicas = range(first, first + per_worker)
    return people.dataset(start_step, batch_size // num_replicas, num_replicas, replicas)
