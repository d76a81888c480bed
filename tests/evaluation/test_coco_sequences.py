"""COCO results become PoseTrack files: with the identities of the file, or tracked."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from posetrack_cases import random_sequences
from program_runs import assert_one_line, run

from tfpose.coco_results import keypoint_results
from tfpose.json_files import write_json
from tfpose.metrics.posetrack import evaluate_posetrack
from tfpose.posetrack import poses_from_frame, read_posetrack, write_posetrack18
from tfpose.skeletons import COCO17, POSETRACK18

NAMES = ("000001_mpii_test", "000002_mpii_test")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """Two videos: the folders `true` and `found`, and the poses of `found` as COCO results in an order of their own."""
    folder = tmp_path_factory.mktemp("files")
    results = []
    for seed, name in enumerate(NAMES, 1):
        for side, sequence in zip(("true", "found"), random_sequences(seed, name=name), strict=True):
            frames = [dataclasses.replace(f, image_id=1000 * seed + f.index) for f in sequence.frames]
            write_posetrack18(folder / side / f"{name}.json", dataclasses.replace(sequence, frames=tuple(frames)))
        for frame in read_posetrack(folder / "found" / f"{name}.json", POSETRACK18).frames:
            poses = poses_from_frame(frame)
            ids = np.full(len(poses), frame.image_id)
            results += keypoint_results(
                ids, poses.keypoints, poses.joint_scores, poses.scores, track_ids=poses.track_ids
            )
    write_json(folder / "results.json", results[::-1])
    return folder


def track(files, output, *flags):
    return run("-m", "tfpose.track", f"--predictions={files / 'results.json'}", f"--output_dir={output}", *flags)


def test_coco_results_with_identities_score_as_the_posetrack_files_of_the_same_poses(files, tmp_path):
    flags = ("--skeleton=posetrack18", "--keep_track_ids", f"--ground_truth={files / 'true'}")
    result = track(files, tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    expected = evaluate_posetrack(files / "true", files / "found").to_dict()["posetrack"]
    found = json.loads((tmp_path / "metrics.json").read_text())
    for name, values in expected.items():
        assert found["posetrack"][name] == (values if name == "joints" else pytest.approx(values, abs=1e-9)), name
    assert "tracker" not in found["provenance"]


def test_coco_results_are_tracked_anew_without_the_flag(files, tmp_path):
    result = track(files, tmp_path, "--skeleton=posetrack18", f"--ground_truth={files / 'true'}")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "metrics.json").read_text())["provenance"]["tracker"]["name"] == "payer2017"
    again = run("-m", "tfpose.track", f"--predictions={files / 'found'}", f"--output_dir={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr
    for name in NAMES:
        first, second = (
            read_posetrack(folder / "predictions" / f"{name}.json") for folder in (tmp_path, tmp_path / "again")
        )
        # People of a frame are in another order.
        for a, b in zip(first.frames, second.frames, strict=True):
            assert a.num_people == b.num_people
            np.testing.assert_allclose(np.sort(a.keypoints, axis=0), np.sort(b.keypoints, axis=0), atol=1e-9)


def test_people_of_several_categories_are_told(files, tmp_path):
    results = json.loads((files / "results.json").read_text())
    write_json(tmp_path / "results.json", [{**results[0], "category_id": 17}, *results[1:]])
    result = track(tmp_path, tmp_path / "out", "--skeleton=posetrack18", f"--ground_truth={files / 'true'}")
    assert "results.json: the results of 2 categories (category_id 1, 17) are all taken as people" in result.stderr


def test_results_of_one_video_need_no_annotations(tmp_path):
    keypoints = np.arange(2 * 17 * 2).reshape(2, 17, 2) + 1.0
    write_json(
        tmp_path / "results.json",
        keypoint_results(np.array([0, 3]), keypoints, np.full((2, 17), 0.5), np.ones(2), track_ids=np.array([7, 7])),
    )
    result = track(tmp_path, tmp_path, "--skeleton=coco17", "--keep_track_ids")
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stderr.splitlines() if line.startswith("note:")]
    assert [note.partition("results.json: ")[2] for note in notes] == [
        "PoseTrack's files have no left_eye, right_eye; these joints are left out",
        "coco17 has no head_bottom, head_top; nobody has these joints",
    ]
    sequence = read_posetrack(tmp_path / "predictions" / "results.json", POSETRACK18)
    assert [frame.track_ids.tolist() for frame in sequence.frames] == [[7], [], [], [7]]
    left_wrist = [skeleton.index("left_wrist") for skeleton in (COCO17, POSETRACK18)]
    np.testing.assert_array_equal(sequence.frames[3].keypoints[0, left_wrist[1]], keypoints[1, left_wrist[0]])


@pytest.mark.parametrize(
    ("change", "flags", "words"),
    [
        ({}, (), "--skeleton must be coco17, posetrack15, posetrack18 for a file of COCO results, got ''"),
        (
            {},
            ("--skeleton=coco17", "--keep_track_ids", "--tuned=x"),
            "--tuned cannot be combined with --keep_track_ids",
        ),
        ({"image_id": 10**6}, ("--skeleton=coco17",), "image_id must be the number of a frame, from 0 to 999999"),
        ({"image_id": 5}, ("--skeleton=coco17", "--ground_truth={true}"), "image_id must be one of the images of"),
        ({"image_id": "5"}, ("--skeleton=coco17",), "result 0: must have a whole number 'image_id'"),
        ({"track_id": 1.5}, ("--skeleton=coco17",), "result 0: 'track_id' must be a whole number, got 1.5"),
        ({"keypoints": [1, 2, 3]}, ("--skeleton=coco17",), "'keypoints' must be 51 numbers: x, y, score of the 17"),
        ({"keypoints": [9, 9, 0] * 17}, ("--skeleton=coco17",), "the score of a joint that is there must be above 0"),
    ],
)
def test_what_is_wrong_is_one_line(files, tmp_path, change, flags, words):
    entry = {"image_id": 0, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5, "track_id": 1, **change}
    write_json(tmp_path / "results.json", [entry])
    result = track(tmp_path, tmp_path / "out", *(flag.format(true=files / "true") for flag in flags))
    assert_one_line(result, words)
    assert not (tmp_path / "out").exists()


def test_the_skeleton_is_only_for_coco_results(files, tmp_path):
    flags = (f"--predictions={files / 'found'}", "--skeleton=coco17", f"--output_dir={tmp_path / 'out'}")
    assert_one_line(run("-m", "tfpose.track", *flags), "--skeleton cannot be combined with a folder in --predictions")
