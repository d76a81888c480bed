"""Functions that XLA compiles for training."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfpose.models.compiled import compile_with_gradient


def normalize(tokens, gamma, beta):
    return ops.layer_normalization(tokens, gamma, beta, axis=-1, epsilon=1e-6)


@pytest.mark.parametrize("is_graph", [False, True], ids=["eager", "graph"])
def test_value_and_gradients_are_those_of_the_function(is_graph):
    rng = np.random.default_rng(0)
    tokens = tf.constant(rng.normal(size=(6, 8)), tf.float32)
    variables = [tf.Variable(rng.normal(size=8), dtype=tf.float32) for _ in range(2)]

    def differentiate(function):
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            outputs = function(tokens, *variables)
            loss = tf.reduce_sum(outputs**3)
        return [outputs, *tape.gradient(loss, [tokens, *variables])]

    run = tf.function(differentiate) if is_graph else differentiate
    for found, expected in zip(run(compile_with_gradient(normalize)), differentiate(normalize), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
