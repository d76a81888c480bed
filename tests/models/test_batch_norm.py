"""Batch normalization against its definition, and its merging into convolutions."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.models.batch_norm import FusedBatchNormalization, fold_batch_norm
from tfpose.models.pose_resnet import build_pose_resnet

MOMENTUM, EPSILON = 0.9, 1e-5


def build_layer(channels=3, dtype="float32", **kwargs):
    layer = FusedBatchNormalization(dtype=dtype, **kwargs)
    layer.build((None, None, None, channels))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.uniform(0.5, 1.5, channels) for _ in range(4)])
    return layer


def random_values(dtype="float64", shape=(2, 5, 4, 3)):
    return np.random.default_rng(1).normal(1.0, 2.0, shape).astype(dtype)


def normalized(values, gamma, beta, mean, variance):
    return gamma * (values - mean) / np.sqrt(variance + EPSILON) + beta


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float64", 1e-12), ("float32", 1e-5), ("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)],
)
def test_training_normalizes_by_the_batch_and_records_it(dtype, tolerance):
    layer = build_layer(dtype=dtype)
    gamma, beta, old_mean, old_variance = layer.get_weights()
    values = random_values(layer.compute_dtype if "bfloat" not in dtype else "float32")
    outputs = np.asarray(tf.cast(layer(values, training=True), tf.float64))
    values = values.astype("float64")
    mean, variance = values.mean((0, 1, 2)), values.var((0, 1, 2))
    np.testing.assert_allclose(outputs, normalized(values, gamma, beta, mean, variance), atol=tolerance)
    unbiased = values.reshape(-1, 3).var(0, ddof=1)
    new_mean, new_variance = layer.get_weights()[2:]
    np.testing.assert_allclose(new_mean, 0.9 * old_mean + 0.1 * mean, atol=tolerance)
    np.testing.assert_allclose(new_variance, 0.9 * old_variance + 0.1 * unbiased, atol=tolerance)
    assert layer.compute_dtype == keras.dtype_policies.get(dtype).compute_dtype


def test_inference_normalizes_by_the_running_statistics():
    layer = build_layer()
    before = layer.get_weights()
    values = random_values("float32")
    np.testing.assert_allclose(layer(values), normalized(values, *before), atol=1e-5)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_frozen_layer_uses_and_keeps_the_running_statistics():
    layer = build_layer()
    layer.trainable = False
    before = layer.get_weights()
    values = random_values("float32")
    np.testing.assert_allclose(layer(values, training=True), layer(values), atol=0)
    np.testing.assert_array_equal(layer.get_weights()[2], before[2])


def test_gradients_are_those_of_the_separate_operations():
    values = random_values("float32")
    weights = tf.constant(random_values("float32", values.shape) ** 2)
    gradients = []
    for dtype in ("float32", "float64"):
        layer = build_layer(dtype=dtype)
        inputs = tf.constant(values, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs, training=True) * tf.cast(weights, dtype))
        gradients.append(tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value]))
    for fused, separate in zip(*gradients, strict=True):
        scale = np.abs(separate).max()
        np.testing.assert_allclose(fused, separate, atol=1e-5 * scale)


def test_single_value_per_channel_stays_finite():
    for dtype in ("float32", "float64"):
        layer = build_layer(dtype=dtype)
        outputs = layer(np.full((1, 1, 1, 3), 7.0, dtype), training=True)
        np.testing.assert_allclose(outputs[0, 0, 0], layer.beta, atol=1e-6)
        assert np.isfinite(layer.get_weights()[3]).all()


_TWO_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfpose.models.batch_norm import FusedBatchNormalization
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = FusedBatchNormalization()
    layer.build((None, None, None, 3))
values = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
data = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(np.split(values, 2)[context.replica_id_in_sync_group]))
tf.function(lambda: strategy.run(lambda x: layer(x, training=True), (data,)))()
halves = [half.reshape(-1, 3) for half in np.split(values, 2)]
mean = np.mean([half.mean(0) for half in halves], 0)
variance = np.mean([half.var(0, ddof=1) for half in halves], 0)
for copy in strategy.experimental_local_results(layer.moving_mean.value):
    np.testing.assert_allclose(copy, 0.1 * mean, atol=1e-6)
for copy in strategy.experimental_local_results(layer.moving_variance.value):
    np.testing.assert_allclose(copy, 0.9 + 0.1 * variance, atol=1e-6)
print("both copies hold the mean")
"""


