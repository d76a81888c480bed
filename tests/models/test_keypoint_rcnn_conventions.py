"""The conventions of the original Detectron, on numbers worked out by hand or with OpenCV.

Boxes of Detectron (x1, y1, x2, y2) name pixels; in this library the same box is (x1, y1, x2 + 1, y2 + 1).
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, random_images, small_network

from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings, write_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.anchors import grid_anchors, rounded_cell_anchors
from tfpose.models.keypoint_rcnn.box_coding import ANCHOR_WEIGHTS, clip_boxes, decode_boxes
from tfpose.models.keypoint_rcnn.conventions import CONVENTIONS
from tfpose.models.keypoint_rcnn.detection import People, find_people, rescale_people
from tfpose.models.keypoint_rcnn.images import prepare_images
from tfpose.models.keypoint_rcnn.keypoint_decoding import decode_keypoints
from tfpose.models.keypoint_rcnn.proposals import select_proposals
from tfpose.models.keypoint_rcnn.roi_align import RoiAlignSettings, align_boxes, assign_levels, pool_boxes
from tfpose.models.keypoint_rcnn.settings import RESNET50, STRIDES, ProposalSettings
from tfpose.models.keypoint_rcnn.suppression import suppress_boxes

DETECTRON = CONVENTIONS["detectron"]
SMALL_DETECTRON = dataclasses.replace(SMALL, conventions="detectron")


def to_edges(boxes):
    """From Detectron's boxes to ours."""
    return np.asarray(boxes, np.float32) + np.float32([0, 0, 1, 1])


def test_anchors_are_those_of_detectron():
    """p4: widths of the cell-sized anchors are round(sqrt(256 / ratio)), heights round(width * ratio), times 8."""
    anchors = rounded_cell_anchors(128.0, (0.5, 1.0, 2.0), 16)
    np.testing.assert_array_equal(anchors[0], to_edges([-84, -40, 99, 55]))
    np.testing.assert_array_equal(anchors[1], to_edges([-56, -56, 71, 71]))
    # Width round(11.31) = 11, height 22: 88 x 176 around (7.5, 7.5).
    np.testing.assert_array_equal(anchors[2], to_edges([-36, -80, 51, 95]))
    # p2: widths 6, 4, 3, heights 3, 4, 6.
    np.testing.assert_array_equal(
        rounded_cell_anchors(32.0, (0.5, 1.0, 2.0), 4),
        to_edges([[-22, -10, 25, 13], [-14, -14, 17, 17], [-10, -22, 13, 25]]),
    )


