"""The pixel convention and affine maps between image, crop and heatmap.

Pixel centers lie at whole numbers: pixel i covers [i - 0.5, i + 0.5], so a picture of width W spans
[-0.5, W - 0.5] and its mirror image maps x to W - 1 - x. A heatmap cell i of stride s lies over crop pixel
s * i. These are the conventions of the Simple Baselines family (Xiao et al., 2018), whose public weights were
trained with them; `cv2.warpAffine` and TensorFlow's ImageProjectiveTransformV3 share the first one.

Matrices are [..., 2, 3] and named right to left: heatmap_from_image = compose(heatmap_from_crop, crop_from_image).
All functions but `warp_image` are written in `keras.ops`, so that one definition serves NumPy callers, tf.data,
SavedModels and other Keras backends.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from keras import ops

Array = Any  # a NumPy array or a tensor of the Keras backend
# Shares of a pixel that only rounding makes different from 0.
_NO_SHARE = 1e-6


def multiply(a: Array, b: Array) -> Array:
    """Computes the matrix product [..., N, K] x [..., K, M] by multiplications and sums.

    `matmul` may round its factors to 10 bits on a GPU (TF32), which moves a coordinate of 2000 by a pixel.
    """
    return ops.sum(ops.multiply(ops.expand_dims(a, -1), ops.expand_dims(b, -3)), axis=-2)


def compose(outer: Array, inner: Array) -> Array:
    """Returns the affine map [..., 2, 3] that applies the map `inner` first, then the map `outer`."""
    linear = multiply(outer[..., :2], inner[..., :2])
    offset = ops.add(multiply(outer[..., :2], inner[..., 2:]), outer[..., 2:])
    return ops.concatenate([linear, offset], axis=-1)


def compose_arrays(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Computes `compose` in NumPy's float64, for small matrices in the input pipeline, without a device."""
    outer, inner = np.asarray(outer, np.float64), np.asarray(inner, np.float64)
    linear = outer[..., :2] @ inner[..., :2]
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return np.concatenate([linear, offset], axis=-1)


def invert(matrices: Array) -> Array:
    """Returns the inverses [..., 2, 3] of affine maps [..., 2, 3]."""
    a, b, c = (matrices[..., 0, i] for i in range(3))
    d, e, f = (matrices[..., 1, i] for i in range(3))
    determinant = a * e - b * d
    rows = [e, -b, b * f - e * c, -d, a, d * c - a * f]
    stacked = ops.stack(rows, axis=-1) / determinant[..., None]
    return ops.reshape(stacked, ops.shape(matrices))


def transform_points(matrices: Array, points: Array) -> Array:
    """Applies affine maps [..., 2, 3] to points [..., N, 2] given as (x, y)."""
    linear = ops.swapaxes(matrices[..., :2], -1, -2)
    # The other way round Keras takes the offsets for a bias, which fails for no matrices at all.
    return ops.add(matrices[..., None, :, 2], multiply(points, linear))


