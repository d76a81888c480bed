"""What is written is what is scored: pycocotools and a PCK of this file's own give the metrics of metrics.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from record_writing import synthetic_image, write_dataset

from tfpose.data.records import read_table
from tfpose.evaluation.scoring import ScoringSettings
from tfpose.evaluation.splits import SplitOutput, SplitPrediction, evaluate_split
from tfpose.metrics.coco import STATISTICS
from tfpose.poses import Poses
from tfpose.posetrack import read_posetrack
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names
from tfpose.tracking.choice import TrackerChoice

CATEGORY = 7
NUM_FRAMES = 6
OWN_JOINTS = skeleton_from_names(
    "own", ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_hoof", "right_hoof"), ()
)


def make_table(directory, skeleton, sequence=""):
    images = []
    for number in range(NUM_FRAMES):
        image = synthetic_image(0, skeleton, size=(200, 300), num_people=3)
        image |= {"image_id": 40 + number, "frame": number, "file_name": f"{number}.jpg", "sequence": sequence}
        for person in image["people"]:
            person["keypoints"] = person["keypoints"] + [3 * number, 2 * person["track_id"]]
            person["box"] = np.array(person["box"]) + [3 * number, 2 * person["track_id"]] * 2
            person["head_box"] = [*person["keypoints"][0] - 6, *person["keypoints"][0] + 6]
            person["area"] = 60.0**2 if person["track_id"] else 200.0**2
        image["people"][2]["visibility"][:3] = 0
        images.append(image)
    write_dataset(directory, skeleton, images, "val")
    metadata = json.loads((directory / "metadata.json").read_text()) | {"category_id": CATEGORY}
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return read_table(directory, "val")


def noisy_poses(table, seed=0):
    """The annotated people with errors, dropped joints that keep their places in memory, and somebody else."""
    rng = np.random.default_rng(seed)
    found = []
    for start, stop in zip(table.first_person[:-1], table.first_person[1:], strict=True):
        rows = np.append(np.arange(start, stop)[rng.random(stop - start) > 0.1], start)
        keypoints = table.people["keypoints"][rows] + rng.normal(0, 4, (len(rows), table.skeleton.num_joints, 2))
        keypoints[-1] += 40
        boxes = table.people["box"][rows].astype(np.float64)
        boxes[-1] += 300
        scores = rng.uniform(0.2, 1, len(rows))
        joint_scores = rng.uniform(0.1, 1, keypoints.shape[:2]) * (rng.random(keypoints.shape[:2]) > 0.15)
        found.append(Poses(keypoints, joint_scores, scores, boxes, np.full(len(rows), -1)))
    return found


def evaluate(table, directory, tracker, file_format="2018"):
    poses = noisy_poses(table)
    prediction = SplitPrediction(poses, table.skeleton, "annotated", "none", {}, 0.2, has_annotated_boxes=True)
    evaluate_split(table, "val", prediction, SplitOutput(directory, file_format), ScoringSettings(), tracker)
    return json.loads((directory / "metrics.json").read_text())


def coco_statistics(table, joints, results):
    """The metrics that pycocotools gives; joints that the table lacks are not labeled."""
    people = []
    for row, image in enumerate(table.image_of_person):
        triples = np.zeros((len(joints), 3))
        for joint, name in enumerate(joints):
            if name in table.skeleton.joints:
                source = table.skeleton.index(name)
                visibility = table.people["visibility"][row, source]
                triples[joint] = [*table.people["keypoints"][row, source] * (visibility > 0), visibility]
        x1, y1, x2, y2 = table.people["box"][row].tolist()
        people.append(
            {"id": row + 1, "image_id": int(table.images["image_id"][image]), "category_id": CATEGORY, "iscrowd": 0}
            | {"keypoints": triples.ravel().tolist(), "num_keypoints": int((triples[:, 2] > 0).sum())}
            | {"area": float(table.people["area"][row]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        )
    truth = COCO()
    truth.dataset = {
        "images": [{"id": int(image_id)} for image_id in table.images["image_id"]],
        "annotations": people,
        "categories": [{"id": CATEGORY, "name": "person"}],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    skeletons = (table.skeleton, POSETRACK15, COCO17)
    known = {name: skeleton.sigmas[skeleton.index(name)] for skeleton in skeletons[::-1] for name in skeleton.joints}
    evaluation.params.kpt_oks_sigmas = np.array([known[name] for name in joints])
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(STATISTICS, (100 * value for value in evaluation.stats), strict=True))


def own_pck(table, joints, find_pose):
    """The share of labeled joints within 0.2 torso diagonals; `find_pose` takes image row and box, and gives [J, 3]."""
    correct = counted = 0
    for row, image in enumerate(table.image_of_person):
        pose = find_pose(int(image), table.people["box"][row].astype(float))
        true = {
            name: place
            for name, place, visibility in zip(
                table.skeleton.joints, table.people["keypoints"][row], table.people["visibility"][row], strict=True
            )
            if visibility
        }
        size = np.linalg.norm(true["right_shoulder"].astype(float) - true["left_hip"])
        for name, place in true.items():
            x, y, flag = (0, 0, 0) if pose is None else pose[joints.index(name)]
            counted += 1
            correct += bool(flag or x or y) and np.hypot(x - float(place[0]), y - float(place[1])) <= 0.2 * size
    return 100 * correct / counted


@pytest.mark.parametrize("tracker", [None, "payer2017", "online", "offline"])
def test_posetrack_files_hold_what_is_scored(tmp_path, tracker):
    table = make_table(tmp_path / "data", POSETRACK15, "000001_mpii_test")
    metrics = evaluate(table, tmp_path / "out", tracker and TrackerChoice(tracker))
    content = json.loads((tmp_path / "out" / "predictions" / "000001_mpii_test.json").read_text())
    joints = content["categories"][0]["keypoints"]
    expected = coco_statistics(table, joints, content["annotations"])
    assert metrics["coco"] == pytest.approx(expected, abs=1e-9)
    assert 0 < expected["AP"] < 95

    def find_pose(image, box):
        for person in content["annotations"]:
            x, y, width, height = person["bbox"]
            found = np.array([x, y, x + width, y + height])
            if person["image_id"] == table.images["image_id"][image] and np.allclose(found, box, atol=0.5):
                return np.reshape(person["keypoints"], (-1, 3))
        return None

    assert metrics["pck"]["total"] == pytest.approx(own_pck(table, joints, find_pose), abs=1e-9)
    assert 5 < metrics["pck"]["total"] < 95


def test_files_of_2017_hold_the_same_poses(tmp_path):
    table = make_table(tmp_path / "data", POSETRACK15, "000001_mpii_test")
    metrics = [evaluate(table, tmp_path / year, TrackerChoice("online"), year) for year in ("2017", "2018")]
    assert metrics[0]["coco"] == metrics[1]["coco"]
    sequences = [read_posetrack(tmp_path / year / "predictions" / "000001_mpii_test.json") for year in ("2017", "2018")]
    for old, new in zip(*(sequence.frames for sequence in sequences), strict=True):
        np.testing.assert_array_equal(old.keypoints, new.keypoints)
        np.testing.assert_array_equal(old.scores, new.scores)


def test_coco_results_hold_what_is_scored(tmp_path):
    table = make_table(tmp_path / "data", COCO17)
    metrics = evaluate(table, tmp_path / "out", TrackerChoice())
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {entry["category_id"] for entry in results} == {CATEGORY}
    assert not any("track_id" in entry for entry in results)
    expected = coco_statistics(table, COCO17.joints, results)
    assert metrics["coco"] == pytest.approx(expected, abs=1e-9)
    poses = noisy_poses(table)

    def find_pose(image, box):
        """COCO results have no boxes; the order of the people is that of the prediction."""
        of_image = [entry for entry in results if entry["image_id"] == table.images["image_id"][image]]
        for entry, found in zip(of_image, poses[image].boxes, strict=True):
            if np.allclose(found, box):
                return np.reshape(entry["keypoints"], (-1, 3))
        return None

    assert metrics["pck"]["total"] == pytest.approx(own_pck(table, list(COCO17.joints), find_pose), abs=1e-9)


def test_videos_with_own_joints_lose_none_of_them(tmp_path, capsys):
    table = make_table(tmp_path / "data", OWN_JOINTS, "000001_mpii_test")
    metrics = evaluate(table, tmp_path / "out", TrackerChoice())
    assert "note: PoseTrack's files lack left_hoof, right_hoof; predictions.json holds" in capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert all(entry["track_id"] >= 0 for entry in results)
    expected = coco_statistics(table, OWN_JOINTS.joints, results)
    assert metrics["coco"] == pytest.approx(expected, abs=1e-9)
    assert (tmp_path / "out" / "predictions" / "000001_mpii_test.json").is_file()
