"""Stretches images by cubic interpolation as OpenCV does, with the same values in every graph."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import tensorflow as tf

# OpenCV's cubic kernel.
_CUBIC = -0.75
_NUM_TAPS = 4
_HALFWAY_SHIFT = 1e-6
# OpenCV's float32 values are exact to a hundredth of this.
_DOUBTFUL = 1e-3


def resize_like_opencv(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Stretches an image [H, W, 3] uint8 to a size (height, width) as `cv2.resize` with INTER_CUBIC does, as float32.

    OpenCV computes in fixed point, so that single values may differ by one. Two graphs may add in different order, but
    they must round alike: otherwise the boxes of one picture would differ by a tenth of a pixel. So values halfway
    between two integers are raised by more than the rounding error of float64, and all graphs round them up.
    """
    pixels = image
    for axis in (0, 1):
        places, weights = _cubic_taps(tf.shape(image)[axis], size[axis])
        shape = [1, 1, 1]
        shape[axis] = size[axis]
        pixels = sum(
            # Bytes are gathered in a fraction of the time of what they become.
            tf.cast(tf.gather(pixels, places[:, tap], axis=axis), tf.float64) * tf.reshape(weights[:, tap], shape)
            for tap in range(_NUM_TAPS)
        )
    return tf.cast(tf.floor(tf.clip_by_value(pixels, 0.0, 255.0) + 0.5 + _HALFWAY_SHIFT), tf.float32)


def resize_by_opencv(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns the values of `resize_like_opencv` in a third of the time, in graphs that are not written to a file."""
    resized = tf.numpy_function(lambda pixels: _resize_and_correct(pixels, size), [image], tf.float32, stateful=False)
    return tf.ensure_shape(resized, [*size, 3])


def _resize_and_correct(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes in float32, and again in float64 what may be rounded otherwise."""
    (rows, row_weights), (columns, column_weights) = (_known_taps(image.shape[axis], size[axis]) for axis in (0, 1))
    found: np.ndarray = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    raised = np.clip(found, 0, 255, out=found)
    raised += np.float32(0.5)
    values = np.floor(raised)
    from_middle = np.subtract(raised, values, out=raised)
    from_middle -= np.float32(0.5)
    is_doubtful = np.abs(from_middle, out=from_middle) > 0.5 - _DOUBTFUL
    y, x, channel = np.unravel_index(np.flatnonzero(is_doubtful), values.shape)
    pixels = image[rows[y][:, :, None], columns[x][:, None, :], channel[:, None, None]].astype(np.float64)
    exact = np.einsum("nyx,ny,nx->n", pixels, row_weights[y], column_weights[x])
    values[y, x, channel] = np.floor(np.clip(exact, 0, 255) + 0.5 + _HALFWAY_SHIFT)
    return values


@functools.lru_cache(maxsize=16)
def _known_taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the result of `_cubic_taps` as arrays; the frames of a video have one size."""
    places, weights = _cubic_taps(tf.constant(size), new_size)
    return places.numpy(), weights.numpy()


def _cubic_taps(size: tf.Tensor, new_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels [new_size, 4] behind each new pixel along an axis and their weights, float64."""
    scale = tf.cast(size, tf.float64) / new_size
    centers = (tf.range(new_size, dtype=tf.float64) + 0.5) * scale - 0.5
    first = tf.floor(centers)
    distance = (centers - first)[:, None] - tf.constant([-1.0, 0.0, 1.0, 2.0], tf.float64)
    near, a = tf.abs(distance), _CUBIC
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    outer = ((a * near - 5 * a) * near + 8 * a) * near - 4 * a
    weights = tf.where(near <= 1, inner, outer)
    places = tf.cast(first, tf.int32)[:, None] + tf.constant([-1, 0, 1, 2])
    return tf.clip_by_value(places, 0, size - 1), weights
