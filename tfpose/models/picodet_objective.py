"""What PicoDet learns: which cells stand for which person, and the losses of scores and boxes.

Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", 2021, section 3.3. The cells of a person
are chosen anew in each step by what the network already finds (SimOTA of Ge et al., "YOLOX", 2021, section 2.1). Scores
learn the overlap of the found box by the varifocal loss (Zhang et al., "VarifocalNet", 2021, equation 2), distances
learn by the distribution focal loss (Li et al., "Generalized Focal Loss", 2020, equation 6) and boxes by the
generalized overlap (Rezatofighi et al., "Generalized Intersection over Union", 2019).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from keras import KerasTensor, ops

from tfpose.models.picodet import NUM_BINS, NUM_SIDES, cell_centers, decode_boxes

Tensor = Any

# Farther distances than this many cells cannot be interpolated between two bins.
_LONGEST_DISTANCE = NUM_BINS - 1 - 0.01
_EPSILON = 1e-7
# Larger than every sum of costs.
_FORBIDDEN = 1e6
_FAR = 1e4


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings:
    """The settings of the assignment and of the losses. The defaults are the paper's.

    Attributes:
        center_radius: Half side, in cells, of the square around the center of a person in which cells are preferred.
        num_overlaps: Number of best overlaps of a person whose sum is the number of the person's cells.
        assignment_box_weight: Weight of the overlap against the score in the choice of cells.
        score_weight: Weight of the varifocal loss.
        box_weight: Weight of the generalized overlap.
        distance_weight: Weight of the distribution focal loss.
        negative_weight: Weight of cells without a person in the varifocal loss.
        focus: Exponent of the score of a cell without a person: the higher the exponent, the less a low score counts.
    """

    center_radius: float = 2.5
    num_overlaps: int = 10
    assignment_box_weight: float = 6.0
    score_weight: float = 1.0
    box_weight: float = 2.0
    distance_weight: float = 0.25
    negative_weight: float = 0.75
    focus: float = 2.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), int(field.name == "num_overlaps")
            if not value >= least:
                raise ValueError(f"{field.name} must be at least {least}, got {value!r}")


class Assignment(NamedTuple):
    """The person of each cell.

    Attributes:
        is_positive: [B, A] float32, 1 for a cell that stands for a person.
        boxes: [B, A, 4] xyxy of this person; zeros for other cells.
        overlaps: [B, A] overlap (IoU) of the cell's box with that of its person; 0 for other cells.
    """

    is_positive: Tensor
    boxes: Tensor
    overlaps: Tensor


def compute_losses(
    outputs: dict[str, KerasTensor], batch: dict[str, Tensor], input_size: tuple[int, int], settings: ObjectiveSettings
) -> dict[str, Tensor]:
    """Computes the weighted losses of each image of a batch.

    Args:
        outputs: `scores` [B, A] and `distribution` [B, A, 32] of `build_picodet`.
        batch: `boxes` [B, P, 4] xyxy in pixels of the input, `person_weights` [B, P], 0 behind the people of an image,
            and `ignored_boxes` [B, K, 4]: a cell whose center is in one of them counts only if it stands for a person.
        input_size: (height, width) of the network's input in pixels.
        settings: Weights.

    Returns:
        `score`, `box` and `distance`, scalars in float32: sums over the cells of the batch, divided by the number of
        cells with a person (`score`) or by the sum of the scores of these cells (`box` and `distance`).
    """
    scores = ops.cast(outputs["scores"], "float32")
    distribution = ops.cast(outputs["distribution"], "float32")
    found = decode_boxes(distribution, input_size)
    centers, strides = cell_centers(input_size)
    chosen = assign_cells(ops.stop_gradient(scores), ops.stop_gradient(found), batch, (centers, strides), settings)
    is_positive, overlaps = ops.stop_gradient(chosen.is_positive), ops.stop_gradient(chosen.overlaps)
    is_ignored = ops.any(_is_inside(centers, batch["ignored_boxes"]), axis=1)
    counts = ops.maximum(is_positive, 1.0 - ops.cast(is_ignored, "float32"))
    of_scores = counts * varifocal_loss(scores, overlaps, settings.negative_weight, settings.focus)
    shares = is_positive * ops.stop_gradient(scores)
    total_share = ops.maximum(ops.sum(shares), _EPSILON)
    distances = _distances(chosen.boxes, centers, strides)
    of_distances = ops.mean(distribution_focal_loss(distribution, distances), axis=-1)
    # Cells without a person have an empty box, whose loss could be NaN; the weight 0 would not remove a NaN.
    targets = ops.where(is_positive[..., None] > 0, chosen.boxes, ops.stop_gradient(found))
    of_boxes = 1.0 - generalized_overlap(found, targets)
    return {
        "score": settings.score_weight * ops.sum(of_scores) / ops.maximum(ops.sum(is_positive), 1.0),
        "box": settings.box_weight * ops.sum(shares * of_boxes) / total_share,
        "distance": settings.distance_weight * ops.sum(shares * of_distances) / total_share,
    }


def assign_cells(
    scores: Tensor, found: Tensor, batch: dict[str, Tensor], cells: tuple[Tensor, Tensor], settings: ObjectiveSettings
) -> Assignment:
    """Chooses the cells of each person (SimOTA).

    A cell may stand for a person if its center is in the person's box or near its center. The number of cells of a
    person is the sum of the person's best overlaps, at least 1. The person takes the cells of the lowest cost, and
    cells both in the box and near the center before all others. If several people take a cell, the cell goes to the
    person of the lowest cost.

    Args:
        scores: [B, A] of the network.
        found: [B, A, 4] xyxy of the network, in pixels of the input.
        batch: `boxes` [B, P, 4] xyxy and `person_weights` [B, P].
        cells: Centers [A, 2] and strides [A, 1] of the cells, from `cell_centers`.
        settings: Weights.
    """
    boxes = ops.cast(batch["boxes"], "float32")
    is_person = ops.cast(batch["person_weights"], "float32")[..., None] > 0
    overlaps, costs = _costs(scores, found, boxes, is_person, cells, settings)
    num_candidates = min(settings.num_overlaps, found.shape[1] or settings.num_overlaps)
    best, _ = ops.top_k(overlaps, num_candidates)
    num_cells = ops.clip(ops.cast(ops.sum(best, axis=-1), "int32"), 1, num_candidates)
    _, cheapest = ops.top_k(-costs, num_candidates)
    is_taken = ops.zeros_like(costs, dtype="bool")
    for rank in range(num_candidates):
        is_next = ops.one_hot(cheapest[..., rank], costs.shape[2], dtype="float32") > 0
        is_taken = ops.logical_or(is_taken, ops.logical_and(is_next, rank < num_cells[..., None]))
    is_taken = ops.logical_and(is_taken, costs < _FORBIDDEN)
    costs = ops.where(is_taken, costs, 2 * _FORBIDDEN)
    person = ops.argmin(costs, axis=1)
    is_positive = ops.cast(ops.any(is_taken, axis=1), "float32")
    of_person = ops.one_hot(person, boxes.shape[1], dtype="float32") * is_positive[..., None]
    return Assignment(
        is_positive,
        ops.matmul(of_person, boxes),
        ops.sum(of_person * ops.transpose(overlaps, (0, 2, 1)), axis=-1),
    )


def _costs(
    scores: Tensor,
    found: Tensor,
    boxes: Tensor,
    is_person: Tensor,
    cells: tuple[Tensor, Tensor],
    settings: ObjectiveSettings,
) -> tuple[Tensor, Tensor]:
    """Returns overlaps and costs [B, P, A] of people and cells; cells that may not stand for a person cost most."""
    centers, strides = cells
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    reach = settings.center_radius * strides[:, 0]
    offsets = ops.abs(centers[None, None] - middles[:, :, None])
    is_near = ops.max(offsets, axis=-1) < reach
    is_inside = _is_inside(centers, boxes)
    may_stand = ops.logical_and(ops.logical_or(is_inside, is_near), is_person)
    overlaps = ops.where(may_stand, overlap(found[:, None], boxes[:, :, None]), 0.0)
    of_scores = varifocal_loss(scores[:, None], overlaps, settings.negative_weight, settings.focus)
    costs = of_scores - settings.assignment_box_weight * ops.log(overlaps + _EPSILON)
    costs = costs + ops.where(ops.logical_and(is_inside, is_near), 0.0, _FAR)
    return overlaps, ops.where(may_stand, costs, 2 * _FORBIDDEN)


def varifocal_loss(scores: Tensor, targets: Tensor, negative_weight: float, focus: float) -> Tensor:
    """Computes the loss of scores [...] between 0 and 1 against overlaps [...], 0 for cells without a person.

    For an overlap q above 0, the loss is q times the cross entropy, so that good boxes count most. For an overlap of 0,
    the loss is the cross entropy times `negative_weight` times the score to the power of `focus`.
    """
    scores = ops.clip(scores, _EPSILON, 1 - _EPSILON)
    entropy = -targets * ops.log(scores) - (1 - targets) * ops.log(1 - scores)
    return ops.where(targets > 0, targets, negative_weight * scores**focus) * entropy


def distribution_focal_loss(distribution: Tensor, distances: Tensor) -> Tensor:
    """Computes the cross entropy of the two bins around each distance.

    Args:
        distribution: [B, A, 32] logits, see `build_picodet`.
        distances: [B, A, 4] true distances in cells, clipped to the bins.

    Returns:
        [B, A, 4].
    """
    logits = ops.reshape(distribution, (*ops.shape(distribution)[:2], NUM_SIDES, NUM_BINS))
    logarithms = ops.log_softmax(logits, axis=-1)
    bins = ops.arange(NUM_BINS, dtype=logarithms.dtype)
    # Linear interpolation: the bins on both sides share a weight of 1 by nearness.
    weights = ops.maximum(1 - ops.abs(distances[..., None] - bins), 0)
    return -ops.sum(weights * logarithms, axis=-1)


def _distances(boxes: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
    """Returns the distances [B, A, 4] of the cells to the sides of boxes [B, A, 4], in cells, clipped to the bins."""
    distances = ops.concatenate([centers - boxes[..., :2], boxes[..., 2:] - centers], axis=-1) / strides
    return ops.clip(distances, 0.0, _LONGEST_DISTANCE)


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Returns the intersection over union [...] of boxes [..., 4] xyxy."""
    shared, union = _shared_and_union(boxes, others)
    return shared / ops.maximum(union, _EPSILON)


