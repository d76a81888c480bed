"""Boxes of a detector in evaluation: found, stored, read back, and in the programs."""

from __future__ import annotations

import dataclasses
import json
import types

import keypoint_rcnn_cases
import numpy as np
import pytest
import tensorflow as tf
import two_stage_runs
from program_runs import run
from record_writing import synthetic_image, write_dataset

from tfpose.boxes import xyxy_from_xywh
from tfpose.coco_results import read_detections, write_detections
from tfpose.data.records import read_table
from tfpose.evaluation.box_scores import score_boxes
from tfpose.exporting.two_stage import trace
from tfpose.exporting.two_stage_detector import TwoStageModule
from tfpose.inference import detectors
from tfpose.inference.detected_boxes import BoxSettings, boxes_of_table, find_boxes
from tfpose.inference.detectors import DetectorKind, load_detector
from tfpose.models.simplification import simplify_network
from tfpose.skeletons import POSETRACK15, POSETRACK18

CONFIG = "--config=configs/two_stage_resnet18_synthetic.py"
# Those of the config.
INFERENCE = {"use_flip_test": True, "shift_one_cell": True, "decoding": "dark", "blur_kernel": 7}
SELECTION = {"joint_threshold": 0.2, "oks_threshold": 0.9}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return two_stage_runs.write_pictures(tmp_path_factory.mktemp("data"), sequence=two_stage_runs.SEQUENCE)


@pytest.fixture(scope="module")
def table(dataset):
    return read_table(dataset, "val")


@pytest.fixture(scope="module")
def detector_run(tmp_path_factory):
    return two_stage_runs.write_detector_run(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def found(table, detector_run, tmp_path_factory):
    """The folder with the detector's file, and the boxes that it stands for."""
    folder = tmp_path_factory.mktemp("found")
    return folder, find_boxes(table, BoxSettings("detector", str(detector_run)), folder)


def assert_same_boxes(found, expected):
    for name in ("images", "boxes", "scores", "rows"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_boxes_of_a_detector_are_those_of_the_file_it_leaves(table, found, tmp_path):
    folder, found = found
    assert np.unique(found.images).tolist() == list(range(len(two_stage_runs.SIZES)))
    assert "best.weights.h5" in found.source and "detections.json" in found.source
    assert_same_boxes(find_boxes(table, BoxSettings(str(folder / "detections.json")), tmp_path), found)
    assert [path.name for path in folder.iterdir()] == ["detections.json"] and not list(tmp_path.iterdir())
    entry = json.loads((folder / "detections.json").read_text())[0]
    assert entry.keys() == {"image_id", "category_id", "bbox", "score"} and entry["category_id"] == 1


def test_thresholds_of_the_detector_and_of_its_file_are_the_same(table, detector_run, found, tmp_path):
    thresholds = {"score_threshold": 0.5, "iou_threshold": 0.3}
    folder, everything = found
    some = find_boxes(table, BoxSettings("detector", str(detector_run), **thresholds), tmp_path / "some")
    assert 0 < len(some) < len(everything)
    assert_same_boxes(find_boxes(table, BoxSettings(str(folder / "detections.json"), **thresholds), tmp_path), some)


def test_float32_boxes_survive_a_file_to_the_bit(tmp_path):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 2000, (100, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + rng.lognormal(2, 2, (100, 2)).astype(np.float32)], axis=1)
    scores = rng.uniform(size=100).astype(np.float32)
    write_detections(tmp_path / "boxes.json", np.arange(100), boxes, scores)
    found = read_detections(tmp_path / "boxes.json")
    np.testing.assert_array_equal(found.boxes.astype(np.float32), boxes)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.image_ids, np.arange(100))


class Nobody:
    """Looks at every picture and finds no people."""

    source = "nobody"

    def find_people(self, pictures):
        assert all(picture.read().dtype == np.uint8 for picture in pictures)
        return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in range(len(pictures))]


@pytest.fixture
def nobody(monkeypatch):
    kind = DetectorKind("nobody", lambda name: name == "nobody", lambda *_: Nobody())
    monkeypatch.setitem(detectors.DETECTORS, "nobody", kind)
    return BoxSettings("detector", "nobody")


