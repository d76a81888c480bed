"""Crops of encoded pictures in a graph, for SavedModels: equal to `data.pictures` to within one gray level."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfpose import crops, geometry
from tfpose.data.pictures import JPEG_OPTIONS, JPEG_START
from tfpose.frame_fit import FrameFit

# Form of `geometry.warp_image_tensor`.
Warp = Callable[[tf.Tensor, tf.Tensor, tuple[int, int]], tf.Tensor]


def read_frame(image_bytes: tf.Tensor, fit: FrameFit) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads a whole picture as the input of a network.

    Args:
        image_bytes: Scalar string with a JPEG, PNG, BMP or GIF.
        fit: Fit of frames to the network's input.

    Returns:
        [H, W, 3] uint8 RGB, and the (height, width) of the picture [2] int64.

    Raises:
        tf.errors.InvalidArgumentError: it is no picture, or a damaged one.
    """
    size = picture_size(image_bytes)
    return cut_crops_tensor(image_bytes, fit.matrices(size[None]), fit.input_size)[0], size


def picture_size(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the size (height, width) of an encoded picture, [2] int64; a JPEG is not decoded for this.

    Args:
        image_bytes: Scalar string with a JPEG, PNG, BMP or GIF.

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
    """Returns whether a scalar string begins as a JPEG does, as a scalar bool."""
    return tf.strings.substr(image_bytes, 0, len(JPEG_START)) == JPEG_START


def decode_picture(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a scalar string that holds a JPEG, PNG, BMP or GIF to [H, W, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: it is no picture, or a damaged one.
    """
    return _decode(image_bytes, is_jpeg_picture(image_bytes), 1)


def cut_crops_tensor(
    image_bytes: tf.Tensor, crop_from_image: tf.Tensor, crop_size: tuple[int, int], reduces_images: bool = True
) -> tf.Tensor:
    """Computes `data.pictures.cut_crops` for one image in a graph.

    Args:
        image_bytes: Scalar string with a JPEG, PNG, BMP or GIF.
        crop_from_image: [P, 2, 3].
        crop_size: (height, width) in pixels.
        reduces_images: See `crops.CropSettings`.

    Returns:
        [P, height, width, 3] uint8 RGB.
    """
    reductions = crops.decode_reduction(crop_from_image, reduces_images)
    read = functools.partial(_decode, image_bytes, is_jpeg_picture(image_bytes))
    return _cut_crops(read, reductions, crop_from_image, crop_size)


def cut_crops_from_frame(
    frame: tf.Tensor,
    crop_from_image: tf.Tensor,
    crop_size: tuple[int, int],
    reduces_images: bool = True,
    warp: Warp = geometry.warp_image_tensor,
) -> tf.Tensor:
    """Computes `cut_crops_tensor` for a decoded picture, with means of pixels instead of a smaller decoded JPEG.

    Args:
        frame: [H, W, 3] uint8 RGB.
        crop_from_image: [P, 2, 3].
        crop_size: (height, width) in pixels.
        reduces_images: See `crops.CropSettings`.
        warp: `geometry.warp_image_tensor`, or another function that does the same.

    Returns:
        [P, height, width, 3] uint8 RGB.
    """
    reductions = crops.decode_reduction(crop_from_image, reduces_images)
    return _cut_crops(functools.partial(_shrink, frame), reductions, crop_from_image, crop_size, warp)


def fit_frames(frames: tf.Tensor, fit: FrameFit) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `read_frame` for a batch of decoded pictures of one size.

    Args:
        frames: [B, H, W, 3] uint8 RGB.
        fit: Fit of frames to the network's input.

    Returns:
        [B, h, w, 3] uint8 RGB, and the (height, width) of each picture [B, 2] int64.
    """
    size = tf.shape(frames, out_type=tf.int64)[1:3]
    matrices = fit.matrices(size[None])
    fitted = tf.map_fn(
        lambda frame: cut_crops_from_frame(frame, matrices, fit.input_size)[0],
        frames,
        fn_output_signature=tf.TensorSpec([*fit.input_size, 3], tf.uint8),
        parallel_iterations=1,
    )
    return fitted, tf.repeat(size[None], tf.shape(frames)[0], axis=0)


def _cut_crops(
    read: Callable[[int], tf.Tensor],
    reductions: tf.Tensor,
    crop_from_image: tf.Tensor,
    crop_size: tuple[int, int],
    warp: Warp = geometry.warp_image_tensor,
) -> tf.Tensor:
    """Cuts crops [P, height, width, 3], each from `read(reduction)`, the picture at 1 / `reductions` [P]."""
    shape = [tf.shape(crop_from_image)[0], *crop_size, 3]
    result = tf.ensure_shape(tf.zeros(shape, tf.uint8), [None, *crop_size, 3])
    for reduction in crops.DECODE_REDUCTIONS:
        rows = tf.where(reductions == reduction)
        cut = functools.partial(_cut_at_scale, result, rows, crop_from_image, reduction, read, warp)
        result = tf.cond(tf.size(rows) > 0, cut, functools.partial(tf.identity, result))
    return result


def _cut_at_scale(
    result: tf.Tensor,
    rows: tf.Tensor,
    crop_from_image: tf.Tensor,
    reduction: int,
    read: Callable[[int], tf.Tensor],
    warp: Warp,
) -> tf.Tensor:
    """Returns `result` with the crops of `rows` cut from the picture at 1 / reduction."""
    crop_from_source = tf.gather_nd(crop_from_image, rows)
    if reduction > 1:
        to_full = tf.cast(crops.image_from_reduced(tf.constant([reduction])), crop_from_source.dtype)
        crop_from_source = geometry.compose(crop_from_source, to_full)
    matrices = tf.cast(crop_from_source, tf.float32)
    return tf.tensor_scatter_nd_update(result, rows, warp(read(reduction), matrices, result.shape[1:3]))


def _shrink(frame: tf.Tensor, reduction: int) -> tf.Tensor:
    """Reduces [H, W, 3] uint8 to 1 / reduction: pixel i is the mean of pixels r i to r i + r - 1."""
    if reduction == 1:
        return frame
    padded = frame
    for axis in (0, 1):
        length = tf.shape(frame)[axis]
        behind = tf.range(length, -(-length // reduction) * reduction)
        # Mirrored at the end; tf.pad refuses pictures thinner than what it adds.
        mirrored = tf.gather(padded, tf.maximum(2 * length - 1 - behind, 0), axis=axis)
        padded = tf.concat([padded, mirrored], axis)
    means = tf.nn.avg_pool2d(tf.cast(padded, tf.float32)[None], reduction, reduction, "VALID")[0]
    return tf.cast(tf.round(means), tf.uint8)


def _decode(image_bytes: tf.Tensor, is_jpeg: tf.Tensor, reduction: int) -> tf.Tensor:
    """Decodes to [H, W, 3] uint8 at 1 / reduction: a JPEG at once, other pictures by means of their pixels."""

    def decode_jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(image_bytes, ratio=reduction, **JPEG_OPTIONS)

    def decode_other() -> tf.Tensor:
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        return _shrink(tf.ensure_shape(image, [None, None, 3]), reduction)

    return tf.cond(is_jpeg, decode_jpeg, decode_other)
