"""Features of boxes, pooled to a fixed size. TensorFlow only: the number of cells that a box covers varies.

He et al., "Mask R-CNN", 2017, section 3 (ROIAlign), with the half-pixel shift of Detectron2 ("aligned"). Each box is
cut into bins, each bin is the mean of bilinear samples. The samples form a grid, so the mean is a product with one
matrix for the rows and one for the columns of a box: pooled = Y F X^T. Boxes of several images and levels share these
products, in chunks of boxes of similar size, so that few zeros are multiplied and memory stays bounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf
from keras import ops

from tfpose.boxes import areas
from tfpose.models.keypoint_rcnn.conventions import DETECTRON2, Conventions
from tfpose.models.keypoint_rcnn.settings import LOWEST_LEVEL, NUM_ROI_LEVELS, STRIDES

# Cells of the feature maps in a chunk of boxes: 64 MiB for 256 channels in float32.
CHUNK_CELLS = 1 << 16
# Boxes in a chunk.
CHUNK_BOXES = 64
# A chunk ends where padding the windows of its boxes to one size would give more than this many times their cells.
MAX_PADDING = 1.5

# A box of the size of an ImageNet picture belongs to level 4 (Lin et al., 2017, equation 1).
CANONICAL_SIZE = 224.0
CANONICAL_LEVEL = 4


@dataclasses.dataclass(frozen=True)
class RoiAlignSettings:
    """The settings for sampling boxes.

    Attributes:
        pooled_size: Number of bins along each axis.
        is_aligned: Whether cell i is sampled at its center, i + 0.5 in the plane of the boxes. The older form without
            this shift also takes boxes as at least one cell long.
        samples_per_bin: Samples along each axis of a bin; 0 takes as many as there are cells in a bin, rounded up.
    """

    pooled_size: int
    is_aligned: bool = True
    samples_per_bin: int = 0


class _Axis(NamedTuple):
    """One axis of N boxes in cells of their maps.

    Attributes:
        start: [N], of the first bin.
        bin_size: [N].
        num_samples: [N] in each bin.
        map_size: [N] int32.
        first: [N] int32, first cell that has a weight.
        length: [N] int32, cells from there that may have one.
    """

    start: tf.Tensor
    bin_size: tf.Tensor
    num_samples: tf.Tensor
    map_size: tf.Tensor
    first: tf.Tensor
    length: tf.Tensor


class _Windows(NamedTuple):
    """The cells of each box; `offset` [N] is the first cell of its map."""

    rows: _Axis
    columns: _Axis
    offset: tf.Tensor


def assign_levels(boxes: tf.Tensor, epsilon: float = DETECTRON2.level_epsilon) -> tf.Tensor:
    """Returns the level of the pyramid that each box is pooled from, 2..5, by its area.

    Args:
        boxes: [N, 4] in pixels of the resized images.
        epsilon: Number added to the relative size, so that a box at the border of two levels belongs to the coarser.

    Returns:
        [N] int32.
    """
    sizes = tf.sqrt(areas(boxes, ops))
    levels = tf.floor(CANONICAL_LEVEL + tf.math.log(sizes / CANONICAL_SIZE + epsilon) / tf.math.log(2.0))
    highest = LOWEST_LEVEL + NUM_ROI_LEVELS - 1
    return tf.cast(tf.clip_by_value(levels, LOWEST_LEVEL, highest), tf.int32)


def pool_boxes(
    pyramid: Sequence[tf.Tensor],
    boxes: tf.Tensor,
    image_indices: tf.Tensor,
    pooled_size: int,
    conventions: Conventions = DETECTRON2,
) -> tf.Tensor:
    """Pools features of boxes, each from the level that suits its size.

    Args:
        pyramid: Levels p2..p5 (more are ignored), each [B, H, W, C].
        boxes: [N, 4] in pixels of the resized images; a constant to differentiation.
        image_indices: [N] int, the image of each box.
        pooled_size: P, cells of the result along each axis.
        conventions: Conventions that the network was trained with.

    Returns:
        [N, P, P, C].
    """
    levels = assign_levels(boxes, conventions.level_epsilon) - LOWEST_LEVEL
    settings = RoiAlignSettings(pooled_size, conventions.is_aligned, conventions.samples_per_bin)
    boxes = shorten_boxes(boxes, conventions.last_pixel)
    return align_boxes(pyramid[:NUM_ROI_LEVELS], STRIDES[:NUM_ROI_LEVELS], boxes, image_indices, levels, settings)


def shorten_boxes(boxes: tf.Tensor, last_pixel: float) -> tf.Tensor:
    """Returns the boxes [N, 4] with the right and the lower side moved inwards by `last_pixel`."""
    return boxes - tf.constant([0.0, 0.0, last_pixel, last_pixel], boxes.dtype)


def align_boxes(
    maps: Sequence[tf.Tensor],
    strides: Sequence[float],
    boxes: tf.Tensor,
    image_indices: tf.Tensor,
    map_indices: tf.Tensor,
    settings: RoiAlignSettings,
) -> tf.Tensor:
    """Computes ROIAlign of boxes from given maps.

    A sample more than a cell outside the map counts as 0; closer ones take the border's value. An empty box gives 0;
    without `is_aligned`, no box is empty.

    Args:
        maps: Feature maps [B, H, W, C], each with H and W of its own.
        strides: Pixels for each cell of each map.
        boxes: [N, 4] xyxy in pixels; a constant to differentiation.
        image_indices: [N] int, the position of each box's image in the batch.
        map_indices: [N] int, the map of each box.
        settings: Settings of the sampling.

    Returns:
        [N, P, P, C] in the dtype of the maps.
    """
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    sizes = tf.stack([tf.shape(values) for values in maps])  # [maps, 4]
    windows = _build_windows(boxes, tf.cast(image_indices, tf.int32), map_indices, sizes, strides, settings)
    channels = maps[0].shape[-1]
    cells = tf.concat([tf.reshape(values, [-1, channels]) for values in maps], axis=0)
    return _pool_windows(cells, windows, settings.pooled_size)


def _build_windows(
    boxes: tf.Tensor,
    image_indices: tf.Tensor,
    map_indices: tf.Tensor,
    sizes: tf.Tensor,
    strides: Sequence[float],
    settings: RoiAlignSettings,
) -> _Windows:
    scales = tf.gather(tf.constant([1.0 / stride for stride in strides], tf.float32), map_indices)
    sizes_of_boxes = tf.gather(sizes, map_indices)  # [N, 4]
    shift = 0.5 if settings.is_aligned else 0.0
    scaled = boxes * scales[:, None] - shift
    rows = _build_axis(scaled[:, 1], scaled[:, 3], sizes_of_boxes[:, 1], settings)
    columns = _build_axis(scaled[:, 0], scaled[:, 2], sizes_of_boxes[:, 2], settings)
    map_cells = sizes[:, 1] * sizes[:, 2]
    map_starts = tf.cumsum(sizes[:, 0] * map_cells, exclusive=True)
    offset = tf.gather(map_starts, map_indices) + image_indices * tf.gather(map_cells, map_indices)
    return _Windows(rows, columns, offset)


def _build_axis(low: tf.Tensor, high: tf.Tensor, map_size: tf.Tensor, settings: RoiAlignSettings) -> _Axis:
    length = high - low
    if not settings.is_aligned:
        length = tf.maximum(length, 1.0)
    bin_size = length / settings.pooled_size
    fixed = float(settings.samples_per_bin)
    num_samples = tf.fill(tf.shape(low), fixed) if fixed else tf.maximum(tf.math.ceil(bin_size), 0.0)
    last_cell = tf.cast(map_size - 1, tf.float32)
    first = tf.floor(tf.clip_by_value(low, 0.0, last_cell))
    last = tf.minimum(tf.floor(tf.clip_by_value(low + length, 0.0, last_cell)) + 1.0, last_cell)
    window = tf.maximum(last - first + 1.0, 1.0)
    return _Axis(low, bin_size, num_samples, map_size, tf.cast(first, tf.int32), tf.cast(window, tf.int32))


def _chunk_order(windows: _Windows) -> tf.Tensor:
    """Returns the order of the boxes, [N] int32 positions: by height in steps of a half, then by width."""
    heights = tf.cast(windows.rows.length, tf.float32)
    steps = tf.cast(tf.math.log(heights) / tf.math.log(1.5), tf.int32)
    return tf.argsort(steps * (1 << 16) + windows.columns.length)


def _pool_windows(cells: tf.Tensor, windows: _Windows, pooled_size: int) -> tf.Tensor:
    """Pools features [N, P, P, C] of windows in the flattened maps [cells, C]."""
    order = _chunk_order(windows)
    windows = tf.nest.map_structure(lambda values: tf.gather(values, order), windows)

    @tf.custom_gradient
    def pool(cells: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def differentiate(gradients: tf.Tensor) -> tf.Tensor:
            # The automatic gradient of a loop would hold all windows at once, and add whole maps for each chunk.
            return _scatter_chunks(tf.gather(gradients, order), windows, tf.shape(cells), pooled_size)

        pooled = _gather_chunks(cells, windows, pooled_size)
        return tf.gather(pooled, tf.math.invert_permutation(order)), differentiate

    return pool(cells)


def _gather_chunks(cells: tf.Tensor, windows: _Windows, pooled_size: int) -> tf.Tensor:
    channels = cells.shape[-1]
    num_boxes = tf.shape(windows.offset)[0]

    def pool_chunk(start: tf.Tensor, chunks: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        chunk = _take_chunk(windows, start)
        values = tf.gather(cells, _cell_indices(chunk))  # [n, h, w, C]
        y, x = (_axis_weights(axis, pooled_size, cells.dtype) for axis in (chunk.rows, chunk.columns))
        count, height, width = (tf.shape(values)[axis] for axis in range(3))
        by_row = tf.matmul(y, tf.reshape(values, [count, height, width * channels]))
        by_row = tf.reshape(by_row, [count, pooled_size, width, channels])
        pooled = tf.matmul(x[:, None], by_row)
        return start + count, chunks.write(chunks.size(), pooled)

    chunks = tf.TensorArray(
        cells.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=[None, pooled_size, pooled_size, channels]
    )
    # An array of no chunks has nothing to join.
    chunks = chunks.write(0, tf.zeros([0, pooled_size, pooled_size, channels], cells.dtype))
    _, chunks = tf.while_loop(
        lambda start, _: start < num_boxes, pool_chunk, (tf.constant(0), chunks), parallel_iterations=1
    )
    return tf.ensure_shape(chunks.concat(), [None, pooled_size, pooled_size, channels])


def _scatter_chunks(gradients: tf.Tensor, windows: _Windows, shape: tf.Tensor, pooled_size: int) -> tf.Tensor:
    num_boxes = tf.shape(windows.offset)[0]
    channels = gradients.shape[-1]

    def scatter_chunk(start: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chunk = _take_chunk(windows, start)
        indices = _cell_indices(chunk)
        y, x = (_axis_weights(axis, pooled_size, gradients.dtype) for axis in (chunk.rows, chunk.columns))
        count, height, width = (tf.shape(indices)[axis] for axis in range(3))
        values = gradients[start : start + count]
        by_row = tf.matmul(x[:, None], values, transpose_a=True)  # [n, P, w, C]
        by_row = tf.reshape(by_row, [count, pooled_size, width * channels])
        by_cell = tf.reshape(tf.matmul(y, by_row, transpose_a=True), [count * height * width, channels])
        return start + count, tf.tensor_scatter_nd_add(sums, tf.reshape(indices, [-1, 1]), by_cell)

    _, sums = tf.while_loop(
        lambda start, _: start < num_boxes,
        scatter_chunk,
        (tf.constant(0), tf.zeros(shape, gradients.dtype)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, channels])),
        parallel_iterations=1,
    )
    return sums


def _take_chunk(windows: _Windows, start: tf.Tensor) -> _Windows:
    """Returns the longest run of boxes from `start` within the limits, but at least one box."""
    candidates = tf.nest.map_structure(lambda values: values[start : start + CHUNK_BOXES], windows)
    heights, widths = candidates.rows.length, candidates.columns.length
    counts = tf.range(1, tf.shape(heights)[0] + 1)
    padded = counts * _running_maximum(heights) * _running_maximum(widths)
    own = tf.cumsum(heights * widths)
    fits = (padded <= CHUNK_CELLS) & (tf.cast(padded, tf.float32) <= MAX_PADDING * tf.cast(own, tf.float32))
    count = tf.maximum(tf.reduce_sum(tf.math.cumprod(tf.cast(fits, tf.int32))), 1)
    return tf.nest.map_structure(lambda values: values[:count], candidates)


def _running_maximum(values: tf.Tensor) -> tf.Tensor:
    """Computes the running maximum of values [N], for a small N."""
    is_before = tf.range(tf.shape(values)[0])[:, None] >= tf.range(tf.shape(values)[0])
    return tf.reduce_max(tf.where(is_before, values, 0), axis=1)


def _cell_indices(windows: _Windows) -> tf.Tensor:
    """Returns rows [n, h, w] int32 of the flattened maps; cells outside their map have weight 0, so any row will do."""
    rows, columns = windows.rows, windows.columns
    y, x = (
        tf.minimum(axis.first[:, None] + tf.range(tf.reduce_max(axis.length)), axis.map_size[:, None] - 1)
        for axis in (rows, columns)
    )
    return windows.offset[:, None, None] + y[:, :, None] * columns.map_size[:, None, None] + x[:, None, :]


def _axis_weights(axis: _Axis, pooled_size: int, dtype: tf.DType) -> tf.Tensor:
    """Returns the share of each cell of a window in each bin, [n, P, cells]."""
    samples = tf.range(tf.maximum(tf.reduce_max(axis.num_samples), 1.0))  # [S]
    counts = tf.maximum(axis.num_samples, 1.0)[:, None]
    within_bin = (samples + 0.5) * (axis.bin_size[:, None] / counts)  # [n, S]
    bins = tf.range(pooled_size, dtype=tf.float32) * axis.bin_size[:, None] + axis.start[:, None]  # [n, P]
    positions = bins[:, :, None] + within_bin[:, None]  # [n, P, S]
    size = tf.cast(axis.map_size, tf.float32)[:, None, None]
    is_counted = (samples < axis.num_samples[:, None])[:, None] & (positions >= -1.0) & (positions <= size)
    positions = tf.clip_by_value(positions, 0.0, size - 1.0)
    cells = axis.first[:, None] + tf.range(tf.reduce_max(axis.length))  # [n, cells]
    distances = tf.abs(positions[..., None] - tf.cast(cells, tf.float32)[:, None, None])
    shares = tf.where(is_counted[..., None], tf.maximum(1.0 - distances, 0.0), 0.0)
    return tf.cast(tf.reduce_sum(shares, axis=2) / counts[:, None], dtype)
