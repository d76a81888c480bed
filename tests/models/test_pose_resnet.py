"""The heatmap network's shapes, names, dtypes and arguments."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.unfilled import build_unfilled


def build_small(depth=18, input_size=(64, 32), num_joints=5, **kwargs):
    return build_pose_resnet(num_joints, depth, input_size, base_width=4, deconv_filters=8, **kwargs)


def random_images(batch=2, height=64, width=32, dtype="float32"):
    return np.random.default_rng(0).normal(size=(batch, height, width, 3)).astype(dtype)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_heatmaps_are_a_quarter_of_the_crop(depth, stride_in):
    assert build_small(depth, stride_in=stride_in).output_shape == (None, 16, 8, 5)


# He et al. 2015, Table 1 counts the convolutions of the backbone and its classifier.
@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_depth_counts_the_convolutions(depth):
    names = [
        layer.name
        for layer in build_small(depth).layers
        if isinstance(layer, keras.layers.Conv2D) and "shortcut" not in layer.name
    ]
    assert len([name for name in names if name != "heatmaps"]) + 1 == depth


# Counted on the original: floats of its state dict, running statistics included.
@pytest.mark.parametrize(
    ("num_joints", "depth", "count"),
    [(17, 50, 34_054_353), (15, 50, 34_053_839), (17, 152, 68_788_433)],
)
def test_parameters_are_as_many_as_in_the_original(num_joints, depth, count):
    assert build_unfilled(lambda: build_pose_resnet(num_joints, depth)).count_params() == count


def test_every_layer_is_named_the_same_in_two_networks():
    first = [layer.name for layer in build_small(50).layers]
    assert first == [layer.name for layer in build_small(50).layers]
    assert len(set(first)) == len(first)


def test_skip_connections_carry_the_encoders_maps_past_the_bottleneck():
    images = random_images()
    for has_skips in (False, True):
        model = build_small(skip_connections=has_skips)
        added = {layer.name for layer in model.layers if layer.name.startswith("skip")}
        assert added == {f"skip{i}_{part}" for i in (1, 2, 3) for part in ("conv", "bn", "add") if has_skips}
        # Without what the transposed convolutions give, only the skip connections are left.
        for index in (1, 2, 3):
            model.get_layer(f"deconv{index}_bn").gamma.assign(np.zeros(8))
        heatmaps = keras.ops.convert_to_numpy(model(images))
        assert (heatmaps.std(axis=(1, 2)) > 0).all() == has_skips


def test_open_sizes_give_the_same_heatmaps():
    fixed, free = build_small(), build_small(input_size=(None, None))
    free.set_weights(fixed.get_weights())
    assert free.output_shape == (None, None, None, 5)
    images = random_images()
    np.testing.assert_array_equal(fixed(images), free(images))


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_float16", "float32"), ("mixed_bfloat16", "float32"), ("float64", "float64")],
)
def test_heatmaps_are_single_precision_or_better(policy, dtype):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_small()
    finally:
        keras.config.set_dtype_policy(before)
    for training in (False, True):
        heatmaps = model(random_images(), training=training)
        assert keras.backend.standardize_dtype(heatmaps.dtype) == dtype
        assert np.isfinite(np.asarray(heatmaps)).all()
    half = policy.removeprefix("mixed_")
    assert model.get_layer("stem_conv").compute_dtype == half
    assert model.get_layer("stem_conv").variable_dtype == dtype


def test_half_precision_heatmaps_are_close_to_single():
    # Small maps of fresh networks would hide errors: take larger head weights.
    keras.utils.set_random_seed(0)
    single, half = build_small(), build_small(dtype="mixed_float16")
    rng = np.random.default_rng(0)
    head = single.get_layer("heatmaps")
    head.kernel.assign(rng.normal(size=head.kernel.shape))
    half.set_weights(single.get_weights())
    images = random_images()
    expected = np.asarray(single(images, training=True))
    found = np.asarray(half(images, training=True))
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_new_layers_start_small_and_the_backbone_as_he():
    model = build_pose_resnet(17, 18)
    for name in ("deconv1_conv", "deconv3_conv", "heatmaps"):
        np.testing.assert_allclose(model.get_layer(name).kernel.numpy().std(), 1e-3, rtol=0.05)
    np.testing.assert_array_equal(model.get_layer("heatmaps").bias.numpy(), 0)
    kernel = model.get_layer("stage4_block1_conv2").kernel.numpy()
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 512)), rtol=0.01)
    first, second = (model.get_layer(f"deconv{i}_conv").kernel.numpy() for i in (2, 3))
    assert np.abs(first - second).max() > 0


def test_batch_of_one_image_equals_its_place_in_a_batch():
    model = build_small()
    images = random_images(batch=3)
    together = np.asarray(model(images, training=False))
    for index in range(3):
        alone = np.asarray(model(images[index : index + 1], training=False))
        np.testing.assert_allclose(alone[0], together[index], atol=1e-6 * np.abs(together).max())


def test_saved_network_is_restored_whole(tmp_path):
    model = build_small(50)
    model(random_images(), training=True)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    images = random_images()
    np.testing.assert_array_equal(
        np.asarray(model(images, training=False)), np.asarray(restored(images, training=False))
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 51}, r"depth must be one of \[18, 34, 50, 101, 152\], got 51"),
        ({"input_size": (100, 64)}, r"multiples of 32 or None, got \(100, 64\)"),
        ({"input_size": (64, 0)}, r"multiples of 32 or None, got \(64, 0\)"),
        ({"num_joints": 0}, "num_joints must be at least 1, got 0"),
        ({"stride_in": "caffe"}, "stride_in must be '1x1' or '3x3', got 'caffe'"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_small(**arguments)


_RUN_AND_SAVE = """
import sys
import keras, numpy as np
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.models.pose_resnet import build_pose_resnet
assert "tensorflow" not in sys.modules or keras.backend.backend() == "tensorflow"
model = build_pose_resnet(5, 50, (64, 32), base_width=4, deconv_filters=8)
rng = np.random.default_rng(0)
def draw(shape):
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape)
    return rng.normal(0, 0.5 * np.prod(shape[:3]) ** -0.5, shape)
model.set_weights([draw(weight.shape) for weight in model.get_weights()])
images = np.random.default_rng(1).normal(size=(2, 64, 32, 3)).astype("float32")
run = lambda model, **kw: keras.ops.convert_to_numpy(model(images, **kw))
arrays = {"inference": run(model), "folded": run(fold_batch_norm(model))}
arrays["training"] = run(model, training=True)
bn = model.get_layer("stage3_block1_bn2")
arrays["mean"], arrays["variance"] = bn.get_weights()[2:]
np.savez(sys.argv[1], backend=keras.backend.backend(), **arrays)
"""


def _run_on(backend, path, project_dir):
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", _RUN_AND_SAVE, str(path)]
    subprocess.run(command, env=environment, cwd=project_dir, check=True, timeout=300)
    with np.load(path) as data:
        return dict(data)


def test_jax_computes_the_same_network(tmp_path, project_dir):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs jax, which is not installed")
    found = _run_on("jax", tmp_path / "jax.npz", project_dir)
    expected = _run_on("tensorflow", tmp_path / "tensorflow.npz", project_dir)
    assert found.pop("backend") == "jax"
    assert expected.pop("backend") == "tensorflow"
    for name, value in expected.items():
        assert 0 < value.std() < 100
        np.testing.assert_allclose(found[name], value, atol=1e-4 * value.std(), rtol=0, err_msg=name)
