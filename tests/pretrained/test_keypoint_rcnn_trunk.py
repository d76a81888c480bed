"""ImageNet networks in the trunk of Keypoint R-CNN: those of Keras and those of Detectron."""

from __future__ import annotations

import pickle
import re

import keras
import numpy as np
import pytest
from keypoint_rcnn_cases import SMALL, small_network

from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
from tfpose.pretrained.keypoint_rcnn_trunk import load_trunk
from tfpose.pretrained.keypoint_rcnn_weights import detectron2_names_of

BRANCHES = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """Keras' ResNet-50 with weights and statistics of no special form, and the file with them."""
    network = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(None, None, 3))
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            ranges = ((0.2, 0.5), (-0.2, 0.2), (-0.5, 0.5), (0.5, 2.0))
            layer.set_weights([rng.uniform(low, high, size) for low, high in ranges])
        elif isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.weights.h5"
    network.save_weights(path)
    return network, path


def test_features_are_those_of_the_keras_network(keras_file):
    network, path = keras_file
    small_heads = {"pyramid_width": 8, "box_head_width": 8, "keypoint_head_widths": ()}
    model = build_keypoint_rcnn(KeypointRcnnSettings(**small_heads))
    load_trunk(model, path)
    inputs = np.random.default_rng(1).normal(0, 1, (1, 64, 96, 3)).astype(np.float32)
    expected = np.asarray(network(inputs))
    found = np.asarray(keras.Model(model.trunk.input, model.trunk.get_layer("res5_2_relu").output)(inputs))
    assert found.shape == (1, 2, 3, 2048)
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


def test_keras_weights_need_the_same_network(keras_file):
    with pytest.raises(ValueError, match="trunk must have depth 50 or 101"):
        load_trunk(small_network(), keras_file[1])


def caffe2_blobs(network):
    """The trunk's weights under Caffe2's names, with what an ImageNet file holds besides."""
    blobs = {"pred_w": np.zeros((1000, 8), np.float32), "pred_b": np.zeros(1000, np.float32)}
    for name, variable in detectron2_names_of(network).items():
        if not name.startswith("backbone.bottom_up.") or "running" in name:
            continue
        value = variable.numpy()
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        blobs[caffe2_name(name.removeprefix("backbone.bottom_up."))] = np.ascontiguousarray(value)
    return blobs


def caffe2_name(name):
    end = {"weight": "_w", "norm.weight": "_bn_s", "norm.bias": "_bn_b"}
    if name.startswith("stem.conv1."):
        rest = name.removeprefix("stem.conv1.")
        return "conv1_w" if rest == "weight" else f"res_conv1{end[rest]}"
    stage, block, layer, rest = re.fullmatch(r"(res\d)\.(\d+)\.(\w+?)\.(.*)", name).groups()
    return f"{stage}_{block}_{BRANCHES[layer]}{end[rest]}"


def test_blobs_of_detectron(tmp_path):
    source, target = small_network(seed=1), small_network(seed=2)
    for variable in source.variables:
        # Such files have no statistics.
        if variable.name in ("norm_mean", "norm_variance"):
            variable.assign(np.full(variable.shape, 0.0 if variable.name == "norm_mean" else 1 - 1e-5))
    heads = [variable.numpy() for variable in target.box_head.variables]
    path = tmp_path / "R-tiny.pkl"
    path.write_bytes(pickle.dumps(caffe2_blobs(source), protocol=2))
    load_trunk(target, path)
    for layer in ("stem_conv1", "res2_0_shortcut", "res5_0_conv3"):
        for ours, theirs in zip(
            target.trunk.get_layer(layer).weights, source.trunk.get_layer(layer).weights, strict=True
        ):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, err_msg=ours.path)
    for variable, value in zip(target.box_head.variables, heads, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_wrong_files_are_named(tmp_path):
    blobs = caffe2_blobs(small_network())
    cases = {
        "missing": {k: v for k, v in blobs.items() if k != "res3_0_branch2b_w"},
        "foreign": {"x_w": blobs["pred_w"]},
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r"missing: .*res3\.0\.conv2\.weight"):
        load_trunk(build_keypoint_rcnn(SMALL), tmp_path / "missing")
    with pytest.raises(ValueError, match="foreign: content must be an ImageNet network of Detectron"):
        load_trunk(build_keypoint_rcnn(SMALL), tmp_path / "foreign")
    with pytest.raises(FileNotFoundError, match=r"nothing.pkl"):
        load_trunk(build_keypoint_rcnn(SMALL), tmp_path / "nothing.pkl")
