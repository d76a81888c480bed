"""Transposed convolutions written as convolutions."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpose.models import batch_norm
from tfpose.models.batch_norm import FusedBatchNormalization, fold_batch_norm
from tfpose.models.subpixel import SubpixelConvolution, is_subpixel, subpixel_kernels


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("size", [(5, 3), (1, 1), (None, None)])
def test_the_numbers_of_the_transposed_convolution(size, use_bias):
    keras.utils.set_random_seed(0)
    transposed = keras.layers.Conv2DTranspose(
        6, 4, strides=2, padding="same", use_bias=use_bias, bias_initializer="random_normal"
    )
    inputs = keras.Input((*size, 7))
    expected = keras.Model(inputs, transposed(inputs))
    assert is_subpixel(transposed)
    layer = SubpixelConvolution(6, use_bias)
    network = keras.Model(inputs, layer(inputs))
    kernel, *bias = transposed.get_weights()
    layer.set_weights([*subpixel_kernels(kernel), *bias])
    assert network.output_shape == expected.output_shape
    images = random_images(2, *(length or 4 for length in size), 7)
    np.testing.assert_allclose(network(images), expected(images), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{"kernel_size": 3}, {"strides": 1}, {"padding": "valid"}, {"activation": "relu"}, {"output_padding": 1}],
)
def test_other_transposed_convolutions_are_told_apart(changes):
    settings = {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same", **changes}
    assert not is_subpixel(keras.layers.Conv2DTranspose(**settings))


@pytest.mark.parametrize("normalized", [False, True])
def test_large_ones_are_replaced_when_normalizations_are_merged(monkeypatch, normalized):
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((6, 4, 8))
    for filters in (8, 2):
        x = keras.layers.Conv2DTranspose(filters, 4, strides=2, padding="same", name=f"deconv{filters}")(x)
        if normalized:
            x = FusedBatchNormalization(name=f"norm{filters}")(x)
            x = keras.layers.ReLU()(x)
    model = keras.Model(inputs, x)
    for variable in model.variables:
        if variable.name in ("gamma", "beta", "bias", "moving_mean", "moving_variance"):
            variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, variable.shape))
    monkeypatch.setattr(batch_norm, "_LARGE_KERNEL", 4 * 4 * 8 * 8)
    folded = fold_batch_norm(model)
    assert isinstance(folded.get_layer("deconv8"), SubpixelConvolution)
    assert isinstance(folded.get_layer("deconv2"), keras.layers.Conv2DTranspose)
    images = random_images(3, 6, 4, 8)
    expected = np.asarray(model(images, training=False))
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(folded(images), expected, atol=1e-5)
    # The clone must stand in a saved file, too.
    again = keras.Model.from_config(folded.get_config())
    again.set_weights(folded.get_weights())
    np.testing.assert_array_equal(again(images), folded(images))
