"""First weights of the single network from a keypoint network and from ImageNet's encoder."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from small_system import random_network, small_system

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.crops import Normalization
from tfpose.inference.keypoint_system import write_keypoint_system
from tfpose.inference.single_network_system import build_single_network_system
from tfpose.models.pose_unet import normalize_images
from tfpose.skeletons import COCO17, POSETRACK15
from tfpose.training.single_network_start import adapt_to_normalization, build_initializer

NETWORK = {
    "input_size": (64, 64),
    "width": 8,
    "encoder_depth": 18,
    "encoder_width": 8,
    "encoder_skip_connections": False,
    "person_features": "frame",
    "person_width": 4,
    "num_levels": 2,
}
# Maps 128 to 0, so that the zeros padded around an image mean the same in both networks.
GREY = Normalization((128 / 255,) * 3, (0.5, 0.4, 0.3), "bgr")


def single_network(**changes):
    return build_single_network_system(POSETRACK15, {**NETWORK, **changes}, {})


def write_run(directory, **changes):
    system = small_system(**changes)
    network = random_network(system)
    write_keypoint_system(directory, system)
    write_weights(network, directory / BEST_WEIGHTS_NAME)
    return system, network


def random_images(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)


def test_joint_maps_begin_as_the_heatmaps_of_the_keypoint_network(tmp_path):
    keypoints, network = write_run(tmp_path, normalization={"mean": GREY.mean, "std": GREY.std, "channel_order": "bgr"})
    system = single_network()
    model = system.build_network()
    build_initializer(system, keypoint_workdir=str(tmp_path))(model)
    images = random_images()
    expected = np.tanh(network(keypoints.normalization(images), training=False))
    found = model.find_joints(normalize_images(images))["joint_maps"]
    assert np.std(expected) > 0.1
    # Each of 26 layers rounds to 6e-8 of its numbers, and the random weights amplify that; a wrong channel order, mean
    # or joint gives differences of the order of the maps.
    assert np.sqrt(np.mean((found - expected) ** 2)) < 1e-5 * np.std(expected)


def test_other_weights_stay_and_joints_are_matched_by_name(tmp_path):
    write_run(tmp_path)
    system = build_single_network_system(COCO17, NETWORK, {})
    model = system.build_network()
    before = {variable.path: variable.numpy() for variable in model.variables}
    build_initializer(system, keypoint_workdir=str(tmp_path))(model)
    kernel = model.frame.get_layer("joint_maps").kernel.numpy()
    eye, wrist = (COCO17.joints.index(name) for name in ("left_eye", "left_wrist"))
    source = keras.ops.convert_to_numpy(random_network(small_system()).get_layer("heatmaps").kernel)
    np.testing.assert_array_equal(kernel[..., wrist], source[..., POSETRACK15.joints.index("left_wrist")])
    np.testing.assert_array_equal(kernel[..., eye], before["joint_maps/kernel"][..., eye])
    for variable in model.variables:
        if variable.path.startswith(("head_maps", "person_", "filter_maps")):
            np.testing.assert_array_equal(variable.numpy(), before[variable.path], err_msg=variable.path)


def test_the_stem_is_adapted_to_the_other_normalization():
    normalization = Normalization((0.2, 0.4, 0.6), (0.1, 0.2, 0.3), "bgr")
    frame = single_network().build_network().frame
    stem = keras.Model(frame.input, frame.get_layer("stem_bn").output)
    images = random_images()
    expected = stem(normalization(images), training=False).numpy()
    adapt_to_normalization(frame, normalization)
    found = stem(normalize_images(images), training=False).numpy()
    # The outermost cells see the zeros that are padded.
    np.testing.assert_allclose(found[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=1e-5)
    assert np.std(expected) > 0.1


def test_the_encoder_of_imagenet_gets_there(tmp_path):
    path = tmp_path / "resnet50.weights.h5"
    keras.utils.set_random_seed(0)
    keras.applications.ResNet50(weights=None, include_top=False).save_weights(path)
    system = single_network(encoder_depth=50, encoder_width=64, encoder_stride_in="1x1")
    model, fresh = system.build_network(), system.build_network()
    build_initializer(system, encoder=str(path))(model)
    assert model.frame.get_layer("deconv1_conv").kernel.shape == (4, 4, 8, 2048)
    source = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    source.load_weights(path)
    images = random_images()
    expected = source(keras.applications.resnet.preprocess_input(images.astype(np.float32)), training=False).numpy()
    encode = {
        name: keras.Model(network.frame.input, network.frame.get_layer("stage4_block2_relu3").output)
        for name, network in (("loaded", model), ("fresh", fresh))
    }
    found = {name: network(normalize_images(images), training=False).numpy() for name, network in encode.items()}
    # Zeros are padded to other images; that reaches every cell of so small ones, and little is left of it here.
    correlation = {name: np.corrcoef(values.ravel(), expected.ravel())[0, 1] for name, values in found.items()}
    assert correlation["loaded"] > 0.99
    assert correlation["fresh"] < 0.9


def test_what_does_not_fit_is_named(tmp_path):
    write_run(tmp_path)
    wrong = single_network(encoder_width=4)
    initialize = build_initializer(wrong, keypoint_workdir=str(tmp_path))
    with pytest.raises(ValueError, match=r"keypoint_system.json: the network must fit .* stem_conv/kernel"):
        initialize(wrong.build_network())
    other = single_network(encoder_stride_in="1x1")
    with pytest.raises(ValueError, match=r"--config.network.encoder_stride_in must be 3x3, .* got 1x1"):
        build_initializer(other, keypoint_workdir=str(tmp_path))(other.build_network())
    with pytest.raises(FileNotFoundError, match="expected the work folder of a training run"):
        build_initializer(wrong, keypoint_workdir=str(tmp_path / "nowhere"))(wrong.build_network())
    with pytest.raises(ValueError, match="at most one of encoder and keypoint_workdir"):
        build_initializer(wrong, "imagenet", "run")
    paper = single_network(encoder_depth=0)
    with pytest.raises(ValueError, match=r"initialize.encoder must be '' .* encoder_depth 0, got 'imagenet'"):
        build_initializer(paper, "imagenet")
    assert build_initializer(paper) is None
