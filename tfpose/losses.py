"""Losses between predicted and target heatmaps: pure functions that ignore joints of weight 0."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

Tensor = Any
Reduction = Literal["visible", "all"]


def heatmap_mse(heatmaps_true: Tensor, heatmaps_pred: Tensor, weights: Tensor) -> Tensor:
    """Computes the weighted mean squared error of each heatmap.

    Args:
        heatmaps_true: [B, H, W, J].
        heatmaps_pred: [B, H, W, J].
        weights: [B, J], not negative; 0 for a joint that is not annotated. What stands in its
            maps has no influence, not even as NaN.

    Returns:
        [B, J] `weights` times the mean over the pixels of the squared difference, in float32 or
        better.
    """
    dtype = keras.backend.result_type(_dtype(heatmaps_pred), "float32")
    weights = ops.cast(weights, dtype)
    squares = _counted_squares(heatmaps_true, heatmaps_pred, weights[:, None, None, :] > 0, dtype)
    return weights * ops.mean(squares, axis=(1, 2))


def hard_joint_weights(losses: Tensor, weights: Tensor, num_hard_joints: int) -> Tensor:
    """Keeps the weights of each person's hardest joints and sets the others to 0.

    Online hard keypoint mining: Chen et al., "Cascaded Pyramid Network for Multi-Person Pose
    Estimation", 2018, section 3.2. A person with fewer visible joints keeps them all.

    Args:
        losses: [B, J], already weighted.
        weights: [B, J], not negative.
        num_hard_joints: Joints kept per person, 1..J.

    Returns:
        [B, J], a constant to differentiation.

    Raises:
        ValueError: `num_hard_joints` is out of range.
    """
    num_joints = losses.shape[-1]
    if not 1 <= num_hard_joints <= num_joints:
        raise ValueError(f"num_hard_joints must be in 1..{num_joints}, got {num_hard_joints!r}.")
    weights = ops.cast(weights, _dtype(losses))
    # A visible joint without error goes before a hidden one, whose loss is 0 too.
    ranks = ops.where(weights > 0, losses, -ops.ones_like(losses))
    _, indices = ops.top_k(ops.stop_gradient(ranks), num_hard_joints)
    is_hard = ops.sum(ops.one_hot(indices, num_joints, dtype=_dtype(losses)), axis=1)
    return ops.stop_gradient(weights * is_hard)


def mean_heatmap_loss(
    heatmaps_true: Tensor,
    heatmaps_pred: Tensor,
    weights: Tensor,
    num_hard_joints: int | None = None,
    reduction: Reduction = "visible",
    scale: float = 1.0,
) -> Tensor:
    """Computes the mean squared error of a batch of heatmaps.

    Honda et al. (2018) average over the visible joints: the defaults. For weights of 0 and 1,
    `reduction="all"` is the loss of mmpose (mean over hidden joints too), and with `scale=0.5`
    the one of Xiao et al.'s code; that one squares other weights, so pass their squares.

    Args:
        heatmaps_true: [B, H, W, J].
        heatmaps_pred: [B, H, W, J].
        weights: [B, J], not negative; 0 for a joint that is not annotated.
        num_hard_joints: Joints per person that count, the hardest ones; None counts all.
        reduction: `"visible"` divides by the sum of the (kept) weights, `"all"` by the number of
            (kept) joints, visible or not.
        scale: Factor on the result.

    Returns:
        Scalar; 0 if all weights are 0.

    Raises:
        ValueError: `num_hard_joints` or `reduction` is out of range.
    """
    if reduction not in ("visible", "all"):
        raise ValueError(f"reduction must be 'visible' or 'all', got {reduction!r}.")
    losses = heatmap_mse(heatmaps_true, heatmaps_pred, weights)
    dtype = _dtype(losses)
    counted = ops.cast(weights, dtype)
    num_kept = losses.shape[-1]
    if num_hard_joints is not None:
        counted = hard_joint_weights(losses, counted, num_hard_joints)
        losses = ops.where(counted > 0, losses, ops.zeros_like(losses))
        num_kept = num_hard_joints
    num_all = ops.cast(ops.shape(losses)[0] * num_kept, dtype)
    divisor = ops.sum(counted) if reduction == "visible" else num_all
    return scale * ops.sum(losses) / ops.where(divisor > 0, divisor, ops.ones_like(divisor))


def joint_map_error(heatmaps_true: Tensor, heatmaps_pred: Tensor, weights: Tensor) -> Tensor:
    """Computes half the weighted sum of squared differences of each heatmap.

    Payer et al., 2017, section 4. A sum, not a mean over the pixels: a mean would be lost against the decay of the
    weights. Leaving out one Gaussian of sigma 2 costs 2 * pi = 6.3.

    Args:
        heatmaps_true: [B, H, W, J].
        heatmaps_pred: [B, H, W, J].
        weights: [B, J], not negative; 0 for a joint that is not annotated. What stands in its maps has no
            influence, not even as NaN.

    Returns:
        [B, J] in float32 or better.
    """
    dtype = keras.backend.result_type(_dtype(heatmaps_pred), "float32")
    weights = ops.cast(weights, dtype)
    squares = _counted_squares(heatmaps_true, heatmaps_pred, weights[:, None, None, :] > 0, dtype)
    return 0.5 * weights * ops.sum(squares, axis=(1, 2))


def masked_map_error(heatmaps_true: Tensor, heatmaps_pred: Tensor, masks: Tensor) -> Tensor:
    """Computes half the sum of squared differences of maps, each multiplied by its cell's mask before squaring.

    Payer et al., 2017, section 4: heads count only where people are annotated.

    Args:
        heatmaps_true: [B, H, W, C].
        heatmaps_pred: [B, H, W, C].
        masks: [B, H, W]; 0 for a cell that does not count, whatever it holds.

    Returns:
        [B] in float32 or better.
    """
    dtype = keras.backend.result_type(_dtype(heatmaps_pred), "float32")
    masks = ops.cast(masks, dtype)[..., None]
    squares = _counted_squares(heatmaps_true, heatmaps_pred, masks != 0, dtype)
    return 0.5 * ops.sum(ops.square(masks) * squares, axis=(1, 2, 3))


def _counted_squares(heatmaps_true: Tensor, heatmaps_pred: Tensor, is_counted: Tensor, dtype: str) -> Tensor:
    difference = ops.cast(heatmaps_pred, dtype) - ops.cast(heatmaps_true, dtype)
    # Before the square: where() passes a NaN of the other branch on to the gradient.
    return ops.square(ops.where(is_counted, difference, ops.zeros_like(difference)))


def _dtype(tensor: Tensor) -> str:
    return keras.backend.standardize_dtype(ops.convert_to_tensor(tensor).dtype)
