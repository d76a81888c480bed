"""The single heatmap network: size, first weights, the shared first convolution, the head mask."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.pose_unet import (
    PoseUnetSettings,
    build_frame_network,
    build_person_network,
    build_pose_unet,
    mask_heads,
    normalize_images,
)

SMALL = PoseUnetSettings(input_size=(32, 64), width=6, num_levels=3)
NUM_JOINTS = 4
HEADS = np.array([[[3.0, 2.0], [11.0, 5.5]], [[0.0, 7.0], [15.0, 0.0]]], np.float32)


def small(**changes):
    return build_pose_unet(NUM_JOINTS, dataclasses.replace(SMALL, **changes))


def random_images(batch=2, size=(32, 64), seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *size, 3)).astype(np.float32)


def convolutions(network, prefix=""):
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3) and layer.name.startswith(prefix)
    ]


def test_paper_unet_has_24_convolutions_of_three_and_a_half_million_weights():
    frame = build_frame_network(15)
    unet = convolutions(frame, "frame_")
    assert len(unet) == 24
    assert sum(layer.count_params() for layer in unet) == 24 * (9 * 128 * 128 + 128) == 3_542_016
    # The second U-Net has 128 + 15 + 1 channels to begin with; its first convolution is in two parts.
    second = convolutions(build_person_network(15), "person_") + convolutions(frame, "person_")
    assert len(second) == 25
    assert sum(layer.count_params() for layer in second) == 3_542_016 + 9 * 16 * 128
    assert len(convolutions(frame, "stem_")) == 4


def test_paper_feature_sizes():
    frame = build_frame_network(15)
    sizes = [frame.get_layer(f"frame_level{level}_down2_relu").output.shape[1:] for level in range(6)]
    assert sizes == [(128, 224, 128), (64, 112, 128), (32, 56, 128), (16, 28, 128), (8, 14, 128), (4, 7, 128)]
    assert frame.output["joint_maps"].shape == (None, 128, 224, 15)
    assert frame.output["head_maps"].shape == (None, 128, 224, 1)
    assert build_person_network(15).output["person_maps"].shape == (None, 128, 224, 15)


def test_decay_of_the_fresh_paper_network():
    """54 kernels' 0.00025 * fan-in * outputs * 2 / fan-in, that is 0.064 for each of 128 outputs."""
    keras.utils.set_random_seed(0)
    network = build_pose_unet(15)
    kernels = [variable for variable in network.trainable_variables if variable.path.endswith("kernel")]
    biases = [variable for variable in network.trainable_variables if variable.path.endswith("bias")]
    num_outputs = sum(kernel.shape[-1] for kernel in kernels)
    # The two parts of the divided kernel share one sum.
    expected = 0.00025 * 2 * (num_outputs - 128)
    assert len(network.losses) == len(kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=0.02)
    assert expected == pytest.approx(3.3, abs=0.1)
    assert all(not np.any(bias.numpy()) for bias in biases)
    for kernel in kernels:
        if "person_level0_down1" not in kernel.path and kernel.shape[-1] == 128:
            fan_in = np.prod(kernel.shape[:-1])
            assert np.std(kernel.numpy()) == pytest.approx(np.sqrt(2 / fan_in), rel=0.05), kernel.path
            # Truncated at two standard deviations of the Gaussian before the cut, which is 1 / 0.88 as wide.
            assert np.abs(kernel.numpy()).max() <= 2 * np.sqrt(2 / fan_in) / 0.87962566 + 1e-6


def test_both_parts_of_the_divided_kernel_are_drawn_as_one():
    keras.utils.set_random_seed(0)
    settings = PoseUnetSettings(width=64, stem_widths=(8, 64), num_levels=2, input_size=(64, 64))
    network = build_pose_unet(15, settings)
    shared = network.frame.get_layer("person_level0_down1_shared_conv").kernel.numpy()
    own = network.person.get_layer("person_level0_down1_head_conv").kernel.numpy()
    expected = np.sqrt(2 / (9 * (64 + 15 + 1)))
    assert shared.shape == (3, 3, 79, 64) and own.shape == (3, 3, 1, 64)
    assert shared.std() == pytest.approx(expected, rel=0.02)
    assert own.std() == pytest.approx(expected, rel=0.1)


