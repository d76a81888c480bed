"""What `--report` leaves: of a split of records, and of folders of files with their pictures."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset
from report.evaluation_cases import make_videos
from report.report_cases import Page

from tfpose.data.records import read_table
from tfpose.evaluation.report_pictures import Candidate, choose_frames
from tfpose.evaluation.report_splits import TrainingRun
from tfpose.evaluation.report_videos import read_picture_below
from tfpose.evaluation.scoring import ScoringSettings, score_folders
from tfpose.evaluation.splits import SplitOutput, SplitPrediction, evaluate_split
from tfpose.poses import Poses, no_poses
from tfpose.posetrack import write_posetrack18
from tfpose.report.evaluation_file import read_evaluation
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.choice import TrackerChoice


def make_table(directory, is_video=True):
    """Four images of two people, who are in the frames of one video or in photos."""
    images = []
    for number in range(4):
        image = synthetic_image(number, POSETRACK15, num_people=2)
        image |= {"image_id": number + 1, "frame": number, "file_name": f"{number}.jpg"}
        image["sequence"] = "000001_mpii_test" if is_video else ""
        for person in image["people"]:
            person["head_box"] = [0, 0, 30, 40]
        images.append(image)
    return read_table(write_dataset(directory, POSETRACK15, images, "val"), "val")


def annotated_poses(table):
    """What is annotated, as if it had been found; nobody in the last image."""
    found = []
    for start, stop in zip(table.first_person[:-1], table.first_person[1:], strict=True):
        people = {name: values[start:stop] for name, values in table.people.items()}
        scores, ids = np.full(stop - start, 0.9), np.full(stop - start, -1)
        joint_scores = np.where(people["visibility"] > 0, 0.9, 0.0)
        found.append(Poses(people["keypoints"].astype(float), joint_scores, scores, people["box"].astype(float), ids))
    return [*found[:-1], no_poses(POSETRACK15.num_joints)]


def evaluate(table, directory, run=None, tracker=TrackerChoice("online")):  # noqa: B008 (immutable)
    weights = "runs/small/checkpoints/step_00000400.npz"
    prediction = SplitPrediction(annotated_poses(table), POSETRACK15, "annotated", weights, {}, 0.2)
    evaluate_split(table, "val", prediction, SplitOutput(directory), ScoringSettings(has_page=True), tracker, run)
    return read_evaluation(directory), Page((directory / "report.html").read_text())


def test_report_of_videos_says_what_was_found_and_by_what(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.csv").write_text("step,loss\n10,2.0\n20,1.0\n")
    run = TrainingRun(tmp_path / "run", "configs/small.py", {"batch_size": 8})
    evaluation, page = evaluate(make_table(tmp_path / "data"), tmp_path / "out", run)
    assert {"Training", "Tracks", "Best and worst", "Video", "Provenance"} <= set(page.text("h2"))
    provenance = evaluation.provenance
    assert (provenance["config"], provenance["config_overrides"]) == ("configs/small.py", {"batch_size": "8"})
    assert (provenance["weights_step"], provenance["boxes"]) == (400, "annotated")
    assert provenance == json.loads((tmp_path / "out" / "metrics.json").read_text())["provenance"]
    assert evaluation.training.training["loss"] == [2.0, 1.0]
    (matches,) = evaluation.matches
    assert (matches.num_present, matches.num_missed, matches.num_switches) == (8, 2, 0)
    assert matches.frame_scores.tolist() == [100, 100, 100, 0]
    assert [frame.is_best for frame in evaluation.gallery] == [True, True, False, False]
    assert evaluation.gallery[2].name == "000001_mpii_test, frame 3" and evaluation.gallery[2].score == 0
    capture = cv2.VideoCapture(str(tmp_path / "out" / evaluation.video.path))
    assert [capture.read()[0] for _ in range(5)] == [True] * 4 + [False]


def test_without_tracking_the_report_has_no_tracks(tmp_path):
    evaluation, page = evaluate(make_table(tmp_path / "data"), tmp_path / "out", tracker=None)
    assert not evaluation.matches and evaluation.video and len(evaluation.gallery) == 4
    assert "Tracks" not in page.text("h2")


def test_report_of_photos_ranks_them_by_likeness(tmp_path):
    evaluation, page = evaluate(make_table(tmp_path / "data", is_video=False), tmp_path / "out")
    assert evaluation.report is None and evaluation.video is None
    assert "OKS" in evaluation.score_name
    scores = {frame.name: frame.score for frame in evaluation.gallery}
    assert scores == pytest.approx({"0.jpg": 100, "1.jpg": 100, "2.jpg": 100, "3.jpg": 0})
    assert evaluation.gallery[2].name == "3.jpg"
    assert "COCO keypoints (%)" in page.text("caption")


def test_report_of_files_shows_their_pictures(tmp_path, capsys):
    videos = make_videos(("000001_mpii_test",))
    below = "images/val/000001_mpii_test"
    for side, (sequence,) in (("gt", videos.truth), ("pred", videos.predicted)):
        frames = [dataclasses.replace(f, file_name=f"{below}/{f.index:06d}.jpg") for f in sequence.frames]
        write_posetrack18(tmp_path / side / f"{sequence.name}.json", dataclasses.replace(sequence, frames=frames))
    (tmp_path / "pictures" / below).mkdir(parents=True)
    for number in range(4):
        path = tmp_path / "pictures" / below / f"{number:06d}.jpg"
        assert cv2.imwrite(str(path), np.full((540, 960, 3), (0, 0, 200), np.uint8))
    settings = ScoringSettings(has_page=True, images=tmp_path / "pictures")
    score_folders(tmp_path / "gt", tmp_path / "pred", tmp_path / "out", settings)
    evaluation = read_evaluation(tmp_path / "out")
    (matches,) = evaluation.matches
    assert matches.num_switches == 2
    picture = cv2.imread(str(tmp_path / "out" / evaluation.gallery[0].truth))
    assert picture.shape == (360, 640, 3)
    # Red, as OpenCV orders colors: no empty canvas.
    assert np.median(picture[..., 2]) > 150 > 50 > np.median(picture[..., 1])
    # Before the work begins.
    with pytest.raises(FileNotFoundError, match="--images must be a folder, got .*none"):
        dataclasses.replace(settings, images=tmp_path / "none")
    assert "note" not in capsys.readouterr().err
    score_folders(tmp_path / "gt", tmp_path / "pred", tmp_path / "out", dataclasses.replace(settings, images=tmp_path))
    assert f"note: --images={tmp_path} holds none of the 4 images that the annotations" in capsys.readouterr().err


def test_pictures_outside_of_their_folder_are_not_read(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    assert read_picture_below(tmp_path / "in", "../secret.png") is None
    assert read_picture_below(tmp_path / "in", str(tmp_path / "secret.png")) is None
    assert read_picture_below(tmp_path / "in", "absent.jpg") is None
    assert read_picture_below(tmp_path / "in", "broken.jpg") is None
    assert read_picture_below(tmp_path, "secret.png").shape == (4, 4, 3)


def test_best_and_worst_frames_come_from_as_many_videos_as_there_are():
    def candidate(group, score):
        return Candidate(group, f"{group} {score}", score, 1, "", lambda: (None, None, None))

    many = [candidate(group, base + frame) for group, base in (("a", 0), ("b", 40), ("c", 80)) for frame in range(10)]
    best, worst = choose_frames([*many, candidate("d", float("nan"))])
    assert [(c.group, c.score) for c in best] == [("c", 89), ("c", 88), ("b", 49), ("b", 48)]
    assert [(c.group, c.score) for c in worst] == [("a", 0), ("a", 1), ("b", 40), ("b", 41), ("c", 80), ("c", 81)]
    few_best, few_worst = choose_frames(many[:3])
    assert [c.score for c in few_best] == [2, 1] and [c.score for c in few_worst] == [0]
    assert choose_frames(many[:1]) == (many[:1], [])
    assert choose_frames([]) == ([], [])
