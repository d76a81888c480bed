"""Training labels: the person that a box shows, and the cells of the joints in a box.

Ren et al., "Faster R-CNN", 2015, section 3.1.2; He et al., "Mask R-CNN", 2017, sections 3.1 and 5.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tfpose.boxes import intersection_over_union

Tensor = Any  # of the Keras backend in use

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

# An anchor with less overlap than the first value shows background, with at least the second value a person. Training
# ignores all other anchors.
ANCHOR_IOUS = (0.3, 0.7)
PROPOSAL_IOU = 0.5


def label_anchors(anchors: Tensor, person_boxes: Tensor, is_person: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the person that each anchor overlaps most, and whether the anchor shows this person.

    The anchors with a person's largest overlap are positive too, so that every person has an anchor. Such an anchor
    counts for the person whom it overlaps most.

    Args:
        anchors: [A, 4].
        person_boxes: [P, 4], P at least 1.
        is_person: [P] bool, False for padding; all people may be padding.

    Returns:
        Positions [A] int32 of people and labels [A] int32.
    """
    overlaps = _overlaps(anchors, person_boxes, is_person)
    best = ops.max(overlaps, axis=0)
    largest = ops.max(overlaps, axis=1, keepdims=True)
    # A person without any overlap would make all anchors positive.
    is_largest = ops.any(ops.logical_and(overlaps == largest, largest > 0), axis=0)
    is_positive = ops.logical_or(best >= ANCHOR_IOUS[1], is_largest)
    labels = ops.where(is_positive, POSITIVE, ops.where(best < ANCHOR_IOUS[0], NEGATIVE, IGNORED))
    return ops.cast(ops.argmax(overlaps, axis=0), "int32"), ops.cast(labels, "int32")


def label_proposals(proposals: Tensor, person_boxes: Tensor, is_person: Tensor) -> tuple[Tensor, Tensor]:
    """Labels proposals [N, 4] as `label_anchors` does; each is positive or negative, by its own overlap alone."""
    overlaps = _overlaps(proposals, person_boxes, is_person)
    labels = ops.where(ops.max(overlaps, axis=0) >= PROPOSAL_IOU, POSITIVE, NEGATIVE)
    return ops.cast(ops.argmax(overlaps, axis=0), "int32"), ops.cast(labels, "int32")


def _overlaps(boxes: Tensor, person_boxes: Tensor, is_person: Tensor) -> Tensor:
    """Computes the overlaps [P, N]; the overlap of padding is negative."""
    overlaps = intersection_over_union(person_boxes, boxes, ops)
    return ops.where(ops.cast(is_person, "bool")[:, None], overlaps, -1.0)


def encode_keypoints(keypoints: Tensor, is_labeled: Tensor, boxes: Tensor, map_size: int) -> tuple[Tensor, Tensor]:
    """Finds the cells of keypoints when their boxes are cut into square maps.

    Args:
        keypoints: [N, J, 2] (x, y) in the plane of the boxes.
        is_labeled: [N, J] bool.
        boxes: [N, 4], with areas.
        map_size: Number of cells along each axis.

    Returns:
        [N, J] int32 row * map_size + column, 0 where there is no target; and [N, J] bool, labeled and inside. The
        box's right and lower border belong to the last cells.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    cells = ops.floor((keypoints - low) * (map_size / (high - low)))
    cells = ops.where(keypoints == high, float(map_size - 1), cells)
    is_inside = ops.all(ops.logical_and(cells >= 0, cells < map_size), axis=-1)
    is_target = ops.logical_and(is_inside, ops.cast(is_labeled, "bool"))
    indices = cells[..., 1] * map_size + cells[..., 0]
    return ops.cast(ops.where(is_target, indices, ops.zeros_like(indices)), "int32"), is_target
