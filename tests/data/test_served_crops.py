"""Crops for evaluation: those of the exported function, in batches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tensorflow as tf
from record_writing import synthetic_image, write_dataset

from tfpose.crops import CropSettings, decode_reduction
from tfpose.data.person_crops import crop_matrices, cut_record_crops
from tfpose.data.picture_tensors import cut_crops_tensor
from tfpose.data.pictures import JPEG_OPTIONS
from tfpose.data.records import read_table
from tfpose.data.served_crops import crop_batches
from tfpose.skeletons import COCO17

CROP = CropSettings((32, 24), margin_pixels=5.0)


def read(directory, images):
    return read_table(write_dataset(directory, COCO17, images, "val"), "val")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """People in every image but one, some shown at less than half the size of the picture."""
    images = [synthetic_image(i, COCO17, size=(150 + 40 * i, 120), num_people=(2, 0, 3, 1)[i]) for i in range(4)]
    return read(tmp_path_factory.mktemp("data"), images)


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_batches_hold_the_crops_of_the_exported_function_in_order(table, batch_size):
    images, matrices = table.image_of_person, crop_matrices(CROP, table.people["box"])
    batches = [batch.numpy() for batch in crop_batches(table, images, matrices, CROP.crop_size, batch_size)]
    assert {len(batch) for batch in batches[:-1]} <= {batch_size} and len(batches[-1]) <= batch_size
    found = np.concatenate(batches)
    cut = tf.function(cut_crops_tensor, autograph=False)
    expected = [
        cut(tf.constant(table.read_image_bytes(image)), tf.constant(matrices[row : row + 1]), CROP.crop_size)[0]
        for row, image in enumerate(images)
    ]
    np.testing.assert_array_equal(found, np.stack(expected))
    by_opencv = cut_record_crops(table, images, matrices, CROP.crop_size)
    assert np.abs(found.astype(int) - by_opencv.astype(int)).max() <= 1
    assert found.std() > 10


def test_crops_are_cut_from_the_whole_image_where_the_crop_says_so(table):
    """As OpenCV's warp of the decoded image does, to a gray level; training cuts the same."""
    images, matrices = table.image_of_person, crop_matrices(CROP, table.people["box"])
    assert (np.asarray(decode_reduction(matrices)) > 1).any()
    size = CROP.crop_size
    found = np.concatenate([batch.numpy() for batch in crop_batches(table, images, matrices, size, 50, False)])
    for row, image in enumerate(images):
        picture = tf.io.decode_jpeg(table.read_image_bytes(image), **JPEG_OPTIONS).numpy()
        expected = cv2.warpAffine(picture, matrices[row], size[::-1]).astype(int)
        assert np.abs(found[row] - expected).max() <= 1
    in_training = cut_record_crops(table, images, matrices, size, reduces_images=False)
    assert np.abs(found.astype(int) - in_training).max() <= 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: image.update(image=image["image"][:300]), "cannot decode the picture"),
        (lambda image: image.update(image=b""), "cannot decode the picture"),
        (lambda image: image.update(width=119), "not of 119x120 pixels as its record says.*it is of 120x120 pixels"),
    ],
)
def test_a_picture_that_is_not_that_of_its_record_is_named(change, reason, tmp_path):
    images = [synthetic_image(i, COCO17, size=(120, 120)) for i in range(3)]
    change(images[1])
    table = read(tmp_path, images)
    matrices = crop_matrices(CROP, table.people["box"])
    with pytest.raises(ValueError, match=r"000001\.jpg \(in test-val.*" + reason):
        list(crop_batches(table, table.image_of_person, matrices, CROP.crop_size, 2))
