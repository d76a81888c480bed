"""Networks as after training, and as the graphs of exported SavedModels, for benchmarks of speed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def randomize_normalizations(network: keras.Model) -> None:
    """Gives batch normalizations random values; with the initial ones their additions would vanish from the graph."""
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))


def randomize_biases(network: keras.Model) -> None:
    """Gives biases random values, as after training.

    TensorFlow removes the addition of the initial zeros, and it merges an exact GELU only with a product that has one.
    """
    rng = np.random.default_rng(1)
    for variable in network.variables:
        if variable.name == "bias":
            variable.assign(rng.normal(0, 0.1, variable.shape))


def compile_network(network: keras.Model, images: tf.Tensor) -> Callable[[], list[np.ndarray]]:
    """Compiles the network for any number of images [B, H, W, 3]; a call returns the outputs for `images`.

    Its weights are variables, as in a SavedModel. As constants they would be faster or slower: convolutions keep a copy
    of them in another order, and products of matrices choose another program.
    """
    signature = [tf.TensorSpec([None, *images.shape[1:]], images.dtype)]
    graph = tf.function(functools.partial(network, training=False), signature, autograph=False)
    return lambda: [output.numpy() for output in tf.nest.flatten(graph(images))]
