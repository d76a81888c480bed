"""Heatmap losses: hand-computed values, masks, hard joints, and the originals' numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpose.losses import (
    hard_joint_weights,
    heatmap_mse,
    joint_map_error,
    masked_map_error,
    mean_heatmap_loss,
)


def random_maps(batch=3, joints=4, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    true, pred = rng.normal(size=(2, batch, 4, 3, joints)).astype(dtype)
    return true, pred


def test_hand_computed_value():
    true = np.zeros((1, 2, 2, 3), np.float32)
    pred = np.zeros_like(true)
    pred[0, 0, 0, 0] = 2.0  # mean over four cells: 1
    pred[0, :, :, 1] = 3.0  # 9
    pred[0, :, :, 2] = 100.0  # hidden
    weights = np.array([[1, 1, 0]], np.float32)
    np.testing.assert_allclose(heatmap_mse(true, pred, weights), [[1, 9, 0]])
    assert float(mean_heatmap_loss(true, pred, weights)) == pytest.approx(5.0)
    assert float(mean_heatmap_loss(true, pred, weights, reduction="all")) == pytest.approx(10 / 3)
    assert float(mean_heatmap_loss(true, pred, weights, num_hard_joints=1)) == pytest.approx(9.0)
    assert float(mean_heatmap_loss(true, pred, weights, scale=0.5)) == pytest.approx(2.5)


def test_batch_of_losses_is_the_losses_of_each():
    true, pred = random_maps()
    weights = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], np.float32)
    together = np.asarray(heatmap_mse(true, pred, weights))
    for i in range(3):
        alone = heatmap_mse(true[i : i + 1], pred[i : i + 1], weights[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-6)


def test_hidden_joints_are_as_if_left_out():
    true, pred = random_maps()
    weights = np.tile(np.array([1, 0, 1, 0], np.float32), (3, 1))
    subset = mean_heatmap_loss(true[..., ::2], pred[..., ::2], np.ones((3, 2), np.float32))
    np.testing.assert_allclose(mean_heatmap_loss(true, pred, weights), subset, rtol=1e-6)


@pytest.mark.parametrize("num_hard_joints", [None, 2])
@pytest.mark.parametrize("reduction", ["visible", "all"])
def test_nothing_visible_gives_zero_and_zero_gradient(num_hard_joints, reduction):
    true, pred = random_maps()
    loss, gradient = loss_and_gradient(true, pred, np.zeros((3, 4), np.float32), num_hard_joints, reduction)
    assert loss == 0
    np.testing.assert_array_equal(gradient, 0)


def loss_and_gradient(true, pred, weights, num_hard_joints=None, reduction="visible", scale=1.0):
    pred = tf.constant(pred)
    with tf.GradientTape() as tape:
        tape.watch(pred)
        loss = mean_heatmap_loss(true, pred, weights, num_hard_joints, reduction, scale)
    return float(loss), tape.gradient(loss, pred).numpy()


@pytest.mark.parametrize("num_hard_joints", [None, 1, 3])
def test_gradient_is_finite_and_only_on_joints_that_count(num_hard_joints):
    true, pred = random_maps()
    weights = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]], np.float32)
    _, gradient = loss_and_gradient(true, pred, weights, num_hard_joints)
    counted = np.any(gradient != 0, axis=(1, 2))
    assert np.isfinite(gradient).all()
    expected = np.minimum(weights.sum(1), num_hard_joints or 4)
    np.testing.assert_array_equal(counted.sum(1), expected)
    assert not np.any(counted & (weights == 0))


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_hidden_maps_have_no_influence_whatever_they_hold(poison):
    true, pred = random_maps()
    weights = np.array([[1, 0, 1, 1]] * 3, np.float32)
    expected_loss, expected_gradient = loss_and_gradient(true, pred, weights)
    true[..., 1] = poison
    loss, gradient = loss_and_gradient(true, pred, weights)
    assert loss == expected_loss
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_half_precision_maps_are_compared_in_single():
    true, pred = random_maps()
    weights = np.ones((3, 4), np.float16)
    loss = mean_heatmap_loss(true.astype("f2") * 300, pred.astype("f2") * 300, weights)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    expected = 9e4 * np.mean((true.astype("f2") - pred.astype("f2")).astype("f8") ** 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-2)


def test_hardest_joints_are_those_of_largest_loss():
    losses = np.array([[0.1, 0.4, 0.2, 0.3], [0.0, 0.0, 0.0, 0.9]], np.float32)
    weights = np.array([[1, 1, 1, 1], [0, 1, 0, 1]], np.float32)
    kept = hard_joint_weights(tf.constant(losses), weights, 2)
    np.testing.assert_array_equal(kept, [[0, 1, 0, 1], [0, 1, 0, 1]])


def test_arguments_out_of_range_are_named():
    true, pred = random_maps()
    weights = np.ones((3, 4), np.float32)
    for number in (0, 5):
        with pytest.raises(ValueError, match=f"num_hard_joints must be in 1..4, got {number}"):
            mean_heatmap_loss(true, pred, weights, num_hard_joints=number)
    with pytest.raises(ValueError, match="reduction must be 'visible' or 'all', got 'sum'"):
        mean_heatmap_loss(true, pred, weights, reduction="sum")


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "simple_baseline" / "network_loss.npz") as data:
        return {name: data[name].astype("float64") for name in data}


def test_loss_of_the_simple_baselines_code(golden):
    true, pred, weights = (golden[name] for name in ("target", "output", "weight"))
    loss, gradient = loss_and_gradient(true, pred, weights**2, reduction="all", scale=0.5)
    np.testing.assert_allclose(loss, golden["loss_weighted"], rtol=1e-6)
    np.testing.assert_allclose(gradient, golden["loss_weighted_grad"], rtol=1e-4, atol=1e-9)
    loss = mean_heatmap_loss(true, pred, np.ones_like(weights), reduction="all", scale=0.5)
    np.testing.assert_allclose(loss, golden["loss_unweighted"], rtol=1e-6)


def test_loss_of_mmpose(golden):
    true, pred, weights = (golden[name] for name in ("target", "output", "weight"))
    loss = mean_heatmap_loss(true, pred, weights, reduction="all")
    np.testing.assert_allclose(loss, golden["mmpose_loss_weighted"], rtol=1e-6)


visibilities = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4), min_size=3, max_size=3).map(
    lambda rows: np.array(rows, np.float32)
)


@settings(max_examples=40, deadline=None)
@given(weights=visibilities, seed=st.integers(0, 1000), num_hard=st.integers(1, 4))
def test_properties_of_any_mask(weights, seed, num_hard):
    true, pred = random_maps(seed=seed)
    loss = float(mean_heatmap_loss(true, pred, weights))
    losses = ((pred - true) ** 2).mean((1, 2))
    expected = losses[weights > 0].mean() if weights.any() else 0.0
    assert loss == pytest.approx(expected, rel=1e-5)
    assert float(mean_heatmap_loss(true, true, weights)) == 0
    hard = float(mean_heatmap_loss(true, pred, weights, num_hard_joints=num_hard))
    kept = [
        value for row, mask in zip(losses, weights, strict=True) for value in sorted(row[mask > 0])[::-1][:num_hard]
    ]
    assert hard == pytest.approx(np.mean(kept) if kept else 0.0, rel=1e-5)
    order = np.random.default_rng(seed).permutation(4)
    shuffled = mean_heatmap_loss(true[..., order], pred[..., order], weights[:, order])
    assert float(shuffled) == pytest.approx(loss, rel=1e-5)


def gaussian(center, size=(40, 60), sigma=2.0):
    """[1, H, W, 1]."""
    columns, rows = (
        np.exp(-((np.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in zip(size[::-1], center, strict=True)
    )
    return (rows[:, None] * columns).astype(np.float32)[None, ..., None]


def test_leaving_out_one_gaussian_costs_two_pi():
    """The sum of squares of a Gaussian of sigma 2 is pi * sigma^2 = 4 * pi; half of it is 6.28."""
    true = np.concatenate([gaussian((30, 20)), gaussian((25.5, 14.25))], axis=-1)
    nothing = np.zeros_like(true)
    errors = joint_map_error(true, nothing, np.array([[1.0, 0.5]], np.float32))
    np.testing.assert_allclose(errors, [[2 * np.pi, np.pi]], rtol=1e-5)
    np.testing.assert_allclose(
        masked_map_error(true, nothing, np.ones((1, 40, 60), np.float32)), [4 * np.pi], rtol=1e-5
    )
    # The half of the map with the second center in it: a symmetric Gaussian's half is half the sum.
    half = np.ones((1, 40, 60), np.float32)
    half[..., 30:] = 0
    half[..., 30:31] = np.sqrt(0.5)
    np.testing.assert_allclose(masked_map_error(true[..., :1], nothing[..., :1], half), [np.pi], rtol=1e-5)


def test_mask_multiplies_the_difference_before_the_square():
    pred = np.full((1, 2, 2, 1), 3.0, np.float32)
    mask = np.array([[[1, 0.5], [0, 0]]], np.float32)
    # 0.5 * ((1 * (3 - 1))^2 + (0.5 * (3 - 1))^2)
    np.testing.assert_allclose(masked_map_error(np.ones_like(pred), pred, mask), [2.5])


def test_map_errors_of_a_batch_are_those_of_each():
    true, pred = random_maps()
    weights = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0.5, 1]], np.float32)
    masks = np.random.default_rng(0).integers(0, 2, (3, 4, 3)).astype(np.float32)
    joints, heads = joint_map_error(true, pred, weights), masked_map_error(true, pred, masks)
    squares = (pred - true) ** 2
    np.testing.assert_allclose(joints, 0.5 * weights * squares.sum((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(heads, 0.5 * (masks[..., None] * squares).sum((1, 2, 3)), rtol=1e-6)
    for i in range(3):
        row = slice(i, i + 1)
        np.testing.assert_allclose(joint_map_error(true[row], pred[row], weights[row])[0], joints[i], rtol=1e-6)
        np.testing.assert_allclose(masked_map_error(true[row], pred[row], masks[row])[0], heads[i], rtol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_does_not_count_has_no_influence_on_map_errors(poison):
    true, pred = random_maps()
    weights = np.array([[1, 0, 1, 1]] * 3, np.float32)
    masks = np.ones((3, 4, 3), np.float32)
    masks[:, 1] = 0
    results = []
    for value in (0.0, poison):
        of_joints, of_heads = true.copy(), true.copy()
        of_joints[..., 1] = value
        of_heads[:, 1] = value
        variable = tf.Variable(pred)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(joint_map_error(of_joints, variable, weights))
            loss += tf.reduce_sum(masked_map_error(of_heads, variable, masks))
        results.append((loss.numpy(), tape.gradient(loss, variable).numpy()))
    assert results[0][0] == results[1][0]
    assert np.isfinite(results[1][1]).all()
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_map_errors_of_half_precision_are_single():
    maps = np.full((1, 64, 64, 1), 10.0, np.float16)
    weights = np.ones((1, 1), np.float16)
    # 0.5 * 64 * 64 * 100, which float16 cannot hold.
    assert joint_map_error(np.zeros_like(maps), maps, weights) == 204_800
    assert masked_map_error(np.zeros_like(maps), maps, np.ones((1, 64, 64), np.float16)) == 204_800
