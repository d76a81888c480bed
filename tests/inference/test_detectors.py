"""Detectors by name, and a file of boxes as a detector."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import two_stage_runs
from small_system import small_table

from tfpose.inference import detectors
from tfpose.inference.detected_boxes import boxes_of_table
from tfpose.inference.detectors import DetectorKind, load_detector, load_exportable_detector
from tfpose.inference.detectors.boxes_file import BoxesFile
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keypoint_rcnn import KeypointRcnnDetector
from tfpose.inference.detectors.whole_image import WholeImageDetector

BOX, SHIFTED, APART = [0.0, 0, 10, 10], [1.0, 0, 10, 10], [50.0, 50, 10, 10]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"))


def write_file(path, *entries):
    """A file of COCO results from image ids, boxes xywh and scores."""
    names = ("image_id", "bbox", "score")
    path.write_text(json.dumps([dict(zip(names, entry, strict=True)) for entry in entries]))
    return path


def pictures(*image_ids):
    """Pictures that nobody may look at."""

    def read():
        raise AssertionError("the picture was read")

    return [Picture(read, image_id) for image_id in image_ids]


def test_a_file_gives_each_picture_its_boxes_without_reading_it(tmp_path):
    path = write_file(tmp_path / "boxes.json", (3, BOX, 0.4), (999, BOX, 0.9), (2, APART, 0.8), (3, APART, 0.6))
    detector = BoxesFile(path)
    assert detector.source == str(path)
    found = detector.find_people(pictures(1, 3, 2))
    assert [scores.tolist() for _, scores in found] == [[], [0.4, 0.6], [0.8]]
    assert [boxes.tolist() for boxes, _ in found] == [[], [[0, 0, 10, 10], [50, 50, 60, 60]], [[50, 50, 60, 60]]]
    assert found[0][0].shape == (0, 4)
    kept = BoxesFile(path, score_threshold=0.6).find_people(pictures(1, 3, 2))
    assert [scores.tolist() for _, scores in kept] == [[], [0.6], [0.8]]


def test_boxes_of_a_file_suppress_those_of_their_picture_alone(tmp_path):
    path = write_file(
        tmp_path / "boxes.json", (0, BOX, 0.5), (0, SHIFTED, 0.9), (2, SHIFTED, 0.4), (2, APART, 0.3), (4, BOX, 0.1)
    )
    kept = BoxesFile(path, score_threshold=0.2, iou_threshold=0.5).find_people(pictures(0, 2, 4))
    assert [scores.tolist() for _, scores in kept] == [[0.9], [0.4, 0.3], []]
    everything = BoxesFile(path, iou_threshold=0.9).find_people(pictures(0, 2, 4))
    assert [scores.tolist() for _, scores in everything] == [[0.9, 0.5], [0.4, 0.3], [0.1]]


def test_boxes_of_a_table_are_matched_by_image_id(table, tmp_path):
    path = write_file(
        tmp_path / "boxes.json", (3, [1, 2, 10, 20], 0.4), (999, [1, 2, 10, 20], 0.9), (2, [5, 5, 10, 20], 0.8)
    )
    found = boxes_of_table(table, BoxesFile(path))
    assert found.images.tolist() == [1, 2]
    np.testing.assert_allclose(found.boxes[1], [1, 2, 11, 22])
    assert len(boxes_of_table(table, BoxesFile(path, score_threshold=0.5))) == 1


def test_a_file_of_other_pictures_only_is_an_error(table, tmp_path):
    path = write_file(tmp_path / "boxes.json", (999, [1, 2, 3, 4], 1))
    message = (
        "boxes.json: at least one of its 1 boxes must be in one of the 4 images, got none; its first image_id is 999"
    )
    with pytest.raises(ValueError, match=message):
        boxes_of_table(table, BoxesFile(path))


def test_a_work_folder_is_recognized_by_its_description(tmp_path):
    two_stage_runs.write_detector_run(tmp_path)
    for load in (load_detector, load_exportable_detector):
        detector = load(str(tmp_path), "best", 0.25, 0.5)
        assert isinstance(detector, KeypointRcnnDetector)
        assert detector.source == str(tmp_path / "best.weights.h5")
        detections = detector.settings.detections
        assert (detections.score_threshold, detections.iou_threshold) == (0.25, 0.5)


def test_only_a_keypoint_rcnn_computes_in_bfloat16(tmp_path):
    two_stage_runs.write_detector_run(tmp_path)
    for load in (load_detector, load_exportable_detector):
        rounded = load(str(tmp_path), dtype="bfloat16")
        assert rounded.network.trunk.get_layer("stem_conv1").kernel.dtype == "bfloat16"
        assert rounded.source == f"{tmp_path / 'best.weights.h5'} in bfloat16"
        assert isinstance(load("whole_image", dtype="bfloat16"), WholeImageDetector)


FORMS_IN_GRAPHS = (
    r"--detector must be the work folder of a Keypoint R-CNN \(keypoint_rcnn.json\) or "
    r"the work folder of a PicoDet \(picodet.json\) or whole_image"
)


def test_names_of_no_kind_are_refused_with_the_forms_of_all(tmp_path):
    message = f"{FORMS_IN_GRAPHS} or keras_hub:PRESET, or the name of a public detector such as picodet_s_320, got "
    for load in (load_detector, load_exportable_detector):
        with pytest.raises(FileNotFoundError, match=message):
            load(str(tmp_path))


def test_a_detector_that_cannot_be_in_a_graph_is_refused_before_it_is_loaded():
    message = f"{FORMS_IN_GRAPHS}, got 'keras_hub:x'; other"
    with pytest.raises(ValueError, match=message):
        load_exportable_detector("keras_hub:x")


def test_the_whole_image_is_one_person_also_in_a_graph():
    detector = load_exportable_detector("whole_image", score_threshold=0.5)
    image = np.zeros((30, 40, 3), np.uint8)
    ((boxes, scores),) = detector.find_people([Picture(lambda: image)])
    np.testing.assert_array_equal(boxes, [[0, 0, 40, 30]])
    np.testing.assert_array_equal(scores, [1])
    in_graph = tf.function(detector.find_people_in_graph)(tf.constant(image))
    np.testing.assert_array_equal(in_graph[0], boxes)
    np.testing.assert_array_equal(in_graph[1], scores)


def test_a_new_detector_needs_an_entry_and_nothing_else(table, monkeypatch):
    class Center:
        """Finds one person in the center of each picture."""

        source = "center"

        def __init__(self, name, weights, score_threshold, iou_threshold):
            self.arguments = (name, weights, score_threshold, iou_threshold)

        def find_people(self, pictures):
            sizes = [picture.read().shape[:2] for picture in pictures]
            return [(np.array([[w / 4, h / 4, 3 * w / 4, 3 * h / 4]]), np.ones(1)) for h, w in sizes]

    monkeypatch.setitem(detectors.DETECTORS, "center", DetectorKind("center", lambda name: name == "center", Center))
    detector = load_detector("center", "last", 0.5)
    assert detector.arguments == ("center", "last", 0.5, None)
    people = boxes_of_table(table, detector)
    assert people.images.tolist() == list(range(table.num_images)) and people.source == "center"
    with pytest.raises(FileNotFoundError, match="or keras_hub:PRESET or center, or the name of .*, got 'middle'"):
        load_detector("middle")
