"""Regions where nothing is known: their share of boxes, and that no background is sampled there."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfpose.models.keypoint_rcnn.ignored_areas import IGNORED_STRIDE, ignored_shares, sum_ignored_cells
from tfpose.models.keypoint_rcnn.labels import NEGATIVE, POSITIVE
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes
from tfpose.models.keypoint_rcnn.sampling import People, SamplingSettings, sample_anchors, sample_proposals

CELLS = (16, 24)
SIZE = np.array(CELLS) * IGNORED_STRIDE
SAMPLING = SamplingSettings(num_anchors=400, num_positive_anchors=20, num_proposals=400, num_positive_proposals=20)


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.integers(-10, 80, (count, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1).astype(np.float32)


def test_shares_are_those_counted_pixel_by_pixel():
    is_ignored = np.random.default_rng(1).random(CELLS) < 0.4
    pixels = np.kron(is_ignored, np.ones((IGNORED_STRIDE, IGNORED_STRIDE)))
    boxes = random_boxes(60)
    found = ignored_shares(tf.constant(boxes), tf.constant(sum_ignored_cells(is_ignored))).numpy()
    for box, share in zip(boxes.astype(int), found, strict=True):
        x1, y1, x2, y2 = np.clip(box, 0, np.tile(SIZE[::-1], 2))
        part = pixels[y1:y2, x1:x2]
        np.testing.assert_allclose(share, part.mean() if part.size else 0.0, atol=1e-5)


def test_boxes_between_pixels_are_interpolated():
    is_ignored = np.zeros(CELLS, bool)
    is_ignored[0, 0] = True
    boxes = tf.constant([[0, 0, 8, 4], [1, 1, 5, 3], [3.5, 0, 4.5, 4]], tf.float32)
    shares = ignored_shares(boxes, tf.constant(sum_ignored_cells(is_ignored)))
    np.testing.assert_allclose(shares, [0.5, 0.75, 0.5], atol=1e-6)


def sampled(with_regions):
    """Labels of anchors, and sampled proposals, with the left half of the image unknown and a person in it."""
    is_ignored = np.zeros(CELLS, bool)
    is_ignored[:, : CELLS[1] // 2] = True
    sums = tf.constant(sum_ignored_cells(is_ignored)[None]) if with_regions else None
    people = People(tf.constant([[[10.0, 10, 30, 50]]]), tf.constant([[True]]), sums)
    boxes = np.concatenate([random_boxes(200), [[11, 11, 30, 49], [10, 12, 31, 50]]]).astype(np.float32)
    boxes = (np.clip(boxes, 0, np.tile(SIZE[::-1], 2)) + [0, 0, 1, 1]).astype(np.float32)
    seeds = tf.constant([[1, 2]])
    _, labels = sample_anchors(tf.constant(boxes), people, seeds, SAMPLING)
    proposals = ScoredBoxes(tf.constant(boxes), tf.zeros(len(boxes)), tf.zeros(len(boxes), tf.int32))
    samples = sample_proposals(proposals, people, seeds, SAMPLING)
    in_region = ignored_shares(tf.constant(boxes), tf.constant(sum_ignored_cells(is_ignored))).numpy() > 0.5
    return boxes, labels[0].numpy(), samples, in_region


def test_no_background_is_sampled_in_unknown_regions():
    boxes, labels, samples, in_region = sampled(with_regions=True)
    assert not np.any(labels[in_region] == NEGATIVE)
    assert np.all(labels[-2:] == POSITIVE)
    chosen = {tuple(box) for box in samples.boxes.numpy()[samples.labels.numpy() == NEGATIVE]}
    assert not chosen & {tuple(box) for box in boxes[in_region]}
    assert chosen


def test_elsewhere_nothing_changes():
    _, labels, samples, in_region = sampled(with_regions=True)
    boxes, plain_labels, plain_samples, _ = sampled(with_regions=False)
    assert np.any(plain_labels[in_region] == NEGATIVE)
    np.testing.assert_array_equal(labels[~in_region], plain_labels[~in_region])
    assert np.sum(samples.labels == POSITIVE) == np.sum(plain_samples.labels == POSITIVE) > 2
    assert len(plain_samples.boxes) == len(boxes) + 1