def test_heatmap_layers_may_start_narrower():
    network = small(heatmap_init_stddev=1e-4)
    for part, name in (("frame", "head_maps"), ("frame", "joint_maps"), ("person", "filter_maps")):
        kernel = getattr(network, part).get_layer(name).kernel.numpy()
        assert 0 < np.abs(kernel).max() <= 2e-4


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize(("person_features", "person_stride"), [("stem", 1), ("frame", 1), ("stem", 2), ("frame", 2)])
def test_shared_first_convolution_gives_the_numbers_of_the_plain_form(normalization, person_features, person_stride):
    """The plain form concatenates and convolves, with the two kernels side by side as one."""
    keras.utils.set_random_seed(1)
    changes = {"normalization": normalization, "person_features": person_features, "person_stride": person_stride}
    network, plain = (small(**changes, share_first_convolution=share) for share in (True, False))
    for variable in network.variables:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(keras.random.normal(variable.shape, stddev=0.3))
    shared = network.frame.get_layer("person_level0_down1_shared_conv")
    own = network.person.get_layer("person_level0_down1_head_conv")
    values = {variable.path: variable.numpy() for variable in network.variables}
    values["person_level0_down1_conv/kernel"] = np.concatenate([shared.kernel.numpy(), own.kernel.numpy()], axis=2)
    if normalization == "none":
        values["person_level0_down1_conv/bias"] = shared.bias.numpy()
    for variable in plain.variables:
        variable.assign(values[variable.path])
    images = random_images()
    for training in (False, True):
        expected = plain(images, HEADS, training=training)
        maps = network(images, HEADS, training=training)
        for name, values in expected.items():
            np.testing.assert_allclose(maps[name], values, atol=1e-5, err_msg=name)
        assert np.std(expected["person_maps"]) > 1e-2


def test_maps_of_one_person_do_not_depend_on_who_else_is_asked_for():
    network = small()
    images = random_images()
    together = network(images, HEADS)["person_maps"]
    for person in range(2):
        alone = network(images, HEADS[:, person : person + 1])["person_maps"]
        np.testing.assert_allclose(alone[:, 0], together[:, person], atol=1e-6)
    assert np.abs(together[:, 0] - together[:, 1]).max() > 1e-3


def test_calls_of_the_two_parts_give_the_maps_of_the_whole():
    network = small()
    images = random_images()
    whole = network(images, HEADS)
    maps = network.find_joints(images)
    masked = mask_heads(maps["head_maps"], HEADS[:, 0])
    joints = network.filter_joints(maps["person_features"], masked, maps["joint_maps"])
    np.testing.assert_allclose(joints, whole["person_maps"][:, 0], atol=1e-6)
    product = whole["filter_maps"] * whole["joint_maps"][:, None]
    np.testing.assert_allclose(whole["person_maps"], product, atol=1e-7)


def test_head_mask_by_hand():
    maps = np.full((3, 8, 12, 1), 0.5, np.float32)
    maps[0, 2, 3] = -0.25
    centers = np.array([[3.0, 2.0], [7.5, 6.0], [np.nan, 1.0]], np.float32)
    masked = mask_heads(maps, centers, sigma_cells=2.0).numpy()
    assert masked[0, 2, 3, 0] == -0.25
    assert masked[0, 2, 5, 0] == pytest.approx(0.5 * np.exp(-0.5))
    assert masked[0, 4, 3, 0] == pytest.approx(0.5 * np.exp(-0.5))
    assert masked[1, 6, 7, 0] == masked[1, 6, 8, 0] == pytest.approx(0.5 * np.exp(-0.25 / 8))
    assert not masked[2].any()


def test_gradient_reaches_the_head_map_through_the_mask():
    network = small()
    maps = network.find_joints(random_images())
    head_maps = tf.Variable(maps["head_maps"])
    with tf.GradientTape() as tape:
        masked = mask_heads(head_maps, HEADS[:, 0])
        joints = network.filter_joints(maps["person_features"], masked, maps["joint_maps"])
        loss = tf.reduce_sum(joints**2)
    gradient = tape.gradient(loss, head_maps).numpy()
    assert np.abs(gradient[0, 2, 3]) > 0
    assert np.isfinite(gradient).all()


