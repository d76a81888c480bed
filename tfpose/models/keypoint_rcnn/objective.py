"""The training objective: the losses of a batch of annotated images. TensorFlow only, as the sampling is.

He et al., "Mask R-CNN", 2017, section 3.1. A batch holds B images with up to P people each, in pixels of the resized
images, where pixel i covers [i, i + 1]:

    images [B, H, W, 3], normalized and padded; image_sizes [B, 2] (height, width) without padding
    boxes [B, P, 4], person_weights [B, P] (0 for padding)
    keypoints [B, P, J, 2] (x, y), joint_weights [B, P, J] (0 for what is not annotated)
    sample_seeds [B, 2] int32
    ignored_sums [B, h + 1, w + 1], optional: regions without annotations, see `sum_ignored_cells`

Annotations give keypoints as pixel indices: add `settings.KEYPOINT_OFFSET`.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfpose.models.keypoint_rcnn import losses
from tfpose.models.keypoint_rcnn.heads import KEYPOINT_MAP_SIZE
from tfpose.models.keypoint_rcnn.labels import POSITIVE, encode_keypoints
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.models.keypoint_rcnn.proposals import select_proposals
from tfpose.models.keypoint_rcnn.sampling import (
    People,
    Prioritize,
    SampledProposals,
    SamplingSettings,
    prioritize_at_random,
    sample_anchors,
    sample_proposals,
)

Batch = Mapping[str, tf.Tensor]
WeightedSums = dict[str, losses.WeightedSum]


def compute_losses(
    network: KeypointRcnn,
    batch: Batch,
    sampling: SamplingSettings | None = None,
    prioritize: Prioritize = prioritize_at_random,
) -> WeightedSums:
    """Computes sum and divisor of each loss; the objective is the plain sum of the quotients.

    - `anchor_classes`, `anchor_boxes`: divided by the number of samples per image times the number of images;
    - `classes`, `boxes`: divided by the number of sampled proposals;
    - `keypoints`: divided by the number of labeled joints inside positive proposals. A network without this head has no
      such loss.

    Args:
        network: Network with its weights.
        batch: Batch of annotated images, as the module describes it.
        sampling: Numbers of samples; None takes the published ones.
        prioritize: Function that decides which anchors and proposals are sampled.
    """
    sampling = sampling or SamplingSettings()
    people = People(tf.cast(batch["boxes"], tf.float32), batch["person_weights"] > 0, batch.get("ignored_sums"))
    pyramid = network(batch["images"], training=True)
    logits, deltas = network.score_anchors(pyramid)
    anchors = network.anchors(pyramid)
    settings = network.settings.training_proposals
    proposals = select_proposals(logits, deltas, anchors, batch["image_sizes"], settings)
    samples = sample_proposals(proposals, people, batch["sample_seeds"], sampling, prioritize)
    results = _anchor_losses(logits, deltas, anchors, people, batch["sample_seeds"], sampling, prioritize)
    results |= _box_losses(network, pyramid, samples, people)
    if network.keypoint_head is not None:
        results["keypoints"] = _keypoint_loss(network, pyramid, samples, batch)
    return results


def _anchor_losses(
    logits: list[tf.Tensor],
    deltas: list[tf.Tensor],
    anchors: list[tf.Tensor],
    people: People,
    seeds: tf.Tensor,
    sampling: SamplingSettings,
    prioritize: Prioritize,
) -> WeightedSums:
    all_anchors = tf.concat(anchors, axis=0)
    matches, labels = sample_anchors(all_anchors, people, seeds, sampling, prioritize)
    boxes = _gather_people(people.boxes, matches)
    all_logits, all_deltas = tf.concat(logits, axis=1), tf.concat(deltas, axis=1)
    return {
        "anchor_classes": losses.anchor_class_loss(all_logits, labels, sampling.num_anchors),
        "anchor_boxes": losses.anchor_box_loss(all_deltas, labels, all_anchors, boxes, sampling.num_anchors),
    }


def _box_losses(
    network: KeypointRcnn, pyramid: list[tf.Tensor], samples: SampledProposals, people: People
) -> WeightedSums:
    class_logits, deltas = network.predict_boxes(pyramid, samples.boxes, samples.image_indices)
    boxes = tf.gather_nd(people.boxes, _person_slots(samples))
    return {
        "classes": losses.class_loss(class_logits, samples.labels),
        "boxes": losses.box_loss(deltas, samples.labels, samples.boxes, boxes),
    }


def _keypoint_loss(
    network: KeypointRcnn, pyramid: list[tf.Tensor], samples: SampledProposals, batch: Batch
) -> losses.WeightedSum:
    is_positive = samples.labels == POSITIVE
    samples = SampledProposals(*(tf.boolean_mask(values, is_positive) for values in samples))
    slots = _person_slots(samples)
    keypoints, weights = (tf.gather_nd(batch[name], slots) for name in ("keypoints", "joint_weights"))
    cells, is_target = encode_keypoints(tf.cast(keypoints, tf.float32), weights > 0, samples.boxes, KEYPOINT_MAP_SIZE)
    # The head is slow, so it only processes people with joints to learn.
    has_target = tf.reduce_any(is_target, axis=1)
    boxes, image_indices, cells, is_target = (
        _at_least_one(tf.boolean_mask(values, has_target))
        for values in (samples.boxes, samples.image_indices, cells, is_target)
    )
    return losses.keypoint_loss(network.predict_keypoint_maps(pyramid, boxes, image_indices), cells, is_target)


def _at_least_one(values: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because TensorFlow's convolutions fail on empty batches."""
    missing = tf.maximum(1 - tf.shape(values)[0], 0)
    return tf.pad(values, [[0, missing], *[[0, 0]] * (values.shape.rank - 1)])


def _person_slots(samples: SampledProposals) -> tf.Tensor:
    """Returns the position (image, person) of each sample, [N, 2]."""
    return tf.stack([samples.image_indices, samples.people], axis=1)


def _gather_people(values: tf.Tensor, matches: tf.Tensor) -> tf.Tensor:
    """Gathers values of people [B, P, 4] at indices [B, A] to [B, A, 4]."""
    return tf.gather(values, matches, batch_dims=1)
