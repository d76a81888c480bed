"""Mistakes that an implementation of a published network can make, for tests that see each of them."""

from __future__ import annotations

import keras

from tfpose.models.batch_norm import FusedBatchNormalization

CONVOLUTIONS = "tfpose.models.convolutions"


class BilinearUpSampling2D(keras.layers.UpSampling2D):
    """Enlarges smoothly where the networks repeat cells; the borders of cells coincide, not their centers."""

    def __init__(self, size, **kwargs):
        super().__init__(size, interpolation="bilinear", **kwargs)


def _pad_behind(x, kernel_size, stride, policy, name):
    """Keras' own padding at stride 2: one row and column more behind the image than before it."""
    if stride == 1 or kernel_size == 1:
        return x
    before, behind = (kernel_size - 2) // 2, (kernel_size - 1) // 2
    return keras.layers.ZeroPadding2D(((before, behind),) * 2, dtype=policy, name=f"{name}_pad")(x)


def pad_like_keras(monkeypatch):
    """Lets convolutions pad as Keras does, not as PyTorch and Paddle do."""
    monkeypatch.setattr(f"{CONVOLUTIONS}._pad", _pad_behind)


def take_keras_epsilon(monkeypatch):
    """Lets batch normalizations add 1e-3 to the variance, as Keras' own do."""
    monkeypatch.setattr(
        f"{CONVOLUTIONS}.FusedBatchNormalization", lambda **kwargs: FusedBatchNormalization(epsilon=1e-3, **kwargs)
    )