def test_the_network_takes_the_anchors_of_its_conventions():
    network = small_network(SMALL_DETECTRON)
    pyramid = [tf.zeros([1, 64 // stride, 96 // stride, 8]) for stride in STRIDES]
    cells = rounded_cell_anchors(8.0, (0.5, 1.0, 2.0), 4)
    np.testing.assert_array_equal(network.anchors(pyramid)[0], grid_anchors(cells, (16, 24), 4))


def decode_as_detectron(anchor, deltas):
    """Detectron's formulas with + 1 and - 1, weights of 1."""
    x1, y1, x2, y2 = anchor
    width, height = x2 - x1 + 1, y2 - y1 + 1
    center_x, center_y = x1 + 0.5 * width + deltas[0] * width, y1 + 0.5 * height + deltas[1] * height
    width, height = math.exp(deltas[2]) * width, math.exp(deltas[3]) * height
    return [
        center_x - 0.5 * width,
        center_y - 0.5 * height,
        center_x + 0.5 * width - 1,
        center_y + 0.5 * height - 1,
    ]


def test_offsets_overlaps_and_clipping_are_those_of_boxes_that_name_pixels():
    anchor, deltas = [-84.0, -40, 99, 55], [0.1, -0.2, 0.3, -0.4]
    expected = decode_as_detectron(anchor, deltas)
    decoded = decode_boxes(tf.constant([deltas]), tf.constant(to_edges([anchor])), ANCHOR_WEIGHTS)
    np.testing.assert_allclose(decoded[0], to_edges(expected), rtol=1e-6)
    # 4 of 4 + 4 - 2 pixels: the IoU with + 1 is 2 / 6, without it would be 1 / 5.
    boxes, scores = tf.constant(to_edges([[0, 0, 3, 0], [2, 0, 5, 0]])), tf.constant([0.9, 0.8])
    assert len(suppress_boxes(boxes, scores, 0.34, 2)) == 2
    assert len(suppress_boxes(boxes, scores, 0.33, 2)) == 1
    clipped = clip_boxes(tf.constant(to_edges([[-9, 5, -3, 7], [30, -8, 50, 90]])), tf.constant([[20, 40]]), 1.0)
    np.testing.assert_array_equal(clipped, to_edges([[0, 5, 0, 7], [30, 0, 39, 19]]))


def test_proposals_beyond_the_border_stay_as_its_last_pixel():
    anchors, logits = tf.constant(to_edges([[-40, 4, -30, 9], [3, 3, 8, 8]])), tf.constant([[2.0, 1.0]])
    arguments = ([logits], [tf.zeros([1, 2, 4])], [anchors], tf.constant([[32, 32]]), ProposalSettings())
    np.testing.assert_array_equal(select_proposals(*arguments, 1.0).boxes, to_edges([[0, 4, 0, 9], [3, 3, 8, 8]]))
    np.testing.assert_array_equal(select_proposals(*arguments).boxes, to_edges([[3, 3, 8, 8]]))


def test_features_are_those_of_the_unaligned_roi_align_up_to_the_last_pixel():
    rng = np.random.default_rng(0)
    pyramid = [tf.constant(rng.normal(size=(1, 128 // s, 160 // s, 3)), tf.float32) for s in STRIDES]
    boxes, images = tf.constant([[3.0, 5, 40, 60], [20, 11, 90, 33]]), tf.zeros(2, tf.int32)
    pooled = pool_boxes(pyramid, tf.constant(to_edges(boxes)), images, 7, DETECTRON)
    settings = RoiAlignSettings(7, is_aligned=False, samples_per_bin=2)
    expected = align_boxes(pyramid[:1], STRIDES[:1], boxes, images, tf.zeros(2, tf.int32), settings)
    np.testing.assert_allclose(pooled, expected, atol=1e-6)
    assert np.abs(pooled - pool_boxes(pyramid, tf.constant(to_edges(boxes)), images, 7)).max() > 0.1


def test_a_box_just_below_the_border_of_two_levels_belongs_to_the_coarser_one():
    """112 pixels less 2e-5 are half of the canonical size but for 1e-7, which is between the two constants."""
    boxes = tf.constant([[0.0, 0, 112 - 2e-5, 112 - 2e-5]])
    assert assign_levels(boxes, DETECTRON.level_epsilon).numpy().tolist() == [3]
    assert assign_levels(boxes).numpy().tolist() == [2]


@pytest.mark.parametrize("size", [(60, 90), (333, 210), (100, 800), (64, 64)])
def test_images_are_resized_as_opencv_does_with_one_factor(size):
    images = random_images(1, size)
    factor = 64 / min(size)
    if round(factor * max(size)) > 128:
        factor = 128 / max(size)
    expected = images[0][..., ::-1].astype(np.float32) - np.float32(SMALL.pixel_mean)
    expected = cv2.resize(expected, None, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    expected = expected / np.float32(SMALL.pixel_std)
    prepared, sizes = prepare_images(tf.constant(images), SMALL_DETECTRON)
    height, width = expected.shape[:2]
    assert sizes.numpy().tolist() == [[height, width]]
    np.testing.assert_allclose(prepared[0, :height, :width], expected, atol=1e-3)
    assert not prepared[0, height:].numpy().any() and not prepared[0, :, width:].numpy().any()


def test_boxes_go_back_by_the_same_factor():
    """A picture of 50x75 becomes 64x96; Detectron divides the corners that it names by 1.28."""
    boxes, points = [[12.8, 6.4, 63.0, 62.8]], [[[32.0, 16, 5, 0.5]]]
    people = People(tf.constant(to_edges(boxes)), tf.ones(1), tf.zeros(1, tf.int32), tf.constant(points))
    found = rescale_people(people, tf.constant([[64, 96]]), tf.constant([[50, 75]]), SMALL_DETECTRON)
    np.testing.assert_allclose(found.boxes, to_edges([[10, 5, 63 / 1.28, 49]]), rtol=1e-5)
    np.testing.assert_allclose(found.keypoints, [[[25, 12.5, 5, 0.5]]], rtol=1e-6)


def test_keypoint_maps_have_zeros_behind_their_border():
    """Half-pixel bilinear doubling: the outermost cells are 3/4 of the map's, and so 9/16 in the corners."""
    plain, legacy = small_network(SMALL), small_network(SMALL_DETECTRON)
    for network in (plain, legacy):
        layer = network.keypoint_head.get_layer("score_lowres")
        layer.kernel.assign(tf.zeros_like(layer.kernel))
        layer.bias.assign(tf.ones_like(layer.bias))
    pooled = tf.zeros([1, 14, 14, 8])
    np.testing.assert_allclose(plain.keypoint_head(pooled), 1.0)
    maps = legacy.keypoint_head(pooled)[0, ..., 0].numpy()
    assert maps.shape == (56, 56)
    np.testing.assert_allclose(maps[1:-1, 1:-1], 1.0)
    np.testing.assert_allclose(maps[0, 1:-1], 0.75)
    np.testing.assert_allclose(maps[0, 0], 0.5625)


def test_the_score_of_a_keypoint_is_its_share_of_the_enlarged_map():
    """All cells alike: one pixel of 30 x 20."""
    maps, box = tf.zeros([1, 56, 56, 1]), tf.constant([[5.0, 5, 35, 25]])
    np.testing.assert_allclose(decode_keypoints(maps, box, sums_enlarged_map=True)[0, 0, 3], 1 / 600, rtol=1e-4)
    np.testing.assert_allclose(decode_keypoints(maps, box)[0, 0, 3], 1 / 56**2, rtol=1e-4)


def test_both_conventions_find_people_and_not_the_same_ones():
    images = tf.constant(random_images(1, (60, 90)))
    networks = [small_network(settings) for settings in (SMALL, SMALL_DETECTRON)]
    found = [find_people(network, images) for network in networks]
    for people in found:
        assert len(people.boxes) > 0
        assert np.all(people.boxes >= 0) and np.all(people.boxes <= np.float32([90, 60, 90, 60]))
        assert np.isfinite(people.keypoints).all()
    assert found[0].boxes.shape != found[1].boxes.shape or np.abs(found[0].boxes - found[1].boxes).max() > 0.5


def test_conventions_are_kept_with_the_weights(tmp_path):
    write_keypoint_rcnn_settings(tmp_path, SMALL_DETECTRON)
    assert read_keypoint_rcnn_settings(tmp_path) == SMALL_DETECTRON
    assert RESNET50.conventions == "detectron2"
    with pytest.raises(ValueError, match="conventions must be one of"):
        dataclasses.replace(SMALL, conventions="caffe2")
