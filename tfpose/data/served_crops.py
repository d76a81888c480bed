"""Crops of given people for evaluation, cut by the very operations that SavedModels cut with.

OpenCV's crops, which training sees, differ from these by a gray level at most. That moves a joint only where two peaks
of its map are as good as equal, but then by far; with the same pixels evaluation tells what a SavedModel will find.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfpose.data.picture_tensors import cut_crops_tensor, picture_size
from tfpose.data.pictures import broken_picture
from tfpose.data.records import RecordTable
from tfpose.data.step_batches import dataset_of_arrays, iterate_dataset
from tfpose.messages import describe_error
from tfpose.processes import num_cores


def crop_batches(
    table: RecordTable,
    images: np.ndarray,
    crop_from_image: np.ndarray,
    crop_size: tuple[int, int],
    batch_size: int,
    reduces_images: bool = True,
) -> Iterator[tf.Tensor]:
    """Returns the crops of people in their order: batches [B, H, W, 3] uint8, the last one shorter.

    Args:
        table: Records.
        images: [N] the image of each person; a picture is decoded once for people that follow each other.
        crop_from_image: [N, 2, 3] float64 from image to crop pixels.
        crop_size: (height, width) in pixels.
        batch_size: Largest number of crops in a batch, B.
        reduces_images: See `crops.CropSettings`.

    Raises:
        ValueError: naming a picture that cannot be decoded or has another size than its record says.
    """
    firsts = np.flatnonzero(np.diff(images, prepend=-1))
    lasts = np.append(firsts[1:], len(images))

    def load(group: int) -> dict[str, np.ndarray]:
        image = images[firsts[group]]
        return {
            "picture": np.array(table.read_image_bytes(image), object),
            "matrices": crop_from_image[firsts[group] : lasts[group]],
            "size": table.sizes(image),
        }

    shapes = {"picture": ((), tf.string), "matrices": ((None, 2, 3), tf.float64), "size": ((2,), tf.int64)}
    pictures = dataset_of_arrays(load, shapes, tf.data.Dataset.range(len(firsts)))

    @tf.autograph.experimental.do_not_convert
    def cut(example: dict[str, tf.Tensor]) -> tf.Tensor:
        check = tf.debugging.assert_equal(picture_size(example["picture"]), example["size"])
        with tf.control_dependencies([check]):
            return cut_crops_tensor(example["picture"], example["matrices"], crop_size, reduces_images)

    crops = pictures.map(cut, num_parallel_calls=num_cores(), deterministic=True)
    return _name_broken_pictures(crops.unbatch().batch(batch_size).prefetch(2), table, images)


def _name_broken_pictures(batches: tf.data.Dataset, table: RecordTable, images: np.ndarray) -> Iterator[tf.Tensor]:
    """Yields the batches; an error of decoding names the picture."""
    num_done = 0
    with contextlib.closing(iterate_dataset(batches)) as elements:
        try:
            for batch in elements:
                yield batch
                num_done += len(batch)
        except ValueError:
            # The error does not say whose it is.
            for image in dict.fromkeys(images[num_done:].tolist()):
                _check_picture(table, image)
            raise


def _check_picture(table: RecordTable, image: int) -> None:
    size = table.sizes(image)
    try:
        picture = tf.io.decode_image(table.read_image_bytes(image), channels=3, expand_animations=False)
        reason = "" if picture.shape[:2] == size.tolist() else f"it is of {picture.shape[1]}x{picture.shape[0]} pixels"
    except tf.errors.InvalidArgumentError as error:
        reason = describe_error(error)
    if reason:
        raise broken_picture(table.describe(image), size, reason)
