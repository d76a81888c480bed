"""The five losses, pure: each gives a sum and what to divide it by.

Ren et al., "Faster R-CNN", 2015, section 3.1.2; He et al., "Mask R-CNN", 2017, sections 3 and 5; divisors and smooth
L1's beta as in Detectron2.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tfpose.models.keypoint_rcnn.box_coding import ANCHOR_WEIGHTS, PROPOSAL_WEIGHTS, encode_boxes
from tfpose.models.keypoint_rcnn.labels import NEGATIVE, POSITIVE

Tensor = Any  # of the Keras backend in use
WeightedSum = tuple[Tensor, Tensor]

PROPOSAL_BETA = 0.5


def anchor_class_loss(logits: Tensor, labels: Tensor, num_samples: int) -> WeightedSum:
    """Computes the binary cross-entropy of the sampled anchors, and the number of samples per image times images.

    Args:
        logits: [B, A].
        labels: [B, A], `POSITIVE`, `NEGATIVE` or, not counted, anything else.
        num_samples: Number of samples wanted in each image.
    """
    is_positive, is_counted = labels == POSITIVE, ops.logical_or(labels == POSITIVE, labels == NEGATIVE)
    errors = ops.softplus(ops.where(is_positive, -logits, logits))
    return ops.sum(ops.where(is_counted, errors, ops.zeros_like(errors))), _num_samples(labels, num_samples)


def anchor_box_loss(
    deltas: Tensor, labels: Tensor, anchors: Tensor, person_boxes: Tensor, num_samples: int
) -> WeightedSum:
    """Computes L1 of the positive anchors' offsets, and the divisor of `anchor_class_loss`.

    Args:
        deltas: [B, A, 4].
        labels: [B, A] labels of the samples.
        anchors: [A, 4].
        person_boxes: [B, A, 4] boxes of the people that the anchors belong to.
        num_samples: Number of samples wanted in each image.
    """
    targets = ops.stop_gradient(encode_boxes(person_boxes, anchors, ANCHOR_WEIGHTS))
    errors = _masked_smooth_l1(deltas, targets, labels == POSITIVE, 0.0)
    return ops.sum(errors), _num_samples(labels, num_samples)


def class_loss(class_logits: Tensor, labels: Tensor) -> WeightedSum:
    """Computes the cross-entropy of proposals, and the number of proposals.

    Args:
        class_logits: [N, 2] (person, background).
        labels: [N], `POSITIVE` or `NEGATIVE`.
    """
    log_shares = ops.log_softmax(class_logits, axis=-1)
    errors = -ops.where(labels == POSITIVE, log_shares[:, 0], log_shares[:, 1])
    return ops.sum(errors), ops.sum(ops.ones_like(errors))


def box_loss(deltas: Tensor, labels: Tensor, proposals: Tensor, person_boxes: Tensor) -> WeightedSum:
    """Computes smooth L1 of the positive proposals' offsets, and the number of all proposals.

    Args:
        deltas: [N, 4].
        labels: [N], `POSITIVE` or `NEGATIVE`.
        proposals: [N, 4].
        person_boxes: [N, 4] boxes of the people that the proposals belong to.
    """
    targets = ops.stop_gradient(encode_boxes(person_boxes, proposals, PROPOSAL_WEIGHTS))
    errors = _masked_smooth_l1(deltas, targets, labels == POSITIVE, PROPOSAL_BETA)
    return ops.sum(errors), ops.sum(ops.ones_like(deltas[:, 0]))


def keypoint_loss(maps: Tensor, cells: Tensor, is_target: Tensor) -> WeightedSum:
    """Computes the cross-entropy over the cells of each joint's map, and the number of joints that count.

    Args:
        maps: [N, H, W, J] logits.
        cells: [N, J] int, row * W + column.
        is_target: [N, J] bool.
    """
    shape = ops.shape(maps)
    logits = ops.reshape(ops.transpose(maps, (0, 3, 1, 2)), (-1, shape[3], shape[1] * shape[2]))
    chosen = ops.take_along_axis(logits, cells[..., None], axis=-1)[..., 0]
    errors = ops.logsumexp(logits, axis=-1) - chosen
    errors = ops.where(is_target, errors, ops.zeros_like(errors))
    return ops.sum(errors), ops.sum(ops.cast(is_target, errors.dtype))


def smooth_l1(differences: Tensor, beta: float) -> Tensor:
    """Computes d^2 / (2 beta) for |d| below beta, |d| - beta / 2 above (Girshick, "Fast R-CNN", 2015, equation 3)."""
    sizes = ops.abs(differences)
    if beta == 0:
        return sizes
    return ops.where(sizes < beta, 0.5 * ops.square(sizes) / beta, sizes - 0.5 * beta)


def _masked_smooth_l1(values: Tensor, targets: Tensor, is_counted: Tensor, beta: float) -> Tensor:
    # Before the norm: targets of boxes without area are not finite.
    differences = ops.where(is_counted[..., None], values - targets, ops.zeros_like(values))
    return smooth_l1(differences, beta)


def _num_samples(labels: Tensor, num_samples: int) -> Tensor:
    return ops.cast(ops.shape(labels)[0] * num_samples, "float32")
