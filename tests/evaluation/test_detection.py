"""Evaluation of a person detector: metrics by hand, and the files that it leaves."""

from __future__ import annotations

import dataclasses
import json
import re
import types

import numpy as np
import pytest
from keypoint_rcnn_cases import small_network
from record_writing import synthetic_image, write_dataset
from small_detector import SETTINGS, small_table

from tfpose.checkpoints import write_weights
from tfpose.coco_results import read_detections
from tfpose.data.detection_images import read_picture
from tfpose.data.records import read_table
from tfpose.evaluation import dtype_choice
from tfpose.evaluation.box_scores import score_boxes
from tfpose.evaluation.detection import DetectorRun, evaluate_detector
from tfpose.evaluation.splits import SplitOutput
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keypoint_rcnn import load_keypoint_rcnn_detector
from tfpose.inference.inference_dtype import InferenceDtype
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_skeleton, write_keypoint_rcnn_settings
from tfpose.inference.table_people import TablePeople, build_find_function, find_table_people
from tfpose.models.keypoint_rcnn.settings import DetectionSettings
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18
from tfpose.systems import keypoint_rcnn as system
from tfpose.systems.system import RunChoice

PERMISSIVE = dataclasses.replace(SETTINGS, detections=DetectionSettings(score_threshold=0.02))


