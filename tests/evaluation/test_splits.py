"""What is done with the people found in a split: here the annotated ones stand for what a network found."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.data.records import read_table
from tfpose.evaluation.scoring import ScoringSettings
from tfpose.evaluation.splits import SplitOutput, SplitPrediction, evaluate_split
from tfpose.evaluation.video_sequences import ground_truth_sequences
from tfpose.metrics.posetrack import PoseTrackOptions
from tfpose.poses import Poses
from tfpose.posetrack import NO_TRACK_ID, read_posetrack
from tfpose.skeletons import COCO17, POSETRACK15
from tfpose.tracking.choice import TrackerChoice

NUM_FRAMES = 4


@pytest.fixture
def make_table(tmp_path):
    """A table of two videos of two people who stand still, one of them on the left; frames in no order."""

    def make(skeleton=POSETRACK15, **changes):
        images = []
        for number in range(2 * NUM_FRAMES):
            image = synthetic_image(number % 2, skeleton, num_people=2)
            image |= {"image_id": number + 1, "frame": NUM_FRAMES - 1 - number // 2, "file_name": f"{number}.jpg"}
            image["sequence"] = f"00000{number % 2}_mpii_test"
            for person in image["people"]:
                person["keypoints"] = person["keypoints"] + [1000 * person["track_id"], 0]
                person["head_box"] = [0, 0, 30, 40]
                person |= changes
            images.append(image)
        return read_table(write_dataset(tmp_path / "data", skeleton, images, "val"), "val")

    return make


def annotated_poses(table):
    """The annotations as poses, the people of each image in reverse order."""
    found = []
    for start, stop in zip(table.first_person[:-1], table.first_person[1:], strict=True):
        people = {name: values[start:stop][::-1] for name, values in table.people.items()}
        scores = np.linspace(0.5, 0.9, stop - start)
        joint_scores = np.where(people["visibility"] > 0, scores[:, None], 0.0)
        boxes, ids = people["box"].astype(float), np.full(stop - start, -1)
        found.append(Poses(people["keypoints"].astype(float), joint_scores, scores, boxes, ids))
    return found


def evaluate(table, directory, tracker, settings=ScoringSettings(), file_format="2018"):  # noqa: B008 (immutable)
    prediction = SplitPrediction(annotated_poses(table), table.skeleton, "annotated", "none", {"flip": 1}, 0.2)
    evaluate_split(table, "val", prediction, SplitOutput(directory, file_format), settings, tracker)
    return json.loads((directory / "metrics.json").read_text())


def test_videos_of_poses_have_every_frame(make_table, tmp_path):
    table = make_table()
    prediction = SplitPrediction(annotated_poses(table), table.skeleton, "annotated", "none", {}, 0.2)
    output = SplitOutput(tmp_path / "out", num_videos=1, video_rate=5.0)
    evaluate_split(table, "val", prediction, output, ScoringSettings(), TrackerChoice("online"))
    (path,) = (tmp_path / "out" / "videos").iterdir()
    assert path.name == "000000_mpii_test.webm"
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    frames = [capture.read() for _ in range(NUM_FRAMES + 1)]
    assert [is_read for is_read, _ in frames] == [True] * NUM_FRAMES + [False]
    size = (int(table.images["height"][0]), int(table.images["width"][0]))
    assert frames[0][1].shape == (*(side // 2 * 2 for side in size), 3)


def test_videos_are_tracked_and_scored_by_posetracks_rules(make_table, tmp_path):
    settings = ScoringSettings(PoseTrackOptions(("ap", "mot", "hota")))
    metrics = evaluate(make_table(), tmp_path / "out", TrackerChoice("online"), settings)
    assert metrics["posetrack"]["ap"] == pytest.approx([100] * 16)
    assert metrics["posetrack"]["mota"] == pytest.approx([100] * 16)
    assert metrics["posetrack21"]["hota"]["HOTA"][-1] == pytest.approx(100)
    assert metrics["coco"]["AP"] == pytest.approx(100)
    provenance = metrics["provenance"]
    assert (provenance["boxes"], provenance["sequences"], provenance["frames"]) == ("annotated", 2, 2 * NUM_FRAMES)
    assert provenance["tracker"]["name"] == "online"
    assert provenance["thresholds"] == {"flip": 1}
    tracked = read_posetrack(tmp_path / "out" / "predictions" / "000000_mpii_test.json")
    assert [frame.index for frame in tracked.frames] == list(range(NUM_FRAMES))
    assert all(sorted(frame.track_ids) == [0, 1] for frame in tracked.frames)


def test_without_tracking_there_are_no_identities_and_only_ap(make_table, tmp_path):
    metrics = evaluate(make_table(), tmp_path / "out", None, file_format="2017")
    assert set(metrics["posetrack"]) == {"joints", "ap", "precision", "recall"}
    assert metrics["posetrack"]["ap"] == pytest.approx([100] * 16)
    assert "tracker" not in metrics["provenance"]
    path = tmp_path / "out" / "predictions" / "000001_mpii_test.json"
    assert "annolist" in json.loads(path.read_text())
    assert all((frame.track_ids == NO_TRACK_ID).all() for frame in read_posetrack(path).frames)


@pytest.mark.parametrize(
    ("changes", "what"), [({"head_box": [np.nan] * 4}, "a head box"), ({"track_id": -1}, "a track id")]
)
def test_figures_that_cannot_be_told_are_left_out_with_a_line(make_table, tmp_path, capsys, changes, what):
    metrics = evaluate(make_table(**changes), tmp_path / "out", TrackerChoice())
    assert "posetrack" not in metrics and "coco" in metrics
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert notes == [f"note: PoseTrack's metrics are left out: 16 of 16 annotated people lack {what}"]


def test_ground_truth_has_joints_by_name_and_leaves_crowds_out(make_table):
    table = make_table(COCO17)
    table.people["is_crowd"][0] = 1
    sequences = ground_truth_sequences(table)
    assert [sequence.name for sequence in sequences] == ["000000_mpii_test", "000001_mpii_test"]
    # The first image is the last frame of its video, and its first person a crowd.
    assert [frame.num_people for frame in sequences[0].frames] == [2] * (NUM_FRAMES - 1) + [1]
    frame = sequences[0].frames[-1]
    nose = frame.keypoints[0, POSETRACK15.index("nose")]
    np.testing.assert_array_equal(nose, table.people["keypoints"][1, COCO17.index("nose")])
    assert frame.visibility[0, POSETRACK15.index("head_top")] == 0
    assert frame.head_boxes[0].tolist() == [0, 0, 30, 40]
