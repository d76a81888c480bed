"""Keypoint R-CNN: trunk, proposals, and a head each for boxes and keypoints.

He, Gkioxari, Dollar and Girshick, "Mask R-CNN", 2017, section 5; the details that its public weights depend on are
those of Detectron2's `keypoint_rcnn_*_FPN` configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfpose.models.keypoint_rcnn.anchors import cell_anchors, grid_anchors, rounded_cell_anchors
from tfpose.models.keypoint_rcnn.heads import (
    BOX_POOLED_SIZE,
    KEYPOINT_POOLED_SIZE,
    build_box_head,
    build_keypoint_head,
    build_proposal_head,
)
from tfpose.models.keypoint_rcnn.roi_align import pool_boxes
from tfpose.models.keypoint_rcnn.settings import STRIDES, KeypointRcnnSettings
from tfpose.models.keypoint_rcnn.trunk import build_trunk

Tensor = Any  # of the Keras backend in use


class Parts(NamedTuple):
    """The functional models that a `KeypointRcnn` joins, see its attributes."""

    trunk: keras.Model
    proposal_head: keras.Model
    box_head: keras.Model
    keypoint_head: keras.Model | None


class KeypointRcnn(keras.Model):
    """The parts of the network that have weights, as one model for training and its files.

    Its methods are the steps; `detection.detect_people` and `objective.compute_losses` join them. Boxes are xyxy in
    pixels of the resized images, in the plane where pixel i covers [i, i + 1].

    Args:
        settings: Settings of the network.
        name: Name of the model.
        parts: The parts; None builds them with fresh weights.

    Attributes:
        settings: Settings of the network.
        trunk: Model from `build_trunk`.
        proposal_head: Model from `build_proposal_head`.
        box_head: Model from `build_box_head`.
        keypoint_head: Model from `build_keypoint_head`; None for boxes only.
    """

    def __init__(self, settings: KeypointRcnnSettings, name: str = "keypoint_rcnn", parts: Parts | None = None) -> None:
        super().__init__(name=name)
        self.settings = settings
        self.trunk, self.proposal_head, self.box_head, self.keypoint_head = parts or _build_parts(settings)
        # All parts have their weights already.
        self.built = True

    def call(self, images: Tensor, training: bool | None = None) -> list[Tensor]:
        """Computes the feature pyramid, see `build_trunk`."""
        return self.trunk(images, training=training)

    def score_anchors(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Computes logits [B, A] and offsets [B, A, 4] of the anchors of each level, in the order of `anchors`."""
        outputs = [self.proposal_head(features) for features in pyramid]
        batch = ops.shape(pyramid[0])[0]
        logits = [ops.reshape(level, (batch, -1)) for level, _ in outputs]
        # The shape ends with the anchor and its four offsets.
        deltas = [ops.reshape(level, (batch, -1, 4)) for _, level in outputs]
        return logits, deltas

    def anchors(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Returns the anchors [A, 4] of each level."""
        return [
            grid_anchors(cells, ops.shape(features)[1:3], stride)
            for cells, features, stride in zip(self.anchor_cells(), pyramid, STRIDES, strict=True)
        ]

    def anchor_cells(self) -> list[np.ndarray]:
        """Returns the anchors [R, 4] of one cell of each level, around the origin."""
        ratios, sizes = self.settings.anchor_ratios, self.settings.anchor_sizes
        if self.settings.box_conventions.has_rounded_anchors:
            return [rounded_cell_anchors(size, ratios, stride) for size, stride in zip(sizes, STRIDES, strict=True)]
        return [cell_anchors(size, ratios) for size in sizes]

    def predict_boxes(self, pyramid: Sequence[Tensor], boxes: Tensor, image_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Computes class logits [N, 2] (person, background) and offsets [N, 4] of boxes [N, 4] in images [N]."""
        conventions = self.settings.box_conventions
        logits, deltas = self.box_head(pool_boxes(pyramid, boxes, image_indices, BOX_POOLED_SIZE, conventions))
        return logits, deltas

    def predict_keypoint_maps(self, pyramid: Sequence[Tensor], boxes: Tensor, image_indices: Tensor) -> Tensor:
        """Computes logits [N, 56, 56, J] of the joints in boxes [N, 4] in images [N].

        Raises:
            ValueError: the network has no keypoint head.
        """
        if self.keypoint_head is None:
            raise ValueError(f"{self.name} was built for boxes only: it has no keypoint head.")
        conventions = self.settings.box_conventions
        return self.keypoint_head(pool_boxes(pyramid, boxes, image_indices, KEYPOINT_POOLED_SIZE, conventions))


def _build_parts(settings: KeypointRcnnSettings) -> Parts:
    return Parts(
        build_trunk(settings),
        build_proposal_head(settings),
        build_box_head(settings),
        build_keypoint_head(settings) if settings.has_keypoint_head else None,
    )


def build_keypoint_rcnn(settings: KeypointRcnnSettings | None = None) -> KeypointRcnn:
    """Builds the network with fresh weights; None takes the ResNet-50 one."""
    return KeypointRcnn(settings or KeypointRcnnSettings())