def test_running_statistics_of_two_replicas_are_averaged(project_dir):
    result = subprocess.run(
        [sys.executable, "-c", _TWO_REPLICAS],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        cwd=project_dir,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "both copies hold the mean" in result.stdout


def build_trained(depth=50, dtype=None, **kwargs):
    """A small network with statistics as after training, whose maps are of order 1."""
    keras.utils.set_random_seed(0)
    model = build_pose_resnet(4, depth, (64, 32), base_width=8, deconv_filters=8, dtype=dtype, **kwargs)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, size),
                    rng.normal(0, 0.3, size),
                    rng.normal(0, 0.5, size),
                    rng.uniform(0.5, 2.0, size),
                ]
            )
        elif layer.name.startswith(("deconv", "heatmaps")) and layer.weights:
            for variable in layer.weights:
                variable.assign(rng.normal(0, 0.1, variable.shape))
    return model


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_folded_network_gives_the_same_heatmaps(depth, stride_in):
    """In float64, where rounding cannot hide an error."""
    model = build_trained(depth, dtype="float64", stride_in=stride_in)
    folded = fold_batch_norm(model)
    images = random_values("float64", (2, 64, 32, 3))
    expected = np.asarray(model(images, training=False))
    difference = np.abs(np.asarray(folded(images)) - expected).max()
    assert difference < 1e-12 * expected.std()
    names = [layer.name for layer in model.layers if "_bn" not in layer.name]
    assert sorted(layer.name for layer in folded.layers) == sorted(names)
    assert not folded.compiled


def test_folding_rounds_no_worse_than_the_network_itself():
    exact, single = build_trained(50, dtype="float64"), build_trained(50)
    folded = fold_batch_norm(single)
    images = random_values("float32", (2, 64, 32, 3))
    exact.set_weights(single.get_weights())
    expected = np.asarray(exact(images.astype("float64"), training=False))
    unfolded_error, folded_error = (
        np.sqrt(np.mean((np.asarray(model(images, training=False)) - expected) ** 2)) for model in (single, folded)
    )
    assert 0 < folded_error < 3 * unfolded_error < 1e-4 * expected.std()


def test_folding_leaves_the_model_and_its_later_training_alone():
    model = build_trained(18)
    model.compile("adam", "mse")
    images = random_values("float32", (2, 64, 32, 3))
    folded = fold_batch_norm(model)
    before = np.asarray(folded(images))
    model(images, training=True)
    model.get_layer("stem_conv").kernel.assign_add(np.ones(model.get_layer("stem_conv").kernel.shape))
    np.testing.assert_array_equal(folded(images), before)


def test_network_of_mixed_precision_is_folded_to_single():
    half = build_trained(18, dtype="mixed_float16")
    single = build_trained(18)
    single.set_weights(half.get_weights())
    folded = fold_batch_norm(half)
    images = random_values("float32", (2, 64, 32, 3))
    expected = np.asarray(single(images, training=False))
    assert {layer.compute_dtype for layer in folded.layers} == {"float32"}
    # Half precision would be off by a hundredth.
    assert np.abs(np.asarray(folded(images)) - expected).max() < 1e-4 * expected.std()


def test_normalizations_that_cannot_be_merged_stay():
    """One follows a ReLU in the convolution, one shares its convolution with another reader."""
    inputs = keras.Input((8, 8, 2))
    active = keras.layers.Conv2D(3, 3, activation="relu", name="active")(inputs)
    kept = keras.layers.BatchNormalization(name="after_relu")(active)
    shared = keras.layers.Conv2D(3, 1, name="shared")(kept)
    normal = keras.layers.BatchNormalization(name="beside")(shared)
    model = keras.Model(inputs, keras.layers.Add()([shared, normal]))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    folded = fold_batch_norm(model)
    assert {"after_relu", "beside"} <= {layer.name for layer in folded.layers}
    values = random_values("float32", (1, 8, 8, 2))
    np.testing.assert_allclose(folded(values), model(values), rtol=1e-5)


def test_bias_before_a_normalization_is_merged_too():
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2DTranspose(5, 4, 2, "same", name="up")(inputs)
    model = keras.Model(inputs, FusedBatchNormalization(name="norm")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    folded = fold_batch_norm(model)
    assert [layer.name for layer in folded.layers if layer.weights] == ["up"]
    values = random_values("float32", (1, 8, 8, 2))
    np.testing.assert_allclose(folded(values), model(values), rtol=1e-4, atol=1e-5)