def test_a_missing_person_gives_finite_maps_and_gradients():
    network = small()
    heads = HEADS.copy()
    heads[1, 1] = np.nan
    with tf.GradientTape() as tape:
        maps = network(random_images(), heads, training=True)
        loss = tf.reduce_sum(maps["person_maps"] ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    assert all(gradient is None or np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(maps["person_maps"]).all()


def test_intensities_by_hand():
    images = np.zeros((2, 1, 3, 3), np.uint8)
    images[:, 0, 1], images[:, 0, 2] = 128, 192
    np.testing.assert_array_equal(normalize_images(images)[0, 0, :, 0], [-1, 0, 0.5])
    changed = normalize_images(images, np.array([0.25, 0]), np.array([0.5, 1.25]))
    np.testing.assert_allclose(changed[0, 0, :, 0], [-0.375, 0.125, 0.375])
    np.testing.assert_allclose(changed[1, 0, :, 0], [-1.25, 0, 0.625])


def test_every_variable_has_a_path_of_its_own():
    first, second = small(normalization="batch"), small(normalization="batch")
    paths = [variable.path for variable in first.variables]
    assert len(set(paths)) == len(paths)
    assert paths == [variable.path for variable in second.variables]


def test_weights_of_the_whole_are_read_back(tmp_path):
    network, other = small(), small()
    network.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    images = random_images()
    np.testing.assert_array_equal(network(images, HEADS)["person_maps"], other(images, HEADS)["person_maps"])


def test_open_sizes_give_the_same_maps():
    fixed, free = small(), small(input_size=(None, None))
    free.set_weights(fixed.get_weights())
    images = random_images()
    np.testing.assert_allclose(free(images, HEADS)["person_maps"], fixed(images, HEADS)["person_maps"], atol=1e-6)


def test_a_residual_network_in_place_of_the_first_unet():
    settings = dataclasses.replace(
        SMALL,
        encoder_depth=18,
        encoder_width=4,
        person_features="frame",
        width=6,
        normalization="batch",
        synchronize_batch_norm=True,
    )
    network = build_pose_unet(NUM_JOINTS, settings)
    names = {layer.name for layer in network.frame.layers}
    assert {"stem_conv", "stage4_block1_conv2", "deconv3_conv", "skip3_conv", "joint_maps"} <= names
    assert not any(name.startswith(("frame_", "stem_stage")) for name in names)
    assert network.frame.get_layer("stage1_block0_conv1").filters == 4
    # Six features and the joint maps.
    assert network.frame.get_layer("person_level0_down1_shared_conv").kernel.shape[2] == 6 + NUM_JOINTS
    maps = network(random_images(), HEADS)
    assert maps["person_maps"].shape == (2, 2, 8, 16, NUM_JOINTS)
    norms = [layer for layer in network.frame.layers if isinstance(layer, FusedBatchNormalization)]
    assert len(norms) > 20 and all(norm.synchronized for norm in norms)


def test_features_of_the_first_network_reach_the_second_where_asked():
    for person_features, is_seen in (("stem", False), ("frame", True)):
        network = small(person_features=person_features)
        for name in ("head_maps", "joint_maps"):
            layer = network.frame.get_layer(name)
            layer.kernel.assign(keras.ops.zeros_like(layer.kernel))
        before = network.find_joints(random_images())["person_features"]
        kernel = network.frame.get_layer("frame_level0_up2_conv").kernel
        kernel.assign(2.0 * kernel)
        after = network.find_joints(random_images())["person_features"]
        assert np.allclose(before, after) != is_seen


def test_strided_stem_has_maps_of_the_same_size():
    network = small(stem_downsampling="stride", stem_widths=(4, 8), person_width=5, convolutions_per_block=1)
    assert network(random_images(), HEADS)["person_maps"].shape == (2, 2, 8, 16, NUM_JOINTS)
    assert network.frame.get_layer("person_level0_down1_shared_conv").filters == 5


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_maps_are_single_precision_under_mixed_policies(precision):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = small()
    finally:
        keras.config.set_dtype_policy(previous)
    maps = network(random_images(), HEADS)
    assert {keras.backend.standardize_dtype(values.dtype) for values in maps.values()} == {"float32"}
    exact = small()
    exact.set_weights(network.get_weights())
    expected = exact(random_images(), HEADS)["person_maps"]
    # Each of about 20 layers rounds by up to half the spacing of its numbers at 1, 2^-10 or 2^-7; errors add up as in a
    # random walk.
    spacing = 2.0**-10 if precision == "mixed_float16" else 2.0**-7
    error = np.sqrt(np.mean((maps["person_maps"] - expected) ** 2))
    assert error < 20**0.5 * spacing * np.std(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": (32, 60)}, r"multiples of 16 for 3 levels, or None, got \(32, 60\)"),
        ({"normalization": "layer"}, "normalization must be one of .* got 'layer'"),
        ({"stem_downsampling": "none"}, "stem_downsampling must be one of .* got 'none'"),
        ({"person_features": "joints"}, "person_features must be one of .* got 'joints'"),
        ({"encoder_depth": 18}, r"person_features must be 'frame' with an encoder_depth .* got 'stem'"),
        ({"encoder_depth": 19}, r"encoder_depth must be one of \(0, 18, .* got 19"),
        (
            {"encoder_depth": 18, "person_features": "frame", "input_size": (48, 64)},
            r"multiples of 32 for 3 levels, or None, got \(48, 64\)",
        ),
        ({"person_stride": 3}, r"person_stride must be one of \(1, 2\), got 3"),
        ({"person_stride": 2, "num_levels": 1}, "num_levels must be at least 2 with person_stride 2, got 1"),
        ({"num_levels": 0}, "num_levels must be at least 1, got 0"),
        ({"person_width": 0}, "person_width must be at least 1, got 0"),
        ({"stem_widths": (4, 4, 4)}, "stem_widths must have 2 entries"),
        ({"l2": -1.0}, "l2 not below"),
    ],
)
def test_arguments_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_a_network_without_joints_is_refused():
    with pytest.raises(ValueError, match="num_joints must be at least 1, got 0"):
        build_pose_unet(0, SMALL)


ON_JAX = """
import numpy as np
from tfpose.models.pose_unet import PoseUnetSettings, build_pose_unet
network = build_pose_unet(4, PoseUnetSettings(input_size=(32, 64), width=6, num_levels=3))
maps = network(np.zeros((2, 32, 64, 3), "float32"), np.zeros((2, 2, 2), "float32"))
print({name: tuple(values.shape) for name, values in sorted(maps.items())})
"""


def test_the_network_runs_on_jax():
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run(
        [sys.executable, "-c", ON_JAX], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "'person_maps': (2, 2, 8, 16, 4)" in result.stdout


def test_levels_can_grow_in_width():
    grown = PoseUnetSettings(input_size=(64, 96), width=4, person_width=2, num_levels=3, width_growth=2.0)
    network = build_pose_unet(3, grown)
    for part, width in (("frame", 4), ("person", 2)):
        model = getattr(network, part)
        for level in range(3):
            for name in ("down2", "up1", "up2"):
                layer = model.get_layer(f"{part}_level{level}_{name}_conv")
                assert layer.filters == width * 2**level
        assert model.get_layer(f"{part}_level0_adapt_conv").kernel.shape == (1, 1, 2 * width, width)
    maps = network(np.zeros((1, 64, 96, 3), np.float32), np.ones((1, 2, 2), np.float32))
    assert maps["person_maps"].shape == (1, 2, 16, 24, 3)
    alike = {layer.name for layer in build_pose_unet(3, dataclasses.replace(grown, width_growth=1.0)).frame.layers}
    assert not any("adapt" in name for name in alike)
    with pytest.raises(ValueError, match="width_growth must be at least 1, got 0.5"):
        dataclasses.replace(grown, width_growth=0.5)


def test_the_second_network_can_work_at_half_the_resolution():
    network = small(person_stride=2, person_features="frame", width=6, person_width=5)
    shared = network.frame.get_layer("person_level0_down1_shared_conv")
    # Six features of the first U-Net and the joint maps.
    assert shared.kernel.shape == (3, 3, 6 + NUM_JOINTS, 5)
    assert network.frame.output["person_features"].shape == (None, 4, 8, 5)
    levels = {layer.name[:13] for layer in convolutions(network.person, "person_level")}
    assert levels == {"person_level0", "person_level1"}
    maps = network(random_images(), HEADS)
    assert maps["filter_maps"].shape == maps["person_maps"].shape == (2, 2, 8, 16, NUM_JOINTS)
    coarse = keras.Model(network.person.input, network.person.get_layer("filter_maps").output)
    found = network.find_joints(random_images())
    masked = mask_heads(found["head_maps"], HEADS[:, 0])
    filters = coarse([found["person_features"], masked, found["joint_maps"]]).numpy()
    assert filters.shape == (2, 4, 8, NUM_JOINTS)
    # Cell (2, 2) lies a quarter of a coarse cell from the center of (1, 1), towards (0, 0).
    fine = maps["filter_maps"].numpy()[:, 0]
    expected = 0.75**2 * filters[:, 1, 1] + 0.1875 * (filters[:, 0, 1] + filters[:, 1, 0]) + 0.0625 * filters[:, 0, 0]
    np.testing.assert_allclose(fine[:, 2, 2], expected, atol=1e-6)
