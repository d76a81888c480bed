"""The batches that one worker trains on, for every system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfpose.crops import Normalization
from tfpose.training.step import Batch

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


def check_devices(config: Any, num_devices: int) -> None:
    """Checks that the devices can do what a config asks for.

    They must be able to share a batch, and each to cut its share into equal parts. Batch normalizations cannot talk to
    those of other devices inside what XLA compiles or in a loop over parts.

    Args:
        config: Config of an experiment, with values of the right types.
        num_devices: Number of devices of all machines.

    Raises:
        ValueError: They cannot; the message names the flag.
    """
    if config.batch_size % num_devices:
        raise ValueError(
            f"--config.batch_size must be a multiple of {num_devices}, the number of devices, got {config.batch_size}"
        )
    share, parts = config.batch_size // num_devices, config.optimization.accumulation_steps
    if share % parts:
        raise ValueError(
            f"--config.optimization.accumulation_steps must divide {share}, the batch of a device, got {parts}"
        )
    if num_devices > 1 and config.network.get("synchronize_batch_norm", False):
        for name, value in (("jit_compile", False), ("accumulation_steps", 1)):
            if config.optimization[name] != value:
                raise ValueError(
                    f"--config.network.synchronize_batch_norm requires --config.optimization.{name}={value} on several "
                    f"devices, got {num_devices} devices"
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


def network_inputs(images: tf.Tensor, batch: Batch, normalization: Normalization) -> tf.Tensor:
    """Returns the inputs [B, H, W, 3] of a network in training.

    Args:
        images: Images or crops of the batch, [B, H, W, 3].
        batch: The batch, with the factors `color_gains` [B, 3] of the colors.
        normalization: How images become inputs of the network.
    """
    return normalization(images) * batch["color_gains"][:, None, None, :]


def shown_colors(image: np.ndarray, gains: np.ndarray, normalization: Normalization) -> np.ndarray:
    """Returns the picture [H, W, 3] uint8 RGB whose normalization `network_inputs` returns for an image.

    Args:
        image: Image or crop, [H, W, 3] RGB.
        gains: Factors [3] of the colors, in the channel order of the network.
        normalization: How images become inputs of the network.
    """
    # A gain is a factor on the difference from the mean, because it is applied to normalized colors.
    colors = np.array([normalization.mean, gains], np.float64)
    means, factors = colors[:, ::-1] if normalization.channel_order == "bgr" else colors
    return np.clip(255 * means + (image - 255 * means) * factors, 0, 255).round().astype(np.uint8)


def sample_inputs(examples: Examples, name: str, normalization: Normalization) -> Iterator[tf.Tensor]:
    """Returns a sample of the inputs [B, H, W, 3] of a network in training, the same on every worker.

    Args:
        examples: Training examples of the run.
        name: Name of the images in a batch.
        normalization: How images become inputs of the network.
    """
    batches = examples.dataset(0, _SAMPLE_BATCH_SIZE, 1, range(1)).take(_SAMPLE_BATCHES)
    return (network_inputs(batch[name], batch, normalization) for batch in batches)
