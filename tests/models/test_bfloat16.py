"""Networks in bfloat16 beside the same networks in float32."""

import keras
import numpy as np
import pytest
from random_weights import build_random

from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.pose_hrnet import build_pose_hrnet
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.pose_unet import build_pose_unet
from tfpose.models.pose_unet_settings import PoseUnetSettings
from tfpose.models.pose_vit import build_pose_vit
from tfpose.models.simplification import simplify_network
from tfpose.models.tinypose import build_tinypose

# bfloat16 keeps 8 bits, so each layer rounds its outputs by up to 1/512 of their size, and the roundings of successive
# layers add up like a random walk: over 50 layers to about 0.014. The largest difference of a heatmap was measured as
# 0.01 to 0.03 of the largest value, for these networks with three seeds each.
TOLERANCE = 0.06
NETWORKS = {
    "pose_resnet": lambda: build_pose_resnet(3, depth=18, input_size=(64, 64), base_width=8, deconv_filters=8),
    "pose_hrnet": lambda: build_pose_hrnet(3, width=8, input_size=(64, 64), modules=(1, 2, 1), blocks_per_branch=1),
    "pose_vit": lambda: build_pose_vit(3, width=32, depth=2, num_heads=2, input_size=(64, 48)),
    "tinypose": lambda: build_tinypose(3, input_size=(64, 64), modules=(1, 2, 1), units_per_branch=1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_heatmaps_are_near_those_of_float32(name):
    network = build_random(NETWORKS[name], lambda path: 0.2 * ("deconv" in path or "heatmaps" in path))
    exact, rounded = simplify_network(network), simplify_network(network, "bfloat16")
    images = np.random.default_rng(0).standard_normal((2, *network.input_shape[1:])).astype(np.float32)
    expected, found = (np.asarray(model(images)) for model in (exact, rounded))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max()


def test_inputs_and_outputs_stay_in_float32_and_weights_take_half_the_memory():
    exact = simplify_network(NETWORKS["pose_resnet"]())
    rounded = simplify_network(NETWORKS["pose_resnet"](), "bfloat16")
    assert (rounded.input.dtype, rounded.output.dtype) == ("float32", "float32")
    assert rounded.get_layer("heatmaps").compute_dtype == "float32"
    assert rounded.get_layer("stem_conv").dtype_policy.name == "bfloat16"
    assert [layer.name for layer in rounded.layers] == [layer.name for layer in exact.layers]
    others = [layer for layer in rounded.layers if layer.name != "heatmaps"]
    assert {variable.dtype for layer in others for variable in layer.variables} == {"bfloat16"}


def test_both_parts_of_the_single_network_multiply_their_maps_in_float32():
    network = build_pose_unet(3, PoseUnetSettings(input_size=(64, 64), width=8, num_levels=2))
    frame, person = (simplify_network(part, "bfloat16") for part in (network.frame, network.person))
    assert {tensor.dtype for tensor in keras.tree.flatten([frame.output, person.output, person.input])} == {"float32"}
    assert person.get_layer("person_maps").compute_dtype == "float32"
    assert frame.get_layer("person_level0_down1_shared_conv").compute_dtype == "bfloat16"


def test_a_normalization_that_cannot_be_merged_keeps_its_statistics_in_float32():
    images = keras.Input((8, 8, 3), name="images")
    normalized = FusedBatchNormalization(name="normalized")(keras.layers.ReLU(name="relu")(images))
    rounded = simplify_network(keras.Model(images, normalized), "bfloat16")
    layer = rounded.get_layer("normalized")
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    values = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(np.asarray(rounded(values)), values, rtol=2**-8)
