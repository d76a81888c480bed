"""Enlargement by repetition as one operation: the values of Keras in far fewer nodes of a graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.models.simplification import simplify_network
from tfpose.models.upsampling import NearestUpsampling, is_nearest, joining_copies


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("size", [2, 3, (2, 4)])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 1, 4), (0, 3, 2, 1)])
def test_values_are_those_of_keras(dtype, size, shape):
    images = tf.cast(np.random.default_rng(0).normal(size=shape), dtype)
    expected = keras.layers.UpSampling2D(size, dtype=dtype)(images)
    found = NearestUpsampling(size, dtype=dtype)(images)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("size", [2, 3, (2, 4)])
def test_joined_copies_have_the_same_values(size):
    inputs = keras.Input((5, 7, 3))
    network = keras.Model(inputs, NearestUpsampling(size)(inputs))

    def operations():
        function = tf.function(lambda images: network(images), [tf.TensorSpec((None, 5, 7, 3))], autograph=False)
        return {operation.type for operation in function.get_concrete_function().graph.get_operations()}

    images = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 7, 3)), tf.float32)
    expected = network(images)
    with joining_copies(network):
        np.testing.assert_array_equal(network(images), expected)
        assert "ResizeNearestNeighbor" not in operations()
    assert "ResizeNearestNeighbor" in operations()


@pytest.mark.parametrize("sides", [(6, 4), (None, None)])
def test_a_simplified_network_has_few_nodes_for_it(sides):
    inputs = keras.Input((*sides, 3))
    enlarged = keras.layers.UpSampling2D(2, name="repeated")(inputs)
    smooth = keras.layers.UpSampling2D(2, interpolation="bilinear", name="smooth")(enlarged)
    network = keras.Model(inputs, smooth)
    simple = simplify_network(network)
    assert is_nearest(simple.get_layer("repeated")) and not is_nearest(simple.get_layer("smooth"))
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 4, 3)), tf.float32)
    np.testing.assert_array_equal(simple(images), network(images))

    def num_nodes(layer):
        function = tf.function(layer, [tf.TensorSpec((None, *sides, 3))], autograph=False)
        return len(function.get_concrete_function().graph.get_operations())

    before, after = (num_nodes(model.get_layer("repeated")) for model in (network, simple))
    assert 3 * after < before if all(sides) else after == before
