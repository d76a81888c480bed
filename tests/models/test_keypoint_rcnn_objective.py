"""Losses and samples of Keypoint R-CNN: what holds for any weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, prioritize_first, random_images, small_network

from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.labels import NEGATIVE, POSITIVE
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.sampling import (
    SamplingSettings,
    prioritize_at_random,
    sample_labels,
)

LOSSES = {"anchor_classes", "anchor_boxes", "classes", "boxes", "keypoints"}
# All anchors, as the coarse levels have few.
SAMPLING = SamplingSettings(num_anchors=4000, num_positive_anchors=2000, num_proposals=24, num_positive_proposals=6)


def small_batch(num_images=2, num_people=3, seed=0):
    rng = np.random.default_rng(seed)
    images, sizes = prepare_images(tf.constant(random_images(num_images, (64, 96))), SMALL)
    corners = rng.uniform(0, 40, (num_images, num_people, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, corners.shape)], axis=-1)
    shape = (num_images, num_people, SMALL.num_joints)
    shares = rng.uniform(0, 1, (*shape, 2))
    keypoints = boxes[..., None, :2] + shares * (boxes[..., None, 2:] - boxes[..., None, :2])
    return {
        "images": images,
        "image_sizes": sizes,
        "boxes": tf.constant(boxes, tf.float32),
        "person_weights": tf.ones([num_images, num_people]),
        "keypoints": tf.constant(keypoints, tf.float32),
        "joint_weights": tf.constant(rng.integers(0, 2, shape), tf.float32),
        "sample_seeds": tf.reshape(tf.range(2 * num_images), [num_images, 2]),
    }


@pytest.fixture(scope="module")
def network():
    return small_network()


@tf.function
def differentiate(network, batch):
    with tf.GradientTape() as tape:
        results = compute_losses(network, batch, SAMPLING)
        total = tf.add_n([tf.math.divide_no_nan(*pair) for pair in results.values()])
    return results, tape.gradient(total, [variable.value for variable in network.trainable_variables])


def test_every_weight_gets_a_finite_gradient(network):
    results, gradients = differentiate(network, small_batch())
    assert results.keys() == LOSSES
    assert float(results["classes"][1]) == 2 * SAMPLING.num_proposals
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all() and values.any(), variable.path


def test_padding_changes_no_loss(network):
    batch = small_batch()
    padded = dict(batch)
    for name in ("boxes", "person_weights", "keypoints", "joint_weights"):
        values = batch[name]
        garbage = tf.fill([2, 2, *values.shape[2:]], 0.0 if name == "person_weights" else np.nan)
        padded[name] = tf.concat([values, garbage], axis=1)
    expected, _ = differentiate(network, batch)
    results, gradients = differentiate(network, padded)
    for name, pair in expected.items():
        np.testing.assert_allclose(results[name], pair, rtol=1e-5)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_images_without_people_only_teach_background(network):
    batch = {**small_batch(), "person_weights": tf.zeros([2, 3])}
    results, gradients = differentiate(network, batch)
    for name in ("anchor_boxes", "boxes", "keypoints"):
        assert float(results[name][0]) == 0
    assert float(results["anchor_classes"][0]) > 0 and float(results["classes"][0]) > 0
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_a_network_without_keypoint_head_has_no_keypoint_loss():
    boxes_only = build_keypoint_rcnn(SMALL.without_keypoints())
    assert compute_losses(boxes_only, small_batch(), SAMPLING).keys() == LOSSES - {"keypoints"}


def test_a_step_along_the_gradient_lowers_the_loss():
    network, batch = small_network(dataclasses.replace(SMALL, normalization="batch")), small_batch()

    def total(results):
        return sum(float(pair[0]) / max(float(pair[1]), 1) for pair in results.values())

    results, gradients = differentiate(network, batch)
    before = total(results)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign_sub(1e-3 * tf.convert_to_tensor(gradient))
    # The boxes that the samples come from move too, hence the same samples are only nearly the same.
    assert total(differentiate(network, batch)[0]) < before


def test_samples_are_those_of_the_seed_and_balanced():
    rng = np.random.default_rng(0)
    labels = tf.constant(rng.choice([POSITIVE, NEGATIVE, -1], 400, p=[0.3, 0.5, 0.2]), tf.int32)
    seed, other = tf.constant([1, 2]), tf.constant([1, 3])
    chosen = [sample_labels(labels, prioritize_at_random(s, 400), 60, 20).numpy() for s in (seed, seed, other)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    for is_sampled in chosen:
        assert np.sum(labels.numpy()[is_sampled] == POSITIVE) == 20
        assert np.sum(labels.numpy()[is_sampled] == NEGATIVE) == 40


def test_missing_positives_are_filled_with_negatives():
    labels = tf.constant([NEGATIVE] * 10 + [POSITIVE] * 2 + [-1] * 5)
    is_sampled = sample_labels(labels, prioritize_first(tf.zeros([2], tf.int32), 17), 8, 4).numpy()
    assert np.flatnonzero(is_sampled).tolist() == [0, 1, 2, 3, 4, 5, 10, 11]
