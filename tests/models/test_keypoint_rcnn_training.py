"""Labels, samples and losses of Keypoint R-CNN against Detectron2, and what holds for any weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, golden_folder, golden_input, golden_network, random_images, small_network

from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.labels import NEGATIVE, POSITIVE, label_anchors
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, select_proposals
from tfpose.models.keypoint_rcnn.sampling import (
    People,
    SamplingSettings,
    prioritize_at_random,
    sample_anchors,
    sample_labels,
    sample_proposals,
)


def prioritize_first(seed, count):
    """Takes the first boxes of each kind, as the golden values were made."""
    return tf.range(tf.cast(count, tf.float32))


LOSS_NAMES = {
    "anchor_classes": "loss_rpn_cls",
    "anchor_boxes": "loss_rpn_loc",
    "classes": "loss_cls",
    "boxes": "loss_box_reg",
    "keypoints": "loss_keypoint",
}
# All anchors, as the coarse levels have few.
SAMPLING = SamplingSettings(num_anchors=4000, num_positive_anchors=2000, num_proposals=24, num_positive_proposals=6)


class GoldenTraining:
    """A network, the photo with its annotations, and what the reference made of them."""

    def __init__(self, folder, model):
        with np.load(folder / f"train_{model}.npz") as arrays:
            self.golden = dict(arrays)
        self.network = golden_network(folder, model)
        images, sizes = golden_input(folder, "train_bgr", self.network.settings)
        keypoints = self.golden["gt_keypoints"]
        self.batch = {
            "images": images,
            "image_sizes": sizes,
            "boxes": tf.constant(self.golden["gt_boxes"][None]),
            "person_weights": tf.ones([1, len(keypoints)]),
            "keypoints": tf.constant(keypoints[None, ..., :2]),
            "joint_weights": tf.constant((keypoints[None, ..., 2] > 0).astype(np.float32)),
            "sample_seeds": tf.zeros([1, 2], tf.int32),
        }
        self.people = People(self.batch["boxes"], self.batch["person_weights"] > 0)

    def anchors(self):
        pyramid = self.network(self.batch["images"], training=True)
        return tf.concat(self.network.anchors(pyramid), axis=0)


@pytest.fixture(scope="module", params=["R50", "X101"])
def training(request, shared_dir):
    return GoldenTraining(golden_folder(shared_dir), request.param)


def test_anchor_labels_and_samples(training):
    golden = training.golden
    anchors, people = training.anchors(), training.people
    matches, labels = label_anchors(anchors, people.boxes[0], people.is_person[0])
    np.testing.assert_array_equal(matches, golden["anchor_match_index"])
    np.testing.assert_array_equal(labels, golden["anchor_labels_before_sampling"])
    _, sampled = sample_anchors(anchors, people, tf.zeros([1, 2], tf.int32), SamplingSettings(), prioritize_first)
    np.testing.assert_array_equal(sampled[0], golden["anchor_labels_sampled"])


def test_training_proposals(training):
    network, golden = training.network, training.golden
    pyramid = network(training.batch["images"], training=True)
    settings = network.settings.training_proposals
    sizes = training.batch["image_sizes"]
    proposals = select_proposals(*network.score_anchors(pyramid), network.anchors(pyramid), sizes, settings)
    distances = np.abs(proposals.boxes.numpy()[:, None] - golden["train_proposal_boxes"][None]).max(axis=-1)
    assert distances.shape == (1500, 1500)
    assert np.sum(distances.min(axis=0) > 0.05) <= 15
    assert np.sum(distances.min(axis=1) > 0.05) <= 15


def test_sampled_proposals(training):
    golden = training.golden
    boxes = tf.constant(golden["train_proposal_boxes"])
    proposals = ScoredBoxes(boxes, tf.constant(golden["train_proposal_logits"]), tf.zeros(len(boxes), tf.int32))
    seeds = tf.zeros([1, 2], tf.int32)
    samples = sample_proposals(proposals, training.people, seeds, SamplingSettings(), prioritize_first)
    # The reference lists the positives first.
    order = np.argsort(-samples.labels.numpy(), kind="stable")
    is_positive = samples.labels.numpy()[order] == POSITIVE
    np.testing.assert_allclose(samples.boxes.numpy()[order], golden["sampled_boxes"], atol=1e-4)
    np.testing.assert_array_equal(is_positive, golden["sampled_classes"] == 0)
    people = samples.people.numpy()[order][is_positive]
    np.testing.assert_array_equal(golden["gt_boxes"][people], golden["sampled_gt_boxes"][is_positive])


def test_losses(training):
    golden = training.golden
    results = tf.function(lambda batch: compute_losses(training.network, batch, prioritize=prioritize_first))(
        training.batch
    )
    expected = dict(zip(golden["loss_names"], golden["loss_values"], strict=True))
    for name, (total, weight) in results.items():
        assert float(total / weight) == pytest.approx(expected[LOSS_NAMES[name]], rel=1e-4), name
    assert len(results) == len(expected)


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
    assert results.keys() == LOSS_NAMES.keys()
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
    assert compute_losses(boxes_only, small_batch(), SAMPLING).keys() == LOSS_NAMES.keys() - {"keypoints"}


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
