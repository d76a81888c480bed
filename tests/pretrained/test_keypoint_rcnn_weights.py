"""Detectron2's names and shapes in our Keypoint R-CNN."""

from __future__ import annotations

import dataclasses
import gzip
import json

import keras
import numpy as np
import pytest
from keypoint_rcnn_cases import SETTINGS, SMALL, small_network

from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.pretrained.keypoint_rcnn_weights import detectron2_names_of, load_detectron2_state_dict


@pytest.fixture(scope="module")
def state_dicts(golden_dir):
    """[name, shape, kind] of each tensor by model."""
    return json.loads(gzip.decompress((golden_dir / "keypoint_rcnn" / "state_dicts.json.gz").read_bytes()))


def stored_shape(name, variable):
    """As in Detectron2."""
    shape = tuple(variable.shape)
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


@pytest.mark.parametrize("model", SETTINGS)
def test_names_and_shapes_are_those_of_the_model_zoo(state_dicts, model):
    network = build_keypoint_rcnn(SETTINGS[model])
    found = {name: stored_shape(name, variable) for name, variable in detectron2_names_of(network).items()}
    assert found == {name: tuple(shape) for name, shape, _ in state_dicts[model]}
    trained = {name for name, variable in detectron2_names_of(network).items() if variable.trainable}
    assert trained == {name for name, _, kind in state_dicts[model] if kind == "trainable"}


@pytest.fixture
def arrays():
    """Random ones for the small network."""
    rng = np.random.default_rng(0)
    names = detectron2_names_of(build_keypoint_rcnn(SMALL))
    return {name: rng.normal(size=stored_shape(name, variable)).astype(np.float32) for name, variable in names.items()}


def test_layouts(arrays):
    network = small_network()
    load_detectron2_state_dict(network, arrays)
    kernel = keras.ops.convert_to_numpy(network.trunk.get_layer("res3_0_conv2").kernel)
    stored = arrays["backbone.bottom_up.res3.0.conv2.weight"]
    assert kernel[2, 1, 3, 5] == stored[5, 3, 2, 1]
    transposed = keras.ops.convert_to_numpy(network.keypoint_head.get_layer("score_lowres").kernel)
    assert transposed[3, 0, 4, 7] == arrays["roi_heads.keypoint_head.score_lowres.weight"][7, 4, 3, 0]
    # Channel 2 of cell (row 4, column 6) of 8 channels.
    dense = keras.ops.convert_to_numpy(network.box_head.get_layer("fc1").kernel)
    assert dense[(4 * 7 + 6) * 8 + 2, 9] == arrays["roi_heads.box_head.fc1.weight"][9, (2 * 7 + 4) * 7 + 6]
    variance = keras.ops.convert_to_numpy(network.trunk.get_layer("stem_conv1").norm_variance)
    np.testing.assert_array_equal(variance, arrays["backbone.bottom_up.stem.conv1.norm.running_var"])


def test_constants_and_absent_statistics_are_tolerated(arrays):
    network = small_network()
    for name in [name for name in arrays if "running_" in name]:
        del arrays[name]
    arrays |= {"pixel_mean": np.zeros(3), "proposal_generator.anchor_generator.cell_anchors.4": np.zeros((3, 4))}
    load_detectron2_state_dict(network, arrays)
    layer = network.trunk.get_layer("res4_0_conv3")
    assert not keras.ops.convert_to_numpy(layer.norm_mean).any()
    assert (keras.ops.convert_to_numpy(layer.norm_variance) == 1).all()


def test_a_network_for_boxes_ignores_the_keypoint_head(arrays):
    network = build_keypoint_rcnn(SMALL.without_keypoints())
    load_detectron2_state_dict(network, arrays)
    bias = keras.ops.convert_to_numpy(network.box_head.get_layer("bbox_pred").bias)
    np.testing.assert_array_equal(bias, arrays["roi_heads.box_predictor.bbox_pred.bias"])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.pop("backbone.fpn_lateral3.bias"), r"missing: backbone\.fpn_lateral3\.bias"),
        (lambda a: a.update({"backbone.extra": np.zeros(1)}), r"not in the model: backbone\.extra"),
        (
            lambda a: a.update({"roi_heads.box_predictor.cls_score.weight": np.zeros((81, 16))}),
            r"roi_heads\.box_predictor\.cls_score\.weight must have shape \(2, 16\), got \(81, 16\)",
        ),
        (
            lambda a: a.update({"roi_heads.box_head.fc1.weight": np.zeros((16, 391))}),
            r"roi_heads\.box_head\.fc1\.weight must have shape \(16, 392\), got \(16, 391\)",
        ),
        (
            lambda a: a.update({"backbone.bottom_up.res2.0.conv2.weight": np.zeros((8, 8, 3, 3))}),
            r"backbone\.bottom_up\.res2\.0\.conv2\.weight must have shape \(8, 2, 3, 3\), got \(8, 8, 3, 3\)",
        ),
        (
            lambda a: a.update({"backbone.fpn_output2.bias": np.zeros(8, np.int8)}),
            r"backbone\.fpn_output2\.bias must hold floating-point numbers, got int8",
        ),
        (
            lambda a: a["backbone.fpn_output2.bias"].fill(np.nan),
            r"backbone\.fpn_output2\.bias must hold finite numbers",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named_and_change_nothing(arrays, change, message):
    network = small_network()
    before = network.get_weights()
    change(arrays)
    with pytest.raises(ValueError, match=message):
        load_detectron2_state_dict(network, arrays)
    for values, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(values, expected)


def test_batch_normalization_has_no_counterpart(arrays):
    network = build_keypoint_rcnn(dataclasses.replace(SMALL, normalization="batch"))
    with pytest.raises(ValueError, match=r"normalization must be 'frozen' .* got 'batch'"):
        load_detectron2_state_dict(network, arrays)