def found_people(images, boxes, scores):
    num_people = len(boxes)
    return TablePeople(
        np.array(images, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.zeros((num_people, 0, 2)),
        np.zeros((num_people, 0)),
    )


def table_of(directory, boxes_of_images, **fields):
    """Images of 100 x 100 with people in these boxes."""
    images = []
    for index, boxes in enumerate(boxes_of_images):
        image = synthetic_image(index, POSETRACK15, (100, 100), num_people=len(boxes))
        for person, box in zip(image["people"], boxes, strict=True):
            area = float((box[2] - box[0]) * (box[3] - box[1]))
            person |= {"box": box, "area": area}
        images.append({**image, **{name: values[index] for name, values in fields.items()}})
    return read_table(write_dataset(directory, POSETRACK15, images), "train")


def test_boxes_by_hand(tmp_path):
    """Two of three people are found, one with an overlap of 0.8; a box on nobody comes last."""
    table = table_of(tmp_path, [[[0, 0, 40, 40]], [[10, 10, 50, 50], [60, 60, 90, 90]]])
    people = found_people([0, 1, 1], [[0, 0, 40, 40], [10, 10, 42, 50], [0, 60, 20, 90]], [0.9, 0.8, 0.7])
    metrics = score_boxes(table, people)
    # Precision 1 up to a recall of 2/3: 67 of the 101 points of the curve.
    assert metrics["AP50"] == metrics["AP75"] == pytest.approx(100 * 67 / 101)
    # An overlap of 0.8 counts at the first seven of ten thresholds; one of three found is 34 points.
    assert metrics["AP"] == pytest.approx(100 * (7 * 67 + 3 * 34) / 1010)
    assert metrics["AR100"] == pytest.approx(100 * (7 * 2 / 3 + 3 / 3) / 10)


def test_nothing_found_is_zero_and_nothing_to_find_is_nan(tmp_path):
    nobody = found_people([], [], [])
    assert score_boxes(table_of(tmp_path / "a", [[[0, 0, 40, 40]]]), nobody)["AP"] == 0
    assert np.isnan(score_boxes(table_of(tmp_path / "b", [[]]), nobody)["AP"])


def test_what_is_found_in_ignore_regions_crowds_and_unlabeled_images_does_not_count(tmp_path):
    fields = {
        "ignore_points": [[50, 50, 99, 50, 99, 99, 50, 99], [], []],
        "ignore_lengths": [[4], [], []],
        "is_labeled": [1, 1, 0],
    }
    table = table_of(tmp_path, [[[0, 0, 40, 40]], [[0, 0, 60, 60], [70, 0, 100, 30]], []], **fields)
    table.people["is_crowd"][1] = 1
    true = [(0, [0, 0, 40, 40], 0.1), (1, [70, 0, 100, 30], 0.1)]
    others = [(0, [60, 60, 90, 90], 0.9), (1, [5, 5, 30, 50], 0.8), (2, [0, 0, 50, 50], 0.7)]
    assert score_boxes(table, found_people(*zip(*sorted(true + others, key=lambda row: row[0]), strict=True)))[
        "AP"
    ] == pytest.approx(100)
    outside = [*true, (0, [50, 0, 90, 40], 0.9)]
    assert score_boxes(table, found_people(*zip(*sorted(outside, key=lambda row: row[0]), strict=True)))["AP"] < 90


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A work folder with random weights, its network, and a table."""
    workdir = tmp_path_factory.mktemp("run")
    network = small_network(PERMISSIVE)
    write_keypoint_rcnn_settings(workdir, network.settings)
    write_weights(network, workdir / "best.weights.h5")
    return workdir, network, small_table(tmp_path_factory.mktemp("data"))


def test_batches_find_what_single_images_give(run):
    _, network, table = run
    find = build_find_function(network)
    one, three = (find_table_people(find, table, batch_size) for batch_size in (1, 4))
    assert len(one) > 5 and one.has_keypoints
    for name in ("images", "boxes", "scores", "keypoints", "joint_scores"):
        np.testing.assert_allclose(getattr(three, name), getattr(one, name), atol=1e-2, err_msg=name)


def test_evaluation_writes_detections_and_metrics(run, tmp_path, capsys):
    workdir, _, table = run
    path = evaluate_detector(table, "train", POSETRACK15, DetectorRun(workdir), tmp_path, batch_size=2)
    metrics = json.loads(path.read_text())
    assert set(metrics["boxes"]) >= {"AP", "AP50", "AP75"}
    assert set(metrics["coco"]) >= {"AP", "AP50"}
    assert metrics["provenance"]["weights"].endswith("best.weights.h5")
    printed = capsys.readouterr().out
    assert f"AP50 {metrics['boxes']['AP50']:.1f}" in printed and "COCO keypoints" in printed
    detections = read_detections(tmp_path / "detections.json")
    assert len(detections.scores) == metrics["provenance"]["detections"]
    picture = table.images["image_id"][1]
    is_of_picture = detections.image_ids == picture
    boxes, scores = detections.boxes[is_of_picture], detections.scores[is_of_picture]
    detector = load_keypoint_rcnn_detector(workdir)
    ((expected_boxes, expected_scores),) = detector.find_people([Picture(lambda: read_picture(table, 1))])
    np.testing.assert_allclose(boxes, expected_boxes, atol=1e-2)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_keypoints_are_scored_as_the_joints_of_the_network(run, tmp_path, monkeypatch):
    """The data may have as many joints with other names."""
    _, network, _ = run
    monkeypatch.setattr(system, "evaluate_detector", lambda table, split, skeleton, *others: skeleton)
    request = types.SimpleNamespace(
        run=RunChoice(tmp_path), split="val", output=SplitOutput(tmp_path), given_flags=[], provenance=None
    )
    config = types.SimpleNamespace(skeleton="", evaluation={})
    table = types.SimpleNamespace(skeleton=POSETRACK18)
    write_keypoint_rcnn_settings(tmp_path, dataclasses.replace(network.settings, num_joints=17))
    assert system.evaluate(config, table, request) is POSETRACK18
    write_keypoint_rcnn_settings(tmp_path, dataclasses.replace(network.settings, num_joints=17), COCO17)
    assert system.evaluate(config, table, request).joints == COCO17.joints
    write_keypoint_rcnn_settings(tmp_path, network.settings, COCO17)
    with pytest.raises(ValueError, match="'skeleton' must have the 15 joints of the network, got 17"):
        read_keypoint_rcnn_skeleton(tmp_path)


@pytest.mark.slow
def test_auto_measures_the_boxes_of_the_detector(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dtype_choice, "find_obstacle", lambda: "")
    workdir, _, table = run
    dtype = InferenceDtype("auto", str(table.shards[0].parent), "train")
    path = evaluate_detector(table, "train", POSETRACK15, DetectorRun(workdir, dtype=dtype), tmp_path, batch_size=4)
    metrics, printed = json.loads(path.read_text()), capsys.readouterr().err
    # On noise, random weights have an AP of nearly 0 in both formats.
    assert re.search(r"note: inference in bfloat16: AP on split train: float32 \S+, bfloat16 ", printed)
    assert metrics["provenance"]["thresholds"]["inference_dtype"] == "bfloat16"


def test_another_skeleton_is_refused(run, tmp_path):
    workdir, _, table = run
    with pytest.raises(ValueError, match="the network has 15 joints, skeleton coco17 has 17"):
        evaluate_detector(table, "train", COCO17, DetectorRun(workdir), tmp_path)
