"""Proposals from scored and moved anchors. TensorFlow only: the number of proposals varies.

Ren et al., "Faster R-CNN", 2015, section 3; over the levels of a pyramid as in Lin et al., 2017, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfpose.models.keypoint_rcnn.box_coding import ANCHOR_WEIGHTS, clip_boxes, decode_boxes, has_area
from tfpose.models.keypoint_rcnn.settings import ProposalSettings
from tfpose.models.keypoint_rcnn.suppression import suppress_grouped_boxes


class ScoredBoxes(NamedTuple):
    """The boxes of a batch of images, image after image, and by descending score in an image.

    Attributes:
        boxes: [N, 4] xyxy in pixels of the resized images.
        scores: [N].
        image_indices: [N] int32, not decreasing.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    image_indices: tf.Tensor


def select_proposals(
    logits: Sequence[tf.Tensor],
    deltas: Sequence[tf.Tensor],
    anchors: Sequence[tf.Tensor],
    image_sizes: tf.Tensor,
    settings: ProposalSettings,
    min_box_size: float = 0.0,
) -> ScoredBoxes:
    """Selects the best moved anchors of each image that are not near copies of better ones.

    Args:
        logits: [B, A] for each level.
        deltas: [B, A, 4] for each level.
        anchors: [A, 4] for each level.
        image_sizes: [B, 2] (height, width) without padding, in pixels.
        settings: Settings of the proposals.
        min_box_size: Shortest side of a clipped box, see `clip_boxes`.

    Returns:
        Proposals inside their images, with logits as scores. No gradient flows through them.
    """
    candidates = [_best_of_level(*level, settings.max_per_level) for level in zip(logits, deltas, anchors, strict=True)]
    levels = tf.concat([tf.fill([tf.shape(c[1])[1]], index) for index, c in enumerate(candidates)], axis=0)
    boxes, scores = (tf.stop_gradient(tf.concat(parts, axis=1)) for parts in zip(*candidates, strict=True))
    is_finite = tf.math.is_finite(scores) & tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    boxes = clip_boxes(boxes, image_sizes[:, None], min_box_size)

    def select(values: tuple[tf.Tensor, ...]) -> tf.Tensor:
        boxes, scores, is_candidate = values
        return suppress_grouped_boxes(
            boxes, scores, levels, len(candidates), settings.iou_threshold, settings.max_proposals, is_candidate
        )

    slots = map_positions(select, (boxes, scores, is_finite & has_area(boxes)), settings.max_proposals)
    return ScoredBoxes(tf.gather_nd(boxes, slots), tf.gather_nd(scores, slots), slots[:, 0])


def map_positions(
    select: Callable[[tuple[tf.Tensor, ...]], tf.Tensor], values: tuple[tf.Tensor, ...], max_positions: int
) -> tf.Tensor:
    """Applies a function that chooses positions to each image.

    Args:
        select: Function from values without the first axis to [K] int32 positions, K at most `max_positions`.
        values: Tensors [B, ...].
        max_positions: Largest number of positions of an image.

    Returns:
        [N, 2] int32 (image, position), image after image, in the order of `select`.
    """

    def select_padded(values: tuple[tf.Tensor, ...]) -> tf.Tensor:
        positions = select(values)
        padded = tf.pad(positions, [[0, max_positions - tf.shape(positions)[0]]], constant_values=-1)
        return tf.ensure_shape(padded, [max_positions])

    positions = tf.map_fn(
        select_padded, values, fn_output_signature=tf.TensorSpec([max_positions], tf.int32), parallel_iterations=1
    )
    slots = tf.where(positions >= 0)
    return tf.stack([tf.cast(slots[:, 0], tf.int32), tf.gather_nd(positions, slots)], axis=1)


def _best_of_level(
    logits: tf.Tensor, deltas: tf.Tensor, anchors: tf.Tensor, max_boxes: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns unclipped boxes [B, K, 4] and logits [B, K] of the best anchors; only these boxes are decoded."""
    scores, positions = tf.math.top_k(logits, tf.minimum(max_boxes, tf.shape(logits)[1]))
    best = tf.gather(deltas, positions, batch_dims=1)
    return decode_boxes(best, tf.gather(anchors, positions), ANCHOR_WEIGHTS), scores
