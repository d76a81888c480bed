"""COCO results: what is read is what the file says, and a wrong file is named with its fault."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from tfpose import coco_results
from tfpose.poses import NO_TRACK_ID
from tfpose.skeletons import COCO17


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_results_are_what_pycocotools_loads(tmp_path):
    keypoints = np.array([[[1.5, 2], [3, 4], [5, 6]]])
    path = tmp_path / "results.json"
    coco_results.write_keypoint_results(path, np.array([10]), keypoints, np.array([[0.5, 0.25, 1]]), np.array([0.75]))
    api = COCO()
    categories = [{"id": 1, "name": "person", "keypoints": ["head", "left_hand", "right_hand"]}]
    api.dataset = {"images": [{"id": 10}], "annotations": [], "categories": categories}
    api.createIndex()
    loaded = api.loadRes(str(path))
    (person,) = loaded.loadAnns(loaded.getAnnIds())
    assert person["keypoints"] == [1.5, 2, 0.5, 3, 4, 0.25, 5, 6, 1]
    assert person["score"] == 0.75


def test_people_whom_a_tracker_does_not_follow_have_no_identity(tmp_path):
    row = {"image_id": 1, "keypoints": [1.0] * 51, "score": 1.0}
    content = [row | {"track_id": 5}, row | {"track_id": -1}, row | {"track_id": None}, row]
    found = coco_results.read_keypoint_results(write(tmp_path / "r.json", content), COCO17)
    assert found.track_ids.tolist() == [5, *[NO_TRACK_ID] * 3]


def test_no_people_give_no_results():
    assert coco_results.keypoint_results(np.zeros(0), np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0)) == []


def test_a_result_that_is_not_a_number_leaves_no_file(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(ValueError):
        coco_results.write_keypoint_results(
            path, np.array([1]), np.full((1, 1, 2), np.nan), np.ones((1, 1)), np.ones(1)
        )
    assert list(tmp_path.iterdir()) == []


def test_detections_of_people_are_in_the_order_of_the_file(tmp_path):
    entries = [
        {"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.25},
        {"image_id": 3, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 0.9},
        {"image_id": 3, "category_id": 1, "bbox": [5, 5, 1, 1], "score": 0.75},
    ]
    detections = coco_results.read_detections(write(tmp_path / "d.json", entries))
    assert detections.image_ids.tolist() == [3, 1, 3]
    assert detections.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 1, 1], [5, 5, 6, 6]]
    assert detections.scores.tolist() == [0.5, 0.25, 0.75]
    assert detections.notes == (f"{tmp_path / 'd.json'}: 1 of 4 boxes are left out: their category_id is not 1",)
    nobody = coco_results.read_detections(write(tmp_path / "none.json", []))
    assert (nobody.image_ids.shape, nobody.boxes.shape, nobody.scores.shape) == ((0,), (0, 4), (0,))


def test_detections_have_the_category_of_the_dataset_or_that_of_coco(tmp_path):
    boxes = [{"image_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5} | kind for kind in ({"category_id": 1}, {})]
    path = write(tmp_path / "d.json", [*boxes, boxes[0] | {"category_id": 0}])
    assert len(coco_results.read_detections(path, 0).scores) == 2
    path = write(tmp_path / "d.json", boxes[:1])
    detections = coco_results.read_detections(path, 0)
    assert len(detections.scores) == 1
    assert detections.notes == (
        f"{path}: no box has category_id 0, the category of people in the dataset; the boxes with 1, people in COCO, "
        "are used",
    )
    path = write(tmp_path / "d.json", [boxes[0] | {"category_id": 5}])
    with pytest.raises(ValueError, match="category_id must be 0, the category of people in the dataset, got 5"):
        coco_results.read_detections(path, 0)


@pytest.mark.parametrize("box", [[0.1, 0.2, 0.3, 0.4], [9, 9, -5, -5], [3, 3, 0, 0]])
def test_detections_without_an_extent_are_told(tmp_path, box):
    content = [{"image_id": 3, "bbox": each, "score": 0.5} for each in ([1, 2, 3, 4], box)]
    path = write(tmp_path / "d.json", content)
    (note,) = coco_results.read_detections(path).notes
    assert note.startswith(f"{path}: 1 of 2 boxes have less than 1 square pixel (first: {box}); 'bbox' must be x, y,")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_id": 3, "bbox": [1, 2, 3], "score": 0.5}, "detection 0: 'bbox' must be 4 numbers"),
        ({"image_id": 3, "bbox": [1, 2, 3, 4]}, "detection 0: must have .* number 'score'"),
        ({"image_id": "3", "bbox": [1, 2, 3, 4], "score": 1}, "detection 0: must have a whole number 'image_id'"),
    ],
)
def test_a_wrong_detection_is_named(tmp_path, entry, message):
    with pytest.raises(ValueError, match=message):
        coco_results.read_detections(write(tmp_path / "d.json", [entry]))


def test_detections_published_for_real_videos(shared_dir):
    folder = shared_dir / "data" / "posetrack18_mini" / "annotations"
    detections = coco_results.read_detections(folder / "posetrack18_val_human_detections.json")
    assert len(detections.scores) == len(json.loads((folder / "posetrack18_val_human_detections.json").read_text()))
    assert np.all(detections.boxes[:, 2:] > detections.boxes[:, :2])
