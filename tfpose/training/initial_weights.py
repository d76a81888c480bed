"""The weights that a training starts from: batch statistics that their publisher removed are measured again.

A publisher may merge the batch normalizations of a network into its convolutions, and leave normalizations that change
nothing. Such a network is right in evaluation. Training normalizes by the statistics of each batch instead, so that
each layer would get values of another size than it was trained on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfpose.models.batch_norm import FusedBatchNormalization, layers_without_statistics


def restore_statistics(model: keras.Model, source: str, sample_inputs: Callable[[], Iterable[tf.Tensor]]) -> None:
    """Gives statistics to the batch normalizations of a network that hold none, and prints a note.

    The mean m and the variance v of what each layer sees are measured in evaluation. They replace the running mean m0
    and variance v0, and scale and shift change so that the outputs of the network in evaluation stay the same to
    rounding: scale * sqrt((v + epsilon) / (v0 + epsilon)), and shift + scale * (m - m0) / sqrt(v0 + epsilon). In
    training, the outputs then differ as much as the statistics of one batch from those of all.

    Args:
        model: Network with the weights, built on Keras layers by the functional API.
        source: Work folder or name of a public checkpoint that the weights are from, for the note.
        sample_inputs: Function that returns batches [B, H, W, 3] of inputs of the network, as training has them. It is
            called only if they are needed.

    Raises:
        ValueError: There is no batch.
    """
    layers = layers_without_statistics(model)
    if not layers:
        return
    count, means, variances = _measure(model, layers, sample_inputs())
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        gamma, beta, old_mean, old_variance = (np.float64(values) for values in layer.get_weights())
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        new_gamma = scale * np.sqrt(variance + layer.epsilon)
        new_beta = beta + scale * (mean - old_mean)
        layer.set_weights([new_gamma, new_beta, mean, variance])
    print(
        f"note: {len(layers)} batch normalizations of {source} hold no statistics, because its publisher merged them "
        f"into the convolutions; tfpose measures the statistics on {count} training images and keeps the outputs",
        file=sys.stderr,
    )


def _measure(
    model: keras.Model, layers: Sequence[FusedBatchNormalization], inputs: Iterable[tf.Tensor]
) -> tuple[int, list[np.ndarray], list[np.ndarray]]:
    """Returns the number of images, and for each layer the mean and the variance of its inputs."""
    probe = keras.Model(model.inputs, [layer.input for layer in layers])

    @tf.function
    def moments_of(images: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        seen = keras.tree.flatten(probe(images, training=False))
        return [tf.nn.moments(tf.cast(values, tf.float32), axes=(0, 1, 2)) for values in seen]

    count, found = 0, []
    for images in inputs:
        count += len(images)
        found.append([(mean.numpy(), variance.numpy()) for mean, variance in moments_of(images)])
    if not found:
        raise ValueError("sample_inputs must return a batch, got none")
    means = [np.array([batch[index][0] for batch in found], np.float64) for index in range(len(layers))]
    variances = [np.array([batch[index][1] for batch in found], np.float64) for index in range(len(layers))]
    # The variance of all values is the mean of those of the batches, and the variance of the batches' means.
    totals = [variance.mean(axis=0) + mean.var(axis=0) for mean, variance in zip(means, variances, strict=True)]
    return count, [mean.mean(axis=0) for mean in means], totals