def generalized_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Returns the generalized intersection over union [...] of boxes [..., 4] xyxy, from -1 to 1."""
    shared, union = _shared_and_union(boxes, others)
    union = ops.maximum(union, _EPSILON)
    hull = ops.maximum(boxes[..., 2:], others[..., 2:]) - ops.minimum(boxes[..., :2], others[..., :2])
    hull = ops.maximum(hull[..., 0] * hull[..., 1], _EPSILON)
    return shared / union - (hull - union) / hull


def _shared_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    sides = ops.minimum(boxes[..., 2:], others[..., 2:]) - ops.maximum(boxes[..., :2], others[..., :2])
    sides = ops.maximum(sides, 0.0)
    shared = sides[..., 0] * sides[..., 1]
    return shared, _area(boxes) + _area(others) - shared


def _area(boxes: Tensor) -> Tensor:
    sides = boxes[..., 2:] - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]


def _is_inside(centers: Tensor, boxes: Tensor) -> Tensor:
    """Returns whether centers [A, 2] are in boxes [B, P, 4], [B, P, A]; no center is in a box of zeros."""
    after = centers[None, None] - boxes[:, :, None, :2]
    before = boxes[:, :, None, 2:] - centers[None, None]
    return ops.logical_and(ops.min(after, axis=-1) > 0, ops.min(before, axis=-1) > 0)
