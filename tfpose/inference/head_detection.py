"""Heads as local maxima of the head map, Payer et al. 2017, section 2."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from keras import ops

from tfpose.inference.frame_peaks import SingleNetworkSettings, are_near

_LOWEST = float("-inf")


def find_heads(head_maps: tf.Tensor, settings: SingleNetworkSettings) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the heads of a batch: local maxima above the threshold that no stronger head nearby removes.

    A maximum is a cell without a higher one among its eight neighbors. A plateau, cells of one value that touch, counts
    as one maximum at its first cell in row order if none of its cells has a higher neighbor. Equal maxima are ordered
    by row too.

    Args:
        head_maps: [B, h, w, 1].
        settings: Threshold, distance and largest number of heads.

    Returns:
        For M heads, sorted by image and falling strength: the image of each [M] int32, its cell [M, 2] int32 (x, y)
        and its value [M].
    """
    maps = tf.cast(head_maps, tf.float32)
    cells = tf.cast(tf.where(_find_maxima(maps, settings.head_threshold)), tf.int32)  # [M, 4] (image, y, x, 0)
    scores = tf.gather_nd(maps, cells)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(cells[:, 0], order), stable=True))
    cells, scores = tf.gather(cells, order), tf.gather(scores, order)
    images, heads = cells[:, 0], tf.gather(cells, (2, 1), axis=1)
    num_images = tf.shape(maps)[0]
    is_kept = tf.ones_like(images, tf.bool)
    if settings.squared_head_distance > 0:
        is_kept = _suppress(images, heads, num_images, settings.squared_head_distance)
    if settings.max_people:
        counts = tf.cumsum(tf.cast(is_kept, tf.int32))
        before_image = tf.math.unsorted_segment_min(counts - tf.cast(is_kept, tf.int32), images, num_images)
        is_kept &= counts - tf.gather(before_image, images) <= settings.max_people
    kept = tf.where(is_kept)[:, 0]
    return tf.gather(images, kept), tf.gather(heads, kept), tf.gather(scores, kept)


def _find_maxima(maps: tf.Tensor, threshold: float) -> tf.Tensor:
    """Returns [B, h, w, 1] bool, true for one cell of each maximum."""
    is_above = maps > threshold
    values = tf.where(is_above, maps, _LOWEST)
    has_higher = is_above & (_highest_around(values) > values)

    def spread_slopes(on_slope: tf.Tensor) -> tf.Tensor:
        """Spreads over each plateau whether any of its cells has a higher neighbor."""
        beside = _highest_around(tf.where(on_slope, values, _LOWEST))
        return on_slope | (is_above & (beside == values))

    is_top = is_above & ~_repeat_until_stable(spread_slopes, has_higher)
    index = tf.reshape(tf.range(tf.reduce_prod(tf.shape(maps)[1:])), tf.concat([[1], tf.shape(maps)[1:]], 0))
    # Negative, so that the maximum is the first cell. Whole numbers up to 2^24 are exact in float32.
    labels = tf.where(is_top, -tf.cast(index, tf.float32), _LOWEST)
    # Top cells that touch have the same value, because none has a higher neighbor.
    first = _repeat_until_stable(lambda label: tf.where(is_top, _highest_around(label), _LOWEST), labels)
    return is_top & (first == labels)


def _highest_around(values: tf.Tensor) -> tf.Tensor:
    """Returns the highest value of each cell and its eight neighbors, [B, h, w, 1]."""
    return tf.nn.max_pool2d(values, ksize=3, strides=1, padding="SAME")


def _repeat_until_stable(step: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor) -> tf.Tensor:
    def advance(_: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        after = step(values)
        return tf.reduce_any(after != values), after

    return tf.while_loop(lambda is_changing, _: is_changing, advance, (tf.constant(True), start))[1]


def _suppress(images: tf.Tensor, heads: tf.Tensor, num_images: tf.Tensor, squared_distance: int) -> tf.Tensor:
    """Applies `frame_peaks.suppress_heads` to all images at once; a round keeps the strongest open head of each image.

    This form is for graphs, where the number of heads is not known; the rule itself is `frame_peaks.are_near`.
    """
    count = tf.shape(images)[0]
    places = tf.range(count)

    def keep_strongest(is_open: tf.Tensor, is_kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        strongest = tf.math.unsorted_segment_min(tf.where(is_open, places, count), images, num_images)
        of_image = tf.gather(strongest, images)
        is_near = are_near(heads, tf.gather(heads, tf.minimum(of_image, count - 1)), squared_distance, ops)
        is_kept |= places == of_image
        return is_open & ~(is_near & (of_image < count)), is_kept

    nothing = tf.zeros_like(images, tf.bool)
    _, is_kept = tf.while_loop(
        lambda is_open, _: tf.reduce_any(is_open), keep_strongest, (tf.ones_like(nothing), nothing)
    )
    return is_kept
