"""Samples of boxes, balanced between people and background. TensorFlow only: the number of proposals varies.

Ren et al., "Faster R-CNN", 2015, section 3.1.3; Girshick, "Fast R-CNN", 2015, section 2.3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfpose.models.keypoint_rcnn.ignored_areas import ignored_shares
from tfpose.models.keypoint_rcnn.labels import IGNORED, NEGATIVE, POSITIVE, label_anchors, label_proposals
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes

# Function from a seed [2] int32 and a number N to N priorities [N] float32; the boxes of the smallest are sampled.
Prioritize = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Training ignores a box without an annotated person if more than this share of the box lies in ignored regions, because
# the box may show a person.
MAX_IGNORED_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """The numbers of boxes of an image that training uses.

    Attributes:
        num_anchors: Number of anchors sampled in each image.
        num_positive_anchors: Largest number of positive ones among these anchors.
        num_proposals: Number of proposals sampled in each image.
        num_positive_proposals: Largest number of positive ones among these proposals.
    """

    num_anchors: int = 256
    num_positive_anchors: int = 128
    num_proposals: int = 512
    num_positive_proposals: int = 128


class People(NamedTuple):
    """The annotated people of B images, padded.

    Attributes:
        boxes: [B, P, 4] in pixels of the resized images.
        is_person: [B, P] bool, False for padding.
        ignored_sums: [B, h + 1, w + 1], the regions without annotations, see `sum_ignored_cells`; None if there are
            none.
    """

    boxes: tf.Tensor
    is_person: tf.Tensor
    ignored_sums: tf.Tensor | None = None


class SampledProposals(NamedTuple):
    """The sampled proposals of all images.

    Attributes:
        boxes: [N, 4].
        image_indices: [N] int32, not decreasing.
        labels: [N] int32.
        people: [N] int32, the person of the image that each proposal overlaps most; without meaning for negatives.
    """

    boxes: tf.Tensor
    image_indices: tf.Tensor
    labels: tf.Tensor
    people: tf.Tensor


def prioritize_at_random(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Draws random priorities, which are equal for equal seeds."""
    return tf.random.stateless_uniform([count], seed)


def sample_anchors(
    anchors: tf.Tensor,
    people: People,
    seeds: tf.Tensor,
    settings: SamplingSettings,
    prioritize: Prioritize = prioritize_at_random,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the person of each anchor [B, A] int32, and labels [B, A] int32: `IGNORED` except for the samples.

    Args:
        anchors: [A, 4].
        people: People of B images.
        seeds: [B, 2] int32.
        settings: Numbers of samples.
        prioritize: Function that decides between anchors of one kind.
    """

    def sample(values: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        boxes, is_person, seed, *ignored_sums = values
        matches, labels = label_anchors(anchors, boxes, is_person)
        labels = _ignore_unknown(labels, anchors, *ignored_sums)
        priorities = prioritize(seed, tf.shape(labels)[0])
        is_sampled = sample_labels(labels, priorities, settings.num_anchors, settings.num_positive_anchors)
        return matches, tf.where(is_sampled, labels, IGNORED)

    signature = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int32))
    values = (people.boxes, people.is_person, seeds, *_optional(people.ignored_sums))
    return tf.map_fn(sample, values, fn_output_signature=signature, parallel_iterations=1)


def sample_proposals(
    proposals: ScoredBoxes,
    people: People,
    seeds: tf.Tensor,
    settings: SamplingSettings,
    prioritize: Prioritize = prioritize_at_random,
) -> SampledProposals:
    """Samples proposals for the training of the heads, among the given proposals and the boxes of the people.

    Args:
        proposals: Proposals of B images.
        people: People of B images.
        seeds: [B, 2] int32.
        settings: Numbers of samples.
        prioritize: Function that decides between proposals of one kind.
    """
    size = settings.num_proposals

    def sample(values: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        index, person_boxes, is_person, seed, *ignored_sums = values
        own = tf.boolean_mask(proposals.boxes, proposals.image_indices == index)
        boxes = tf.concat([own, tf.boolean_mask(person_boxes, is_person)], axis=0)
        matches, labels = label_proposals(boxes, person_boxes, is_person)
        labels = _ignore_unknown(labels, boxes, *ignored_sums)
        # Anchors and proposals must not get the same numbers.
        priorities = prioritize(seed + 1, tf.shape(labels)[0])
        is_sampled = sample_labels(labels, priorities, size, settings.num_positive_proposals)
        sampled = (tf.boolean_mask(values, is_sampled) for values in (boxes, labels, matches))
        return tuple(_pad_first_axis(values, size, IGNORED) for values in sampled)

    boxes, labels, matches = tf.map_fn(
        sample,
        (tf.range(tf.shape(seeds)[0]), people.boxes, people.is_person, seeds, *_optional(people.ignored_sums)),
        fn_output_signature=(
            tf.TensorSpec([size, 4], tf.float32),
            tf.TensorSpec([size], tf.int32),
            tf.TensorSpec([size], tf.int32),
        ),
        parallel_iterations=1,
    )
    is_sampled = labels != IGNORED
    image_indices = tf.cast(tf.where(is_sampled)[:, 0], tf.int32)
    boxes, labels, matches = (tf.boolean_mask(values, is_sampled) for values in (boxes, labels, matches))
    return SampledProposals(tf.stop_gradient(boxes), image_indices, labels, matches)


def sample_labels(labels: tf.Tensor, priorities: tf.Tensor, num_samples: int, max_positives: int) -> tf.Tensor:
    """Samples up to `max_positives` positives, and negatives up to `num_samples` samples in total, [N] bool.

    Args:
        labels: [N] int32.
        priorities: [N]; the smallest of each kind are taken.
        num_samples: Number of samples wanted.
        max_positives: Largest number of positives.
    """
    positives = _smallest(priorities, labels == POSITIVE, tf.constant(max_positives))
    num_negatives = num_samples - tf.reduce_sum(tf.cast(positives, tf.int32))
    return positives | _smallest(priorities, labels == NEGATIVE, num_negatives)


def _ignore_unknown(labels: tf.Tensor, boxes: tf.Tensor, ignored_sums: tf.Tensor | None = None) -> tf.Tensor:
    """Replaces the labels [N] of negative boxes [N, 4] in ignored regions by `IGNORED`."""
    if ignored_sums is None:
        return labels
    is_unknown = (labels == NEGATIVE) & (ignored_shares(boxes, ignored_sums) > MAX_IGNORED_SHARE)
    return tf.where(is_unknown, IGNORED, labels)


def _optional(values: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    return () if values is None else (values,)


def _smallest(priorities: tf.Tensor, is_candidate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Selects the candidates with the `count` smallest priorities, [N] bool."""
    positions = tf.cast(tf.where(is_candidate)[:, 0], tf.int32)
    _, best = tf.math.top_k(-tf.gather(priorities, positions), tf.minimum(count, tf.shape(positions)[0]))
    chosen = tf.gather(positions, best)[:, None]
    return tf.scatter_nd(chosen, tf.ones_like(best), tf.shape(priorities)) > 0


def _pad_first_axis(values: tf.Tensor, size: int, padding: int) -> tf.Tensor:
    missing = size - tf.shape(values)[0]
    rest = [[0, 0]] * (values.shape.rank - 1)
    return tf.pad(values, [[0, missing], *rest], constant_values=padding)
