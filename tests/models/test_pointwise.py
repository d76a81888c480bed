import keras
import numpy as np
import pytest

from tfpose.models.pointwise import PointwiseConvolution


@pytest.mark.parametrize("size", [(5, 7), (None, None)])
@pytest.mark.parametrize("options", [{}, {"activation": "tanh"}, {"use_bias": False}])
def test_same_as_convolution_with_the_same_weights(size, options):
    images = keras.Input((*size, 6))
    layer = PointwiseConvolution(3, bias_initializer="random_normal", **options)
    model = keras.Model(images, layer(images))
    convolution = keras.layers.Conv2D(3, 1, **options)
    reference = keras.Model(images, convolution(images))
    convolution.set_weights(layer.get_weights())
    assert model.output_shape == reference.output_shape == (None, *size, 3)
    values = np.random.default_rng(0).normal(size=(2, 5, 7, 6)).astype(np.float32)
    np.testing.assert_allclose(model(values), reference(values), rtol=1e-5, atol=1e-6)


def test_is_rebuilt_from_its_config():
    layer = PointwiseConvolution(4, activation="tanh", name="maps")
    again = PointwiseConvolution.from_config(layer.get_config())
    assert (again.filters, again.name, again.activation) == (4, "maps", keras.activations.tanh)


@pytest.mark.parametrize("option", [{"strides": 2}, {"kernel_size": 3}, {"groups": 2}])
def test_anything_but_a_product_at_each_place_is_an_error(option):
    with pytest.raises(ValueError, match="pointwise"):
        PointwiseConvolution(4, **option)
