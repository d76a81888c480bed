"""Keras' own ImageNet networks in our backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpose.crops import normalize_crops
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.imagenet import load_imagenet_encoder

FEATURES = "stage4_block2_relu3"


@pytest.fixture(scope="module")
def keras_network() -> keras.Model:
    """Keras' ResNet-50 with weights and statistics of no special form."""
    network = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(None, None, 3))
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            # Small on the residual branch, so that sums of many blocks stay of order 1.
            gain = 0.3 if layer.name.endswith("_3_bn") else 1.0
            layer.set_weights(
                [
                    gain * rng.uniform(0.5, 1.5, size),
                    rng.normal(0, 0.2, size),
                    rng.normal(0, 0.5, size),
                    rng.uniform(0.5, 2.0, size),
                ]
            )
        elif isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    # Pixels are of order 100.
    stem = network.get_layer("conv1_conv").kernel
    stem.assign(stem.numpy() / 64)
    return network


@pytest.fixture(scope="module")
def weights_path(keras_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.weights.h5"
    keras_network.save_weights(path)
    return path


def build_network(stride_in="1x1", depth=50, **kwargs):
    return build_unfilled(lambda: build_pose_resnet(2, depth, (None, None), stride_in=stride_in, **kwargs))


def encoder_of(model, layer=FEATURES):
    return keras.Model(model.input, model.get_layer(layer).output)


def random_pixels():
    return np.random.default_rng(1).integers(0, 256, (1, 96, 64, 3)).astype("float32")


def test_features_are_those_of_the_keras_network(keras_network, weights_path):
    model = build_network()
    load_imagenet_encoder(model, weights_path, input_normalization="caffe")
    inputs = keras.applications.resnet.preprocess_input(random_pixels())
    expected = np.asarray(keras_network(inputs))
    found = np.asarray(encoder_of(model)(inputs))
    assert found.shape == (1, 3, 2, 2048)
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


def test_normalized_rgb_gives_the_same_features_but_at_the_border(keras_network, weights_path):
    model = build_network()
    load_imagenet_encoder(model, weights_path)
    pixels = random_pixels()
    stem = keras.Model(keras_network.input, keras_network.get_layer("conv1_conv").output)
    stem_bn = keras.Model(keras_network.input, keras_network.get_layer("conv1_bn").output)
    inputs = keras.applications.resnet.preprocess_input(pixels.copy())
    expected = np.asarray(stem_bn(inputs))
    found = np.asarray(encoder_of(model, "stem_bn")(normalize_crops(pixels)))
    difference = np.abs(found - expected)
    # A stem cell sees pixels 2i - 3 .. 2i + 3: the outer two cells see padding.
    assert difference[:, 2:-2, 2:-2].max() < 1e-4 * expected.std()
    # There the padding differs by less than half a gray level per channel.
    bound = 0.5 * np.abs(stem.layers[-1].kernel.numpy()).sum((0, 1, 2))
    gamma, _, _, variance = keras_network.get_layer("conv1_bn").get_weights()
    assert (difference.max((0, 1, 2)) <= bound * gamma / np.sqrt(variance)).all()
    assert difference.max() > 0


def test_weights_with_the_classifier_are_read_too(tmp_path, keras_network):
    network = build_unfilled(lambda: keras.applications.ResNet50(weights=None))
    network.set_weights(keras_network.get_weights() + network.get_weights()[-2:])
    network.save_weights(tmp_path / "top.weights.h5")
    model = build_network()
    load_imagenet_encoder(model, tmp_path / "top.weights.h5", "caffe")
    np.testing.assert_allclose(
        model.get_layer("stage1_block0_conv1").kernel,
        keras_network.get_layer("conv2_block1_1_conv").kernel,
    )


def test_decoder_and_head_keep_their_weights(weights_path):
    model = build_network()
    names = ("deconv1_conv", "deconv3_bn", "heatmaps")
    for name in names:
        layer = model.get_layer(name)
        layer.set_weights([np.full(weights.shape, 3.0) for weights in layer.get_weights()])
    before = [model.get_layer(name).get_weights() for name in names]
    load_imagenet_encoder(model, weights_path)
    for name, weights in zip(names, before, strict=True):
        for old, new in zip(weights, model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.weights.h5: no such file"):
        load_imagenet_encoder(build_network(), tmp_path / "absent.weights.h5")


def test_file_of_another_kind_says_what_was_tried(tmp_path):
    path = tmp_path / "text.weights.h5"
    path.write_text("not weights")
    with pytest.raises(ValueError, match=r"without the classifier: .*; with it: ") as error:
        load_imagenet_encoder(build_network(), path)
    assert "text.weights.h5" in str(error.value)
    assert "\n" not in str(error.value)


def test_failed_download_says_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def fail(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.invalid\nmore")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    with pytest.raises(FileNotFoundError, match=r"download failed .URL fetch failure") as error:
        load_imagenet_encoder(build_network())
    assert "\n" not in str(error.value)


def test_networks_that_do_not_fit_are_errors(weights_path):
    with pytest.raises(ValueError, match="stride_in of model .* must be '1x1'"):
        load_imagenet_encoder(build_network("3x3"), weights_path)
    with pytest.raises(ValueError, match=r"must be a build_pose_resnet of depth 50, .* got one with 20 backbone"):
        load_imagenet_encoder(build_network(depth=18), weights_path)
    with pytest.raises(ValueError, match=r"and base_width 64, got .* and base_width 8"):
        load_imagenet_encoder(build_network(base_width=8), weights_path)
    other = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3)], name="other")
    with pytest.raises(
        ValueError, match=r"model other must be a build_pose_resnet .* got one with 0 backbone"
    ) as error:
        load_imagenet_encoder(other, weights_path)
    assert "\n" not in str(error.value)


def test_depth_is_that_of_the_model(tmp_path):
    for depth in (101, 152):
        with pytest.raises(FileNotFoundError, match=f"ImageNet weights of ResNet-{depth}"):
            load_imagenet_encoder(build_network(depth=depth), tmp_path / "absent.weights.h5")
