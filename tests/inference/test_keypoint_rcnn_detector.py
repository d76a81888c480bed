"""A Keypoint R-CNN as a detector, with random weights: its boxes are those of the network, in every way of asking."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from keypoint_rcnn_cases import SMALL, random_images, small_network

from tfpose.checkpoints import write_weights
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keypoint_rcnn import KeypointRcnnDetector, load_keypoint_rcnn_detector
from tfpose.inference.keypoint_rcnn_system import write_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.detection import find_people
from tfpose.models.keypoint_rcnn.settings import DetectionSettings

SIZES = [(60, 90), (60, 90), (90, 60), (60, 90), (130, 70)]


@pytest.fixture(scope="module")
def network():
    """Random weights find no one with any certainty."""
    return small_network(dataclasses.replace(SMALL, detections=DetectionSettings(score_threshold=0.02)))


@pytest.fixture(scope="module")
def detector(network):
    return KeypointRcnnDetector(network)


@pytest.fixture(scope="module")
def images():
    return [random_images(1, size, seed)[0] for seed, size in enumerate(SIZES)]


def find(detector, images):
    return detector.find_people([Picture(lambda image=image: image) for image in images])


def assert_same(found, expected, atol=1e-3):
    assert len(found) == len(expected)
    for (boxes, scores), (expected_boxes, expected_scores) in zip(found, expected, strict=True):
        np.testing.assert_allclose(boxes, expected_boxes, atol=atol)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


@pytest.fixture(scope="module")
def found(detector, images):
    """What most tests compare with, computed once."""
    return find(detector, images)


def test_boxes_are_those_of_the_network(network, images, found):
    expected = [find_people(network, tf.constant(image[None])) for image in images]
    assert sum(len(people.boxes) > 0 for people in expected) >= 3
    assert_same(found, [(people.boxes, people.scores) for people in expected])


def test_batches_change_nothing(network, images, found):
    assert_same(find(KeypointRcnnDetector(network, batch_size=2), images), found)


def test_boxes_lie_in_their_image_and_the_best_come_first(found):
    for (height, width), (boxes, scores) in zip(SIZES, found, strict=True):
        assert boxes.dtype == scores.dtype == np.float32
        assert np.all(boxes >= 0) and np.all(boxes[:, 2:] <= [width, height])
        assert np.all(boxes[:, 2:] > boxes[:, :2])
        assert np.all(np.diff(scores) <= 0)


def test_an_image_without_people_has_no_boxes(network, detector, images):
    settings = dataclasses.replace(SMALL, detections=dataclasses.replace(SMALL.detections, score_threshold=1.0))
    (boxes, scores), _ = find(KeypointRcnnDetector(network, settings), images[:2])
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    assert find(detector, []) == []


def test_the_same_inside_a_saved_model(network, images, found, tmp_path):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.detector = KeypointRcnnDetector(network)
            self.network = self.detector.network

        @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
        def __call__(self, image):
            return self.detector.find_people_in_graph(image)

    tf.saved_model.save(Module(), str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert_same([tuple(values.numpy() for values in loaded(image)) for image in images], found)


def test_work_folder_round_trip(network, images, found, tmp_path):
    write_keypoint_rcnn_settings(tmp_path, network.settings)
    for name in ("best", "model"):
        write_weights(network, tmp_path / f"{name}.weights.h5")
    assert_same(find(load_keypoint_rcnn_detector(tmp_path, "best"), images[:1]), found[:1])
    _, scores = found[0]
    threshold = float(np.median(scores))
    ((_, kept),) = find(load_keypoint_rcnn_detector(tmp_path, "last", score_threshold=threshold), images[:1])
    np.testing.assert_allclose(kept, scores[scores > threshold], atol=1e-5)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_arrays_are_refused(detector, image):
    with pytest.raises(ValueError, match=r"images must be \[height, width, 3\] uint8, got"):
        find(detector, [image])


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the work folder of a Keypoint R-CNN"):
        load_keypoint_rcnn_detector(tmp_path)
