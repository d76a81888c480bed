"""Networks without channel shuffles compute what the networks with shuffles compute."""

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import build_random

from tfpose.models.channel_order import drop_shuffles
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.simplification import simplify_network
from tfpose.models.tinypose import InterleaveChannels, SplitChannels, build_tinypose

SMALL = {"input_size": (64, 64), "width": 8, "modules": (1, 1, 1), "units_per_branch": 2}


def random_tinypose(precision="float32"):
    return build_random(lambda: build_tinypose(5, **SMALL), lambda path: 0.3, precision=precision)


def shuffles_of(model):
    return [layer.name for layer in model.layers if isinstance(layer, SplitChannels | InterleaveChannels)]


def assert_same_outputs(found, expected, size=(64, 64, 3)):
    images = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    outputs, others = (np.asarray(model(images, training=False)) for model in (found, expected))
    assert others.std() > 0
    np.testing.assert_allclose(outputs, others, atol=1e-4 * others.std())


def test_a_network_without_shuffles_gives_the_same_heatmaps():
    network = random_tinypose()
    found = simplify_network(network)
    assert shuffles_of(network) and not shuffles_of(found)
    # The channels of all branches can be kept in the order in which they lie.
    assert not [layer.name for layer in found.layers if "_order" in layer.name]
    assert_same_outputs(found, network)


def test_channels_that_are_kept_lie_together():
    network = build_random(lambda: build_tinypose(5, 40, (64, 64), (1, 2, 1)), lambda path: 0.3)
    joined = {
        layer.name: len(layer.input)
        for layer in simplify_network(network).layers
        if isinstance(layer, layers.Concatenate) and "branch0" in layer.name
    }
    # In the order of the original up to six runs of channels are joined.
    assert len(joined) == 8 and set(joined) <= set(shuffles_of(network)) and max(joined.values()) <= 5


def test_the_heatmaps_change_if_a_kernel_is_not_permuted():
    network = random_tinypose()
    found = simplify_network(network)
    original = network.get_layer("stage1_module0_branch0_unit1_pointwise1_conv")
    permuted = found.get_layer(original.name)
    half = permuted.kernel.shape[2] // 2
    kernel = permuted.kernel.numpy()
    permuted.kernel.assign(np.concatenate([kernel[:, :, half:], kernel[:, :, :half]], axis=2))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_outputs(found, network)


def test_mixed_precision_becomes_single():
    network = random_tinypose("mixed_float16")
    found = simplify_network(network)
    assert found.output.dtype == "float32" and not shuffles_of(found)
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(network(images, training=False))
    np.testing.assert_allclose(np.asarray(found(images)), expected, atol=0.05 * expected.std())


def test_layers_that_need_the_original_order_get_it():
    """A sum of tensors in different orders, half of a shuffled tensor alone, and an output that is shuffled."""
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(8, 1, name="conv")(images)
    once = InterleaveChannels(name="shuffle1")(SplitChannels(name="split1")(x))
    twice = InterleaveChannels(name="shuffle2")(SplitChannels(name="split2")(once))
    total = layers.Add(name="sum")([twice, once, layers.Conv2D(8, 1, name="other")(images)])
    first, second = SplitChannels(name="split3")(total)
    depthwise = layers.DepthwiseConv2D(3, name="depthwise", padding="same")(first)
    grouped = layers.Conv2D(4, 1, groups=2, name="grouped")(second)
    network = keras.Model(
        images, InterleaveChannels(name="shuffle3")([depthwise, layers.Softmax(name="soft")(grouped)])
    )
    found = drop_shuffles(network)
    assert not shuffles_of(found)
    assert_same_outputs(found, network, (8, 8, 3))


def test_a_network_that_has_no_shuffles_stays():
    network = build_pose_resnet(5, 18, (64, 64), base_width=8, deconv_filters=8)
    assert drop_shuffles(network) is network
