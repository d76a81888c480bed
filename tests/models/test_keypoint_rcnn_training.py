"""Labels, samples and losses of Keypoint R-CNN against Detectron2."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import (
    forget_golden_networks,
    golden_folder,
    golden_input,
    golden_network,
    prioritize_first,
)

from tfpose.models.keypoint_rcnn.labels import POSITIVE, label_anchors
from tfpose.models.keypoint_rcnn.objective import compute_losses
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, select_proposals
from tfpose.models.keypoint_rcnn.sampling import (
    People,
    SamplingSettings,
    sample_anchors,
    sample_proposals,
)

LOSS_NAMES = {
    "anchor_classes": "loss_rpn_cls",
    "anchor_boxes": "loss_rpn_loc",
    "classes": "loss_cls",
    "boxes": "loss_box_reg",
    "keypoints": "loss_keypoint",
}


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


# The larger network first: TensorFlow keeps the memory that it has used, and the smaller one fits into it.
@pytest.fixture(scope="module", params=["X101", "R50"])
def training(request, shared_dir):
    yield GoldenTraining(golden_folder(shared_dir), request.param)
    forget_golden_networks()


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