def transform_arrays(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies affine maps [..., 2, 3] to points [..., N, 2], as `transform_points` does, in NumPy."""
    return points @ matrices[..., :2].swapaxes(-1, -2) + matrices[..., None, :, 2]


def heatmap_from_crop(
    crop_size: tuple[int, int], heatmap_size: tuple[int, int], convention: str = "stride"
) -> np.ndarray:
    """Returns the map from crop pixels to heatmap cells.

    Args:
        crop_size: (height, width) in pixels.
        heatmap_size: (height, width) in cells.
        convention: 'stride' puts cell i over pixel stride * i; 'udp' makes the first and last cell coincide with the
            first and last pixel (Huang et al., "The Devil Is in the Details: Unbiased Data Processing", 2020);
            'paddle' is how PaddleDetection reads heatmaps of crops that were cut as for 'udp'.

    Returns:
        [2, 3] float32.
    """
    if convention == "stride":
        scales = [heatmap_size[i] / crop_size[i] for i in (1, 0)]
    elif convention == "udp":
        scales = [(heatmap_size[i] - 1) / (crop_size[i] - 1) for i in (1, 0)]
    elif convention == "paddle":
        scales = [heatmap_size[i] / (crop_size[i] - 1) for i in (1, 0)]
    else:
        raise ValueError(f"convention must be 'stride', 'udp' or 'paddle', got {convention!r}")
    return np.array([[scales[0], 0, 0], [0, scales[1], 0]], np.float32)


def warp_image(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples an image by bilinear interpolation with zeros outside.

    Args:
        image: [H, W, 3] uint8.
        matrix: [2, 3], from coordinates of `image` to coordinates of the result.
        size: (height, width) of the result.

    Returns:
        [height, width, 3] uint8.
    """
    height, width = size
    return cv2.warpAffine(image, np.asarray(matrix, np.float64), (width, height), flags=cv2.INTER_LINEAR)


def warp_image_tensor(image: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """Computes `warp_image` as a TensorFlow operation, for graphs that must run without OpenCV.

    Args:
        image: [H, W, 3] uint8 tensor.
        matrix: [N, 2, 3] float32, from coordinates of `image` to coordinates of each result.
        size: (height, width) of the results.

    Returns:
        [N, height, width, 3] uint8 tensor.
    """
    import tensorflow as tf

    inverse = tf.reshape(invert(matrix), [-1, 6])
    transforms = tf.concat([inverse, tf.zeros_like(inverse[:, :2])], axis=1)

    def warp_one(transform: tf.Tensor) -> tf.Tensor:
        crop = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=transform[None],
            output_shape=list(size),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )[0]
        return tf.cast(tf.round(crop), tf.uint8)

    # One image feeds all its crops: mapping over the matrices keeps one float copy of it.
    pixels = tf.cast(image, tf.float32)[None]
    return tf.map_fn(warp_one, transforms, fn_output_signature=tf.uint8)


def warp_image_by_opencv(image: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """Computes `warp_image_tensor` by OpenCV: faster, in graphs that are not written to a file."""
    import tensorflow as tf

    def warp_all(pixels: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        warped = np.empty((len(matrices), *size, 3), np.uint8)
        for row, one in enumerate(matrices):
            warped[row] = warp_image(pixels, one, size)
        return warped

    warped = tf.numpy_function(warp_all, [image, matrix], tf.uint8, stateful=False)
    return tf.ensure_shape(warped, [None, *size, 3])


def resample_maps(maps: Array, steps: tuple[float, float], size: tuple[int, int]) -> Array:
    """Reads pictures or heatmaps at even steps by linear interpolation, in operations that every device compiles.

    Result (y, x) is the value at (y * step_y, x * step_x); beyond the last row and column their values continue. A step
    above 2 averages over the step, as `crops.decode_reduction` does for pictures.

    Args:
        maps: [B, H, W, C], of a known size.
        steps: (step_y, step_x), distances between two results in pixels of `maps`.
        size: (height, width) of the result.

    Returns:
        [B, height, width, C] float32.
    """
    maps = ops.cast(maps, "float32")
    for axis in (0, 1):
        if (steps[axis], size[axis]) != (1.0, maps.shape[1 + axis]):
            maps = _resample_axis(maps, 1 + axis, steps[axis], size[axis])
    return maps


def _resample_axis(maps: Array, axis: int, step: float, size: int) -> Array:
    length = maps.shape[axis]
    places = np.minimum(step * np.arange(size), length - 1)[:, None]
    reach = max(1.0, step / 2)
    shares = np.maximum(1 - np.abs(places - np.arange(length)) / reach, 0)
    shares[shares < _NO_SHARE] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    # The largest shares of each result, as many as the result with most of them has: one where steps meet pixels.
    num_taps = int((shares > 0).sum(axis=1).max())
    taps = np.argsort(-shares, axis=1, kind="stable")[:, :num_taps]
    shape = [-1 if i == axis else 1 for i in range(4)]
    terms = [
        ops.take(maps, taps[:, tap], axis=axis)
        * np.take_along_axis(shares, taps[:, tap : tap + 1], axis=1).reshape(shape).astype(np.float32)
        for tap in range(num_taps)
    ]
    return sum(terms[1:], start=terms[0])
