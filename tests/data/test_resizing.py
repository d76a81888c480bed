"""The pipeline's resizing against Pillow and against the network's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfpose.data.resizing import resize_picture
from tfpose.models.keypoint_rcnn.images import resize_images

SIZES = [((40, 60), (25, 31)), ((33, 47), (66, 94)), ((50, 30), (22, 13)), ((20, 30), (20, 45))]


def random_picture(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_pixels_are_those_of_pillow_and_of_inference(source, target):
    picture = random_picture(source)
    found = resize_picture(picture, target)
    assert found.shape == (*target, 3) and found.dtype == np.uint8
    pillow = np.asarray(Image.fromarray(picture).resize(target[::-1], Image.Resampling.BILINEAR))
    ours = resize_images(tf.constant(picture[None]), tf.constant(target))[0].numpy()
    np.testing.assert_array_equal(found, pillow)
    np.testing.assert_array_equal(found, ours)


def test_the_same_size_changes_nothing():
    picture = random_picture((12, 9))
    np.testing.assert_array_equal(resize_picture(picture, (12, 9)), picture)