class OneBoxPerPicture:
    """Finds a person in every picture, at another place in each."""

    source = "one"

    def find_people(self, pictures):
        return [(np.array([[k, 1, k + 9, 12]], np.float32), np.ones(1, np.float32)) for k in range(len(pictures))]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((np.ones((3, 4)), np.ones(2)), (np.ones((1, 4)), np.ones(2)), r"got \(3, 4\) and \(2,\) of picture 0"),
        (([], []), (np.ones((1, 5)), np.ones(1)), r"got \(1, 5\) and \(1,\) of picture 1"),
        (([], []), (np.ones((1, 4)), np.ones((1, 1))), r"got \(1, 4\) and \(1, 1\) of picture 1"),
        (([[0, 0, 8, 8]], [1]), None, "must return boxes of 2 pictures, got 1"),
    ],
)
def test_what_is_no_box_and_score_of_each_picture_is_refused(table, monkeypatch, tmp_path, first, second, message):
    found = [people for people in (first, second) if people is not None]
    detector = types.SimpleNamespace(source="mine", find_people=lambda pictures: found)
    kind = DetectorKind("mine", lambda name: name == "mine", lambda *_: detector)
    monkeypatch.setitem(detectors.DETECTORS, "mine", kind)
    with pytest.raises(ValueError, match=f"mine: find_people .*{message}"):
        boxes_of_table(table, load_detector("mine"), slice(2))


def test_boxes_stay_in_their_pictures_where_videos_share_image_ids(table, monkeypatch, tmp_path):
    kind = DetectorKind("one", lambda name: name == "one", lambda *_: OneBoxPerPicture())
    monkeypatch.setitem(detectors.DETECTORS, "one", kind)
    repeated = dataclasses.replace(table, images=table.images | {"image_id": np.arange(table.num_images) % 2})
    found = find_boxes(repeated, BoxSettings("detector", "one"), tmp_path)
    assert found.images.tolist() == found.boxes[:, 0].tolist() == list(range(table.num_images))
    metrics = score_boxes(repeated, found)
    assert list(map(str, metrics.items())) == list(map(str, score_boxes(table, found).items()))
    # Nobody knows to which video a box of another program belongs.
    write_detections(tmp_path / "other.json", np.zeros(1, int), found.boxes[:1], found.scores[:1])
    with pytest.raises(ValueError, match=r"must be in one of the .* images, got none; its first image_id is 0"):
        find_boxes(repeated, BoxSettings(str(tmp_path / "other.json")), tmp_path)


def test_boxes_of_a_file_that_look_like_two_corners_are_told(table, tmp_path, capsys):
    ids, (height, width) = table.image_ids, np.transpose(table.sizes(slice(None)))
    corners = np.stack([width / 3, height / 3, width - 1, height - 1], axis=1)
    # The file takes corners for sizes.
    write_detections(tmp_path / "corners.json", ids, xyxy_from_xywh(corners), np.ones(len(ids)))
    write_detections(tmp_path / "sizes.json", ids, corners, np.ones(len(ids)))
    find_boxes(table, BoxSettings(str(tmp_path / "sizes.json")), tmp_path)
    assert "note" not in capsys.readouterr().err
    find_boxes(table, BoxSettings(str(tmp_path / "corners.json")), tmp_path)
    assert "corners.json: 5 of 5 boxes reach beyond their image: 'bbox' must be x, y, width" in capsys.readouterr().err


def test_no_people_at_all_are_a_file_without_boxes(table, nobody, tmp_path):
    assert len(find_boxes(table, nobody, tmp_path)) == 0
    assert json.loads((tmp_path / "detections.json").read_text()) == []
    assert len(find_boxes(table, BoxSettings(str(tmp_path / "detections.json"), iou_threshold=0.5), tmp_path)) == 0


