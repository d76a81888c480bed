"""Suppression of boxes that overlap better ones. TensorFlow only: how many stay varies."""

from __future__ import annotations

import tensorflow as tf


def suppress_boxes(
    boxes: tf.Tensor, scores: tf.Tensor, iou_threshold: float, max_boxes: int, is_candidate: tf.Tensor | None = None
) -> tf.Tensor:
    """Keeps the best of every group of boxes that overlap (greedy).

    Args:
        boxes: [N, 4] xyxy.
        scores: [N]; of equal scores the first comes first.
        iou_threshold: Overlap with a better box that stays above which a box is dropped.
        max_boxes: Largest number of boxes to keep.
        is_candidate: [N] bool; None takes all boxes.

    Returns:
        [K] int32 positions of the boxes that stay, best first.
    """
    if is_candidate is None:
        is_candidate = tf.fill(tf.shape(scores), True)
    positions = tf.cast(tf.where(is_candidate)[:, 0], tf.int32)
    # The operation takes yxyx, but exchanging the axes changes no overlap.
    kept = tf.image.non_max_suppression(
        tf.gather(boxes, positions), tf.gather(scores, positions), max_boxes, iou_threshold
    )
    return tf.gather(positions, kept)


def suppress_grouped_boxes(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    groups: tf.Tensor,
    num_groups: int,
    iou_threshold: float,
    max_boxes: int,
    is_candidate: tf.Tensor | None = None,
) -> tf.Tensor:
    """Applies `suppress_boxes`, but boxes of different groups do not suppress each other.

    Args:
        boxes: [N, 4] xyxy.
        scores: [N].
        groups: [N] int, 0..`num_groups` - 1.
        num_groups: Number of groups.
        iou_threshold: Overlap with a better box that stays above which a box is dropped.
        max_boxes: Largest number of boxes to keep, over all groups.
        is_candidate: [N] bool; None takes all boxes.

    Returns:
        [K] int32 positions, best first.
    """
    kept = []
    for group in range(num_groups):
        is_member = groups == group
        if is_candidate is not None:
            is_member &= is_candidate
        kept.append(suppress_boxes(boxes, scores, iou_threshold, max_boxes, is_member))
    positions = tf.sort(tf.concat(kept, axis=0))
    order = tf.argsort(tf.gather(scores, positions), direction="DESCENDING", stable=True)
    return tf.gather(positions, order)[:max_boxes]
