"""The single operations of Keypoint R-CNN against Detectron2 and against hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfpose.boxes import intersection_over_union
from tfpose.models.keypoint_rcnn.anchors import cell_anchors, grid_anchors
from tfpose.models.keypoint_rcnn.box_coding import (
    ANCHOR_WEIGHTS,
    PROPOSAL_WEIGHTS,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    has_area,
)
from tfpose.models.keypoint_rcnn.detection import select_boxes
from tfpose.models.keypoint_rcnn.keypoint_decoding import decode_keypoints, resize_bicubic
from tfpose.models.keypoint_rcnn.labels import encode_keypoints, label_anchors, label_proposals
from tfpose.models.keypoint_rcnn.losses import keypoint_loss, smooth_l1
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, select_proposals
from tfpose.models.keypoint_rcnn.roi_align import RoiAlignSettings, align_boxes, assign_levels, pool_boxes
from tfpose.models.keypoint_rcnn.settings import STRIDES, DetectionSettings, ProposalSettings
from tfpose.models.keypoint_rcnn.suppression import suppress_boxes, suppress_grouped_boxes

TOLERANCE = 1e-4
MAP_SIZES = ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
LEVELS = range(2, 7)


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "keypoint_rcnn" / "operations.npz") as arrays:
        return dict(arrays)


def assert_close(values, expected):
    np.testing.assert_allclose(np.asarray(values), expected, rtol=0, atol=TOLERANCE)


def channels_last(maps):
    return tf.constant(maps.transpose(0, 2, 3, 1))


def channels_first(maps):
    return maps.numpy().transpose(0, 3, 1, 2)


def align(golden, features, settings):
    rois = golden["roialign_rois"]
    stride = 1 / float(golden["roialign_scale"])
    images = tf.constant(rois[:, 0].astype(np.int32))
    return align_boxes([features], [stride], tf.constant(rois[:, 1:]), images, tf.zeros_like(images), settings)


@pytest.mark.parametrize("wrap", (lambda f: f, tf.function), ids=("eager", "graph"))
@pytest.mark.parametrize(
    "size, aligned, sampling", [(7, 1, 0), (7, 1, 2), (7, 0, 0), (7, 0, 2), (14, 1, 0), (14, 1, 2)]
)
def test_roi_align(golden, size, aligned, sampling, wrap):
    features = channels_last(golden["roialign_features"])
    settings = RoiAlignSettings(size, bool(aligned), sampling)
    pooled = wrap(lambda values: align(golden, values, settings))(features)
    assert_close(channels_first(pooled), golden[f"roialign_out_{size}_aligned{aligned}_sampling{sampling}"])


def test_roi_align_gradient(golden):
    features = channels_last(golden["roialign_features"])
    weights = channels_last(golden["roialign_grad_weight"])

    @tf.function
    def differentiate(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = tf.reduce_sum(align(golden, features, RoiAlignSettings(7)) * weights)
        return tape.gradient(total, features)

    gradient = channels_first(differentiate(features))
    expected = golden["roialign_grad"]
    # The reference divides 0 by 0 for the empty box, whose true gradient is 0; no other box is near.
    is_known = np.isfinite(expected)
    assert np.sum(~is_known) == 60
    assert_close(gradient[is_known], expected[is_known])
    assert not gradient[~is_known].any()


def test_roi_align_gives_the_value_of_constant_maps_and_nothing_for_empty_or_outside_boxes():
    maps = [tf.fill([2, 8, 8, 3], value) for value in (2.0, 5.0)]
    boxes = tf.constant([[4.0, 4, 20, 12], [3, 3, 3, 9], [-90, -90, -50, -50], [1, 2, 7, 60]])
    pooled = align_boxes(maps, [4, 8], boxes, tf.constant([0, 1, 0, 1]), tf.constant([0, 0, 1, 1]), RoiAlignSettings(7))
    np.testing.assert_allclose(pooled[0], 2.0, rtol=1e-6)
    assert not pooled[1].numpy().any() and not pooled[2].numpy().any()
    np.testing.assert_allclose(pooled[3], 5.0, rtol=1e-6)


def test_roi_align_of_a_ramp_is_the_middle_of_each_bin():
    """Cell i of stride 4 lies in the plane of the boxes at 4 (i + 0.5)."""
    columns = 4 * (np.arange(16, dtype=np.float32) + 0.5)
    ramp = tf.constant(np.broadcast_to(columns[None, None, :, None], (1, 16, 16, 1)).copy())
    pooled = align_boxes([ramp], [4], tf.constant([[8.0, 8, 36, 50]]), [0], [0], RoiAlignSettings(7))
    np.testing.assert_allclose(pooled[0, 3, :, 0], 8 + 4 * (np.arange(7) + 0.5), rtol=1e-6)


def test_boxes_are_pooled_alike_alone_and_among_many_of_other_sizes():
    rng = np.random.default_rng(0)
    pyramid = [tf.constant(rng.normal(size=(2, 256 // s, 320 // s, 4)), tf.float32) for s in STRIDES]
    corners = rng.uniform(0, 200, (300, 2))
    boxes = np.concatenate([corners, corners + rng.lognormal(4, 1.2, (300, 2))], axis=1).astype(np.float32)
    images = rng.integers(0, 2, 300).astype(np.int32)
    pooled = pool_boxes(pyramid, tf.constant(boxes), tf.constant(images), 7)
    assert np.unique(assign_levels(tf.constant(boxes))).tolist() == [2, 3, 4, 5]
    for row in (0, 17, 150, 299):
        alone = pool_boxes(pyramid, tf.constant(boxes[row : row + 1]), tf.constant(images[row : row + 1]), 7)
        np.testing.assert_allclose(pooled[row], alone[0], atol=1e-5)


def test_no_boxes_are_pooled_to_nothing():
    pyramid = [tf.zeros([1, 32 // s, 32 // s, 4]) for s in STRIDES[:4]]
    pooled = tf.function(lambda boxes: pool_boxes(pyramid, boxes, tf.zeros([0], tf.int32), 7))(tf.zeros([0, 4]))
    assert pooled.shape == (0, 7, 7, 4)


def test_pooling_by_level(golden):
    pyramid = [channels_last(golden[f"pooler_p{level}"]) for level in (2, 3, 4, 5)]
    boxes = tf.constant(golden["pooler_boxes"])
    np.testing.assert_array_equal(assign_levels(boxes), golden["pooler_levels"])
    np.testing.assert_array_equal(assign_levels(tf.constant(golden["level_boxes"])), golden["level_values"])
    pooled = pool_boxes(pyramid, boxes, tf.zeros(len(boxes), tf.int32), 7)
    assert_close(channels_first(pooled), golden["pooler_out"])


@pytest.mark.parametrize("case", (0, 2, 3))
def test_suppression(golden, case):
    boxes, scores, groups, threshold, expected = (
        golden[f"nms{case}_{name}"] for name in ("boxes", "scores", "groups", "threshold", "keep")
    )
    kept = suppress_grouped_boxes(
        tf.constant(boxes), tf.constant(scores), tf.constant(groups), groups.max() + 1, float(threshold), len(boxes)
    )
    np.testing.assert_array_equal(kept, expected)


def test_suppression_keeps_boxes_at_the_threshold_and_the_first_of_equal_ones():
    boxes = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 10, 5]])
    scores = tf.constant([0.9, 0.9, 0.8, 0.7])
    assert suppress_boxes(boxes, scores, 0.5, 10).numpy().tolist() == [0, 2, 3]
    assert suppress_boxes(boxes, scores, 0.49, 10).numpy().tolist() == [0, 2]
    is_candidate = tf.constant([False, True, False, True])
    assert suppress_boxes(boxes, scores, 0.5, 1, is_candidate).numpy().tolist() == [1]


def test_decoded_boxes(golden):
    source, deltas = tf.constant(golden["box_src"]), tf.constant(golden["box_deltas"])
    assert_close(decode_boxes(deltas, source, ANCHOR_WEIGHTS), golden["box_decoded_rpn"])
    assert_close(decode_boxes(deltas, source, PROPOSAL_WEIGHTS), golden["box_decoded_roi"])
    two_classes = tf.reshape(golden["box_deltas_two_classes"], (-1, 2, 4))
    decoded = decode_boxes(two_classes, source[:, None], PROPOSAL_WEIGHTS)
    assert_close(tf.reshape(decoded, (-1, 8)), golden["box_decoded_two_classes"])


@pytest.mark.parametrize("kind, weights", [("rpn", ANCHOR_WEIGHTS), ("roi", PROPOSAL_WEIGHTS)])
def test_encoded_boxes(golden, kind, weights):
    source, target = tf.constant(golden["box_src"]), tf.constant(golden[f"box_target_{kind}"])
    encoded = encode_boxes(target, source, weights)
    assert_close(encoded, golden[f"box_encoded_{kind}"])
    np.testing.assert_allclose(decode_boxes(encoded, source, weights), target, atol=1e-3)


def test_clipped_boxes_and_overlaps(golden):
    clipped = clip_boxes(tf.constant(golden["box_src"]), tf.constant(golden["box_clip_hw"]))
    assert_close(clipped, golden["box_clipped"])
    np.testing.assert_array_equal(has_area(clipped), golden["box_nonempty"])
    overlaps = intersection_over_union(tf.constant(golden["box_src"]), tf.constant(golden["iou_other"]), ops)
    assert_close(overlaps, golden["iou"])


@pytest.mark.parametrize("level", LEVELS)
def test_anchors(golden, level):
    cells = cell_anchors(2.0 ** (level + 3), (0.5, 1.0, 2.0))
    assert_close(cells, golden[f"anchor_cell_p{level}"])
    anchors = grid_anchors(cells, MAP_SIZES[level - 2], STRIDES[level - 2])
    assert_close(anchors, golden[f"anchors_p{level}"])


def test_proposals(golden):
    logits, deltas, anchors = (
        [tf.constant(golden[f"{name}_p{level}"]) for level in LEVELS]
        for name in ("rpn_logits", "rpn_deltas", "anchors")
    )
    sizes = tf.constant(golden["rpn_image_hw"])
    settings = ProposalSettings(max_per_level=200, max_proposals=100, iou_threshold=0.7)
    proposals = tf.function(select_proposals)(logits, deltas, anchors, sizes, settings)
    for image in (0, 1):
        is_own = proposals.image_indices == image
        assert_close(proposals.boxes[is_own], golden[f"rpn_boxes_{image}"])
        assert_close(proposals.scores[is_own], golden[f"rpn_scores_{image}"])


def test_anchors_that_are_not_finite_or_lose_their_area_give_no_proposals():
    anchors = tf.constant([[0.0, 0, 8, 8], [40, 0, 48, 8], [4, 4, 12, 12], [16, 16, 24, 24]])
    deltas = tf.constant([[[0.0] * 4, [0.0] * 4, [np.nan, 0, 0, 0], [0.0] * 4]])
    logits = tf.constant([[0.0, 3, 2, np.inf]])
    proposals = select_proposals([logits], [deltas], [anchors], tf.constant([[32, 32]]), ProposalSettings())
    np.testing.assert_array_equal(proposals.boxes, [[0, 0, 8, 8]])


def test_detections(golden):
    scores = tf.nn.softmax(golden["det_logits"])[:, 0]
    candidates = ScoredBoxes(tf.constant(golden["det_boxes"]), scores, tf.zeros(len(scores), tf.int32))
    size = tf.constant(golden["det_hw"][None])
    people, positions = select_boxes(candidates, size, DetectionSettings())
    np.testing.assert_array_equal(positions, golden["det_out_index"])
    assert_close(people.boxes, golden["det_out_boxes"])
    assert_close(people.scores, golden["det_out_scores"])
    _, best = select_boxes(candidates, size, DetectionSettings(max_detections=10))
    np.testing.assert_array_equal(best, golden["det_out_index_top10"])


def test_keypoint_decoding(golden):
    decoded = decode_keypoints(channels_last(golden["kp_maps"]), tf.constant(golden["kp_boxes"]))
    assert_close(decoded, golden["kp_xyls"])


@pytest.mark.parametrize("case", range(4))
def test_bicubic_resizing(golden, case):
    expected = golden[f"bicubic_out_{case}"][0]
    assert_close(resize_bicubic(tf.constant(golden["kp_maps"][0, :1]), *expected.shape[1:]), expected)


def test_one_bright_cell_is_decoded_to_its_middle():
    maps = np.zeros((1, 56, 56, 1), np.float32)
    maps[0, 10, 30] = 50
    keypoints = decode_keypoints(tf.constant(maps), tf.constant([[100.0, 200, 156, 256]])).numpy()[0, 0]
    np.testing.assert_allclose(keypoints, [130.5, 210.5, 50, 1], rtol=1e-5)


def test_keypoint_targets_and_loss(golden):
    keypoints, boxes = golden["kpt_keypoints"], tf.constant(golden["kpt_boxes"])
    cells, is_target = encode_keypoints(keypoints[..., :2], keypoints[..., 2] > 0, boxes, 56)
    np.testing.assert_array_equal(is_target, golden["kpt_valid"])
    np.testing.assert_array_equal(cells, golden["kpt_target"])
    logits = channels_last(golden["kpt_loss_logits"].astype(np.float32))
    total, count = keypoint_loss(logits, cells[:2], is_target[:2])
    assert float(total / count) == pytest.approx(float(golden["kpt_loss"]), abs=TOLERANCE)


@pytest.mark.parametrize("kind, label", [("rpn", label_anchors), ("roi", label_proposals)])
def test_labels(golden, kind, label):
    anchors = tf.constant(np.concatenate([golden[f"anchors_p{level}"] for level in LEVELS]))
    people = golden["match_gt"]
    matches, labels = label(anchors, tf.constant(people), tf.ones(len(people), bool))
    np.testing.assert_array_equal(matches, golden[f"match_{kind}_index"])
    np.testing.assert_array_equal(labels, golden[f"match_{kind}_label"])
    padded = np.concatenate([people, anchors[:2].numpy()])
    is_person = np.arange(len(padded)) < len(people)
    np.testing.assert_array_equal(label(anchors, tf.constant(padded), is_person)[1], labels)
    assert not np.any(label(anchors, tf.constant(people), np.zeros(len(people), bool))[1] == 1)


@pytest.mark.parametrize("beta", (0.0, 0.5, 1.0))
def test_smooth_l1(golden, beta):
    total = np.sum(smooth_l1(tf.constant(golden["sl1_x"] - golden["sl1_y"]), beta))
    assert total == pytest.approx(float(golden[f"sl1_sum_beta{beta}"]), abs=TOLERANCE)
