"""Enlargement by repetition, as few operations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="tfpose")
class NearestUpsampling(layers.UpSampling2D):
    """`UpSampling2D(size)` that repeats rows and columns by one operation, where Keras has 60 nodes of a graph.

    Graphs are traced and loaded sooner, and the operation takes two thirds of the time. Only for inference: XLA does
    not compile its gradient. Images of unknown size are left to Keras.
    """

    # Whether the rows and columns are copies that are joined, see `joining_copies`.
    _joins_copies = False

    def call(self, inputs: Any) -> Any:
        """Returns [B, size * H, size * W, C] for [B, H, W, C]."""
        _, height, width, channels = inputs.shape
        if height is None or width is None:
            return super().call(inputs)
        size = (self.size[0] * height, self.size[1] * width)
        if self._joins_copies:
            row = ops.reshape(ops.concatenate([inputs] * self.size[1], axis=-1), (-1, height, 1, size[1] * channels))
            return ops.reshape(ops.concatenate([row] * self.size[0], axis=2), (-1, *size, channels))
        return ops.image.resize(inputs, size, interpolation="nearest", data_format="channels_last")


@contextlib.contextmanager
def joining_copies(network: keras.Model) -> Iterator[None]:
    """Enlarges by joined copies while a network is traced: the same values.

    TensorFlow is slower that way, but LiteRT's fast operators (XNNPACK) include none that repeats rows and columns.
    """
    enlargements = [layer for layer in network.layers if isinstance(layer, NearestUpsampling)]
    for layer in enlargements:
        layer._joins_copies = True
    try:
        yield
    finally:
        for layer in enlargements:
            layer._joins_copies = False


def is_nearest(layer: layers.Layer) -> bool:
    """Returns whether a layer is an enlargement that `NearestUpsampling` computes."""
    return (
        isinstance(layer, layers.UpSampling2D)
        and layer.interpolation == "nearest"
        and layer.data_format == "channels_last"
    )