def test_a_broken_picture_is_named_and_no_file_is_left(nobody, tmp_path):
    images = [synthetic_image(i, POSETRACK15) for i in range(2)]
    images[1]["image"] = images[1]["image"][:200]
    table = read_table(write_dataset(tmp_path / "data", POSETRACK15, images, "val"), "val")
    with pytest.raises(ValueError, match=r"000001\.jpg .*cannot decode the picture"):
        find_boxes(table, nobody, tmp_path)
    assert not (tmp_path / "detections.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "detector"}, "--boxes=detector and --detector=WORKDIR must be given together"),
        (
            {"source": "boxes.json", "detector": "runs/x"},
            "must be given together, got --boxes=boxes.json and --detector=runs/x",
        ),
        ({"score_threshold": 0.5}, "--box_score_threshold and --box_nms cannot be combined with --boxes=ground_truth"),
        ({"iou_threshold": 0.5}, "--box_score_threshold and --box_nms cannot be combined with --boxes=ground_truth"),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        BoxSettings(**settings)


# As a user runs them.


@pytest.fixture(scope="module")
def flags(dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("keypoints")
    two_stage_runs.write_keypoint_run(workdir, inference=INFERENCE, selection=SELECTION)
    return [CONFIG, f"--workdir={workdir}", "--box_extension_pixels=9", f"--config.data.directory={dataset}"]


@pytest.fixture(scope="module")
def evaluated(run_evaluation, flags, detector_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluated")
    boxes = ("--boxes=detector", f"--detector={detector_run}", "--box_nms=0.4")
    result = run_evaluation(*flags, *boxes, f"--output_dir={output}")
    assert result.returncode == 0, result.stderr[-3000:]
    return output


def read_predictions(output):
    return json.loads((output / "predictions" / f"{two_stage_runs.SEQUENCE}.json").read_text())


def test_stored_detections_give_the_same_poses_and_figures(run_evaluation, flags, evaluated, tmp_path):
    result = run_evaluation(*flags, f"--boxes={evaluated / 'detections.json'}", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert read_predictions(tmp_path) == read_predictions(evaluated)
    assert len(read_predictions(evaluated)["annotations"]) > 0
    found, expected = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, evaluated))
    assert found["coco"] == expected["coco"]
    assert "best.weights.h5" in expected["provenance"]["boxes"]
    thresholds = expected["provenance"]["thresholds"]
    assert (thresholds["box_nms"], thresholds["box_extension_pixels"]) == (0.4, 9.0)


def test_the_exported_system_gives_the_poses_of_evaluation(flags, detector_run, evaluated, table, monkeypatch):
    """The function of the signature, which takes less time than to write and read all of them."""
    exported = []
    monkeypatch.setattr("tfpose.systems.two_stage.export_two_stage", lambda *parts: exported.append(parts) or [])
    # Evaluation takes the detector's own threshold.
    threshold = keypoint_rcnn_cases.SMALL.detections.score_threshold
    boxes = [f"--detector={detector_run}", "--box_nms=0.4", f"--box_score_threshold={threshold}"]
    done = run("-m", "tfpose.export", flags[1], *boxes, flags[2], "--output=unused")
    assert done.returncode == 0, done.stderr[-3000:]
    ((network, system, detector, *_),) = exported
    module = TwoStageModule(simplify_network(network), system, detector)
    find_poses = trace(module.find_poses, tf.TensorSpec([None], tf.string))
    found = find_poses(tf.constant([table.read_image_bytes(row) for row in range(table.num_images)]))
    written = read_predictions(evaluated)
    order = [POSETRACK18.joints.index(joint) for joint in POSETRACK15.joints]
    for row, image in enumerate(written["images"]):
        people = [entry["keypoints"] for entry in written["annotations"] if entry["image_id"] == image["id"]]
        expected = np.array(people).reshape(len(people), -1, 3)[:, order]
        assert found["num_persons"][row] == len(people)
        # Joints without a score are not written.
        is_joint = expected[..., 2] > 0
        exported = found["keypoints"][row, : len(people), :, :2].numpy()
        assert is_joint.mean() > 0.5
        np.testing.assert_allclose(exported[is_joint], expected[is_joint, :2], atol=1e-2)


def test_wrong_flags_end_with_one_line(run_evaluation, flags, detector_run, tmp_path):
    cases = [
        (["--boxes=detector"], "--boxes=detector and --detector=WORKDIR must be given together"),
        ([f"--detector={detector_run}"], "must be given together, got --boxes=ground_truth and --detector="),
        (["--boxes=detector", f"--detector={tmp_path}"], "--detector must be the work folder of a Keypoint R-CNN"),
        (["--box_nms=0.5"], "cannot be combined with --boxes=ground_truth"),
        (["--boxes=detector", f"--detector={detector_run}", "--box_nms=7"], "box_nms"),
    ]
    for arguments, message in cases:
        result = run_evaluation(*flags, *arguments, f"--output_dir={tmp_path / 'out'}")
        assert result.returncode in (1, 2)
        assert "Traceback" not in result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith(("error:", "FATAL"))]
        assert len(lines) == 1 and message in result.stderr, result.stderr[-2000:]
    assert not (tmp_path / "out").exists()
