from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.models.output_layers import OutputConvolution
from tfpose.training.muon import Muon, is_hidden_kernel, orthogonalize
from tfpose.training.optimization import OptimizationSettings, StepwiseSchedule, build_optimizer, update_variables


def random_matrix(singular_values: np.ndarray, shape: tuple[int, int], seed: int) -> tuple[np.ndarray, ...]:
    """A matrix of random directions, and its factors U and V'."""
    rng = np.random.default_rng(seed)
    n = len(singular_values)
    left, right = (np.linalg.qr(rng.normal(size=(side, n)))[0] for side in shape)
    return (left * singular_values) @ right.T, left, right.T


@pytest.mark.parametrize("shape", [(90, 16), (16, 40), (16, 16)])
def test_orthogonal_matrices_keep_their_directions(shape: tuple[int, int]) -> None:
    matrix, left, right = random_matrix(np.geomspace(1.0, 0.02, 16), shape, seed=1)
    # The size of the matrix does not matter, however small or large the gradient is.
    for scale in (1e-8, 1.0, 1e4):
        (result,) = orthogonalize([tf.constant(matrix * scale, tf.float32)])
        in_directions = left.T @ result.numpy() @ right.T
        values = np.diag(in_directions)
        assert values.min() > 0.65 and values.max() < 1.25, values
        np.testing.assert_allclose(in_directions, np.diag(values), atol=1e-3)
        np.testing.assert_allclose(left @ in_directions @ right, result, atol=1e-3)


def test_matrices_of_one_side_are_not_mixed_up() -> None:
    shapes = [(30, 16), (16, 70), (64, 32), (16, 16), (16, 30)]
    matrices = [tf.random.stateless_normal(shape, [3, i]) for i, shape in enumerate(shapes)]
    together = orthogonalize(matrices)
    for matrix, result in zip(matrices, together, strict=True):
        np.testing.assert_allclose(result, orthogonalize([matrix])[0], atol=1e-5)


def test_nothing_learnt_moves_nothing() -> None:
    (result,) = orthogonalize([tf.zeros([20, 16])])
    assert not result.numpy().any()


def build_variables() -> dict[str, keras.Variable]:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, name="stem")(inputs)
    x = keras.layers.Conv2D(24, 3, use_bias=False, name="hidden")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2DTranspose(16, 4, use_bias=False, name="up")(x)
    outputs = OutputConvolution(17, name="maps")(x)
    return {variable.path: variable for variable in keras.Model(inputs, outputs).trainable_variables}


def test_muon_moves_kernels_between_hidden_layers() -> None:
    variables = build_variables()
    chosen = {path for path, variable in variables.items() if is_hidden_kernel(variable)}
    assert chosen == {"hidden/kernel", "up/kernel"}
    assert len(variables) == 8


def test_two_updates_by_hand() -> None:
    variables = build_variables()
    optimizer = build_optimizer(OptimizationSettings(0.1, optimizer="muon", momentum=0.5), list(variables.values()))
    assert isinstance(optimizer, Muon)
    hidden = variables["hidden/kernel"]
    before = hidden.numpy()
    rng = np.random.default_rng(0)
    gradients = [{path: rng.normal(size=v.shape).astype(np.float32) for path, v in variables.items()} for _ in "ab"]
    for step in gradients:
        update_variables(optimizer, [tf.constant(g) for g in step.values()], list(variables.values()))
        optimizer.iterations.assign_add(1)
    first, second = (step["hidden/kernel"].reshape(-1, 24) for step in gradients)
    # Momenta: first, then 0.5 * first + second; directions: the gradient and half the momentum.
    directions = first + 0.5 * first, second + 0.5 * (0.5 * first + second)
    moves = [0.1 * 0.2 * np.sqrt(144) * orthogonalize([tf.constant(d)])[0].numpy() for d in directions]
    np.testing.assert_allclose(hidden.numpy(), before - sum(moves).reshape(before.shape), atol=1e-5)


def test_the_rest_moves_as_by_adam() -> None:
    by_muon, by_adam = build_variables(), build_variables()
    optimizers = Muon(0.01), keras.optimizers.Adam(0.01)
    rng = np.random.default_rng(0)
    for variables, optimizer in zip((by_muon, by_adam), optimizers, strict=True):
        optimizer.build(list(variables.values()))
    for path, variable in by_adam.items():
        variable.assign(by_muon[path].value)
    for _ in range(3):
        gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in by_muon.values()]
        for variables, optimizer in zip((by_muon, by_adam), optimizers, strict=True):
            optimizer.apply(gradients, list(variables.values()))
    for path, variable in by_muon.items():
        is_same = np.allclose(variable.numpy(), by_adam[path].numpy(), atol=1e-6)
        assert is_same != is_hidden_kernel(variable), path


def test_it_learns_a_linear_map_in_a_fit() -> None:
    rng = np.random.default_rng(0)
    images, weights = rng.normal(size=(256, 16)), rng.normal(size=(16, 16))
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16, use_bias=False)])
    model.compile(Muon(StepwiseSchedule(0.3, cosine_steps=160)), "mse")
    history = model.fit(images, images @ weights, batch_size=32, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 1e-3 * history[0]


def test_it_survives_its_config() -> None:
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(Muon(0.3, momentum=0.7)))
    assert (float(copy.learning_rate), copy.momentum) == (pytest.approx(0.3), 0.7)
