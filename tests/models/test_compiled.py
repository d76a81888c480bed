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


@pytest.mark.parametrize(("num_gpus", "is_compiled"), [(0, True), (1, False)])
def test_xla_compiles_where_there_is_no_gpu(num_gpus, is_compiled, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * num_gpus)
    arguments = tf.ones([2, 4]), tf.ones(4), tf.zeros(4)
    graph = tf.function(compile_with_gradient(normalize)).get_concrete_function(*arguments).graph
    functions = graph.as_graph_def().library.function
    assert any(function.attr["_XlaMustCompile"].b for function in functions) == is_compiled
