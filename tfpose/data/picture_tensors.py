"""From encoded pictures to crops as a graph, for SavedModels: what `data.pictures` does, to within one grey level."""

from __future__ import annotations

import functools

import tensorflow as tf

from tfpose import crops, geometry
from tfpose.data.pictures import JPEG_OPTIONS, JPEG_START
from tfpose.frame_fit import FrameFit


def read_frame(image_bytes: tf.Tensor, fit: FrameFit) -> tuple[tf.Tensor, tf.Tensor]:
    """A whole picture as the input of a network.

    Args:
        image_bytes: scalar string, JPEG, PNG, BMP or GIF.
        fit: of frames.

    Returns:
        [H, W, 3] uint8 RGB, and the (height, width) of the picture [2] int64.

    Raises:
        tf.errors.InvalidArgumentError: it is no picture, or a damaged one.
    """
    size = picture_size(image_bytes)
    return cut_crops_tensor(image_bytes, fit.matrices(size[None]), fit.input_size)[0], size


def picture_size(image_bytes: tf.Tensor) -> tf.Tensor:
    """(height, width) of an encoded picture [2] int64; of a JPEG without decoding it.

    Args:
        image_bytes: scalar string, JPEG, PNG, BMP or GIF.

    Raises:
        tf.errors.InvalidArgumentError: it is no picture.
    """
    is_jpeg = is_jpeg_picture(image_bytes)
    size = tf.cond(
        is_jpeg,
        lambda: tf.io.extract_jpeg_shape(image_bytes)[:2],
        lambda: tf.shape(_decode(image_bytes, is_jpeg, 1))[:2],
    )
    return tf.cast(size, tf.int64)


def is_jpeg_picture(image_bytes: tf.Tensor) -> tf.Tensor:
    """Whether a scalar string begins as a JPEG. [] bool"""
    return tf.strings.substr(image_bytes, 0, len(JPEG_START)) == JPEG_START


def cut_crops_tensor(image_bytes: tf.Tensor, crop_from_image: tf.Tensor, crop_size: tuple[int, int]) -> tf.Tensor:
    """`data.pictures.cut_crops` for one image as a graph.

    Args:
        image_bytes: scalar string, JPEG, PNG, BMP or GIF.
        crop_from_image: [P, 2, 3].
        crop_size: (height, width).

    Returns:
        [P, height, width, 3] uint8 RGB.
    """
    shape = [tf.shape(crop_from_image)[0], *crop_size, 3]
    is_jpeg = is_jpeg_picture(image_bytes)
    reductions = tf.where(is_jpeg, crops.decode_reduction(crop_from_image), 1)
    result = tf.ensure_shape(tf.zeros(shape, tf.uint8), [None, *crop_size, 3])
    for reduction in crops.DECODE_REDUCTIONS:
        rows = tf.where(reductions == reduction)
        source = tf.gather_nd(crop_from_image, rows)
        if reduction > 1:
            to_full = tf.cast(crops.image_from_reduced(tf.constant([reduction])), source.dtype)
            source = geometry.compose(source, to_full)

        cut = functools.partial(_cut_at_scale, result, rows, source, image_bytes, is_jpeg, reduction)
        result = tf.cond(tf.size(rows) > 0, cut, functools.partial(tf.identity, result))
    return result


def _cut_at_scale(
    result: tf.Tensor,
    rows: tf.Tensor,
    crop_from_source: tf.Tensor,
    image_bytes: tf.Tensor,
    is_jpeg: tf.Tensor,
    reduction: int,
) -> tf.Tensor:
    """`result` with the crops of `rows` cut from the picture decoded at 1 / reduction."""
    picture = _decode(image_bytes, is_jpeg, reduction)
    matrices = tf.cast(crop_from_source, tf.float32)
    return tf.tensor_scatter_nd_update(result, rows, geometry.warp_image_tensor(picture, matrices, result.shape[1:3]))


def _decode(image_bytes: tf.Tensor, is_jpeg: tf.Tensor, reduction: int) -> tf.Tensor:
    """[H, W, 3] uint8; only a JPEG is ever reduced."""

    def decode_jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(image_bytes, ratio=reduction, **JPEG_OPTIONS)

    def decode_other() -> tf.Tensor:
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        return tf.ensure_shape(image, [None, None, 3])

    return decode_jpeg() if reduction > 1 else tf.cond(is_jpeg, decode_jpeg, decode_other)
