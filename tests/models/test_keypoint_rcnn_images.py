"""Pictures as the network takes them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, random_images

from tfpose.models.keypoint_rcnn.images import (
    normalize_images,
    pad_images,
    prepare_images,
    resize_images,
    resized_size,
)
from tfpose.models.keypoint_rcnn.settings import RESNEXT101_32X8D


def test_sizes(golden_dir):
    with np.load(golden_dir / "keypoint_rcnn" / "operations.npz") as golden:
        sizes, expected = golden["resize_in_hw"], golden["resize_out_hw"]
    np.testing.assert_array_equal(resized_size(tf.constant(sizes), 800, 1333), expected)
    for size, result in zip(sizes, expected, strict=True):
        np.testing.assert_array_equal(resized_size(tf.constant(size), 800, 1333), result)


@pytest.mark.parametrize(
    "size, result", [((425, 640), (240, 361)), ((60, 90), (100, 151)), ((37, 200), (11, 90)), ((50, 70), (100, 140))]
)
def test_every_pixel_is_resized_as_by_pillow(size, result):
    pillow = pytest.importorskip("PIL.Image")
    images = random_images(2, size)
    resized = tf.function(resize_images)(tf.constant(images), tf.constant(result)).numpy()
    for image, values in zip(images, resized, strict=True):
        expected = pillow.fromarray(image).resize(result[::-1], pillow.Resampling.BILINEAR)
        np.testing.assert_array_equal(values, np.asarray(expected))


def test_channels_are_exchanged_before_the_mean_is_subtracted():
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    blue, green, red = normalize_images(red, RESNEXT101_32X8D).numpy()[0, 0]
    assert blue == pytest.approx(-103.53 / 57.375)
    assert green == pytest.approx(-116.28 / 57.12)
    assert red == pytest.approx((255 - 123.675) / 58.395)


def test_padding_is_zero_to_the_right_and_below():
    images = [np.ones((40, 70, 3), np.float32), np.ones((65, 30, 3), np.float32)]
    padded, sizes = pad_images([tf.constant(image) for image in images])
    assert padded.shape == (2, 96, 96, 3)
    np.testing.assert_array_equal(sizes, [[40, 70], [65, 30]])
    for image, (height, width) in zip(padded.numpy(), sizes.numpy(), strict=True):
        assert image[:height, :width].all()
        assert image.sum() == height * width * 3


def test_prepared_images_have_the_size_of_the_settings_in_a_graph_for_all_sizes():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def prepare(images):
        return prepare_images(images, SMALL)

    for size, expected in [((100, 120), (64, 77)), ((30, 90), (43, 128))]:
        prepared, sizes = prepare(random_images(2, size))
        np.testing.assert_array_equal(sizes, [expected] * 2)
        assert prepared.shape == (2, *(-(-side // 32) * 32 for side in expected), 3)
        assert not prepared[:, expected[0] :].numpy().any()
