"""The mark on the kernels that write a network's outputs."""

import keras
import numpy as np
import pytest
from keypoint_rcnn_cases import SMALL

from tfpose.models.keypoint_rcnn.heads import build_keypoint_head
from tfpose.models.output_layers import OutputConvolution, OutputTransposedConvolution, is_output_kernel
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.pose_unet import PoseUnetSettings, build_pose_unet


def build_network(name):
    if name == "pose_resnet":
        return build_pose_resnet(20, 18, (64, 64), base_width=4, deconv_filters=16)
    if name == "keypoint_head":
        return build_keypoint_head(SMALL)
    return build_pose_unet(20, PoseUnetSettings(input_size=(64, 64), width=16, num_levels=2))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("pose_resnet", {"heatmaps"}),
        ("pose_unet", {"head_maps", "joint_maps", "filter_maps"}),
        ("keypoint_head", {"score_lowres"}),
    ],
)
def test_the_kernels_of_output_layers_are_marked(name, layers):
    marked = {variable.path for variable in build_network(name).variables if is_output_kernel(variable)}
    assert marked == {f"{layer}/kernel" for layer in layers}


@pytest.mark.parametrize(
    "layer", [OutputConvolution(3, name="maps"), OutputTransposedConvolution(3, 4, 2, name="maps")]
)
def test_the_mark_survives_weights_files_and_serialization(layer, tmp_path):
    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    copy.load_weights(tmp_path / "model.weights.h5")
    for variable, copied in zip(model.variables, copy.variables, strict=True):
        assert is_output_kernel(variable) == is_output_kernel(copied) == (variable.name == "kernel")
        np.testing.assert_array_equal(variable.numpy(), copied.numpy())
