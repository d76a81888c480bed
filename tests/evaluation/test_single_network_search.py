import copy
import dataclasses
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.data import records
from tfpose.evaluation.retracking import WRITERS, track_sequence
from tfpose.evaluation.single_network import build_cases, describe_search
from tfpose.evaluation.single_network_search import (
    SearchScore,
    SearchSystem,
    peak_settings,
    search_by_coordinates,
    search_thresholds,
)
from tfpose.evaluation.tracker_search import describe_trials
from tfpose.evaluation.tuned_settings import TUNED_INFERENCE, read_tuned_settings
from tfpose.evaluation.video_sequences import ground_truth_sequences, sequences_from_poses
from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings, select_people
from tfpose.json_files import write_json
from tfpose.metrics.posetrack import evaluate_posetrack
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.settings import setting_types
from tfpose.tracking.tuning import Trial, expand_grid

NUM_FRAMES = 6
BASE = SearchSystem(POSETRACK15, SingleNetworkSettings(), TrackerChoice())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A video of two people who walk 150 pixels per frame, 400 pixels apart."""
    rng = np.random.default_rng(0)
    bodies = rng.uniform(0, 80, (2, 15, 2)) + [[[100.0, 100.0]], [[100.0, 500.0]]]
    images = []
    for index in range(NUM_FRAMES):
        image = synthetic_image(index, POSETRACK15, size=(700, 1200), num_people=2)
        image["sequence"] = "000001_mpii_walk"
        image["file_name"] = f"images/000001_mpii_walk/{index:06d}.jpg"
        for person, body in zip(image["people"], bodies, strict=True):
            person["keypoints"] = body + [150.0 * index, 0]
            person["head_box"] = [*person["keypoints"][0] - 20, *person["keypoints"][0] + 20]
        images.append(image)
    return records.read_table(write_dataset(tmp_path_factory.mktemp("data"), POSETRACK15, images), "train")


@pytest.fixture(scope="module")
def peaks(table):
    """The true people with heads of 0.8 and 0.6, and beside the first, three cells away, a false one of 0.4."""
    found = []
    for index in range(NUM_FRAMES):
        true = table.people["keypoints"][2 * index : 2 * index + 2].astype(np.float64)
        found.append(
            Peaks(
                heads=np.array([[10, 10], [10, 30], [13, 10]]),
                head_scores=np.float32([0.8, 0.6, 0.4]),
                keypoints=np.concatenate([true, [[[1100.0, 300.0]] * 15]]),
                joint_scores=np.full((3, 15), 0.5, np.float32),
            )
        )
    return found


@pytest.fixture(scope="module")
def cases(table, peaks):
    return build_cases(table, ground_truth_sequences(table), peaks)


def score(cases, **settings):
    return SearchScore(cases, BASE)(settings)


def test_the_defaults_find_and_track_everybody(cases):
    assert score(cases) == {"MOTA": 100.0, "AP": 100.0}


def test_each_threshold_does_its_part(cases):
    """Without the disc a false person stands beside two true ones; above 0.6 only one of two is left."""
    assert score(cases, head_distance_cells=2.0)["MOTA"] == pytest.approx(50.0)
    assert score(cases, head_threshold=0.7)["MOTA"] == pytest.approx(50.0)
    # Fifteen joints of 0.5.
    assert score(cases, person_threshold=7.5)["AP"] == 100.0
    assert score(cases, person_threshold=7.6)["AP"] == 0.0
    assert score(cases, joint_threshold=0.6)["AP"] == 0.0


def test_the_trackers_settings_do_theirs(cases):
    """People who walk further than a match may be get a new identity in every frame."""
    switched = score(cases, max_joint_distance_pixels=100.0)
    assert switched["AP"] == 100.0
    assert switched["MOTA"] < 60.0


def test_scores_do_not_depend_on_what_was_scored_before(cases):
    """The people of the last thresholds are remembered, not those of other ones."""
    grid = expand_grid({"head_threshold": [0.2, 0.7], "max_joint_distance_pixels": [100.0, 200.0]})
    kept = SearchScore(cases, BASE)
    for settings in [*grid, *grid[::-1]]:
        assert kept(settings) == score(cases, **settings)


@pytest.mark.parametrize("file_format", ["2017", "2018"])
def test_a_trial_scores_as_the_files_of_its_poses_do(cases, table, peaks, tmp_path, file_format):
    """The same poses through tracker, files and official reader."""
    thresholds = dataclasses.replace(BASE.thresholds, head_distance_cells=2.0)
    poses = [select_people(of_image, thresholds) for of_image in peaks]
    for folder, sequences in (
        ("gt", ground_truth_sequences(table)),
        ("pred", [track_sequence(s, BASE.tracker) for s in sequences_from_poses(table, poses, POSETRACK15)]),
    ):
        for sequence in sequences:
            WRITERS[file_format](tmp_path / folder / f"{sequence.name}.json", sequence)
    total = evaluate_posetrack(tmp_path / "gt", tmp_path / "pred").total
    found = score(cases, head_distance_cells=2.0)
    assert found["MOTA"] == pytest.approx(total.tracking.mota[-1], abs=1e-9)
    assert found["AP"] == pytest.approx(total.average_precision.ap[-1], abs=1e-9)


CHOICES = {
    "head_threshold": [0.2, 0.7],
    "head_distance_cells": [0.0, 4.0],
    "max_joint_distance_pixels": [100.0, 200.0],
}
BEST = {"head_threshold": 0.2, "head_distance_cells": 4.0, "max_joint_distance_pixels": 200.0}


@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_search_finds_the_settings_that_work(cases, num_processes):
    trials = search_thresholds(cases, BASE, CHOICES, num_processes=num_processes)
    assert len(trials) == 8
    assert trials[0].settings == BEST
    assert trials[0].scores["MOTA"] > trials[1].scores["MOTA"]


def test_search_for_hota_scores_hota(cases):
    trials = search_thresholds(cases, BASE, {"max_joint_distance_pixels": [100.0, 200.0]}, "HOTA")
    assert trials[0].settings == {"max_joint_distance_pixels": 200.0}
    assert trials[0].scores["HOTA"] == pytest.approx(100.0)
    assert trials[1].scores["AssA"] < 50.0


def test_one_setting_at_a_time_finds_them_with_fewer_trials(cases):
    """Begins with 100 pixels, 2 cells and 0.3; the grid would have 27 combinations."""
    changes = {"max_joint_distance_pixels": 100.0, "head_distance_cells": 2.0, "head_threshold": 0.3}
    choices = {name: [*CHOICES[name], value] for name, value in changes.items()}
    seen = []
    trials = search_by_coordinates(cases, BASE.with_changes(changes), choices, on_trial=seen.append)
    assert seen[0].settings == changes
    assert trials[0].scores == {"MOTA": 100.0, "AP": 100.0}
    assert len(trials) == len(seen) < 15
    # One setting alone, with the others as they were, may lead to where no single change helps.
    assert search_by_coordinates(cases, BASE.with_changes(changes), CHOICES)[0].scores["MOTA"] < 100.0
    assert len({tuple(trial.settings.items()) for trial in trials}) == len(trials)


def test_the_network_runs_once_with_the_lowest_threshold():
    settings = peak_settings(dataclasses.replace(BASE.thresholds, max_people=3), {"head_threshold": [0.3, 0.1]})
    assert settings == dataclasses.replace(BASE.thresholds, head_threshold=0.1, head_distance_cells=0.0)
    assert peak_settings(BASE.thresholds, {}).head_threshold == BASE.thresholds.head_threshold


def test_unknown_settings_are_named(cases):
    with pytest.raises(ValueError, match="choices: settings must be some of head_threshold, .*, got 'refine'"):
        search_thresholds(cases, BASE, {"refine": ["none"]})
    with pytest.raises(ValueError, match="head_threshold must be finite"):
        search_thresholds(cases, BASE, {"head_threshold": [np.nan]})


def test_changes_leave_the_base_alone():
    changed = BASE.with_changes({"head_threshold": 0.5, "max_age_frames": 3})
    assert changed.thresholds == dataclasses.replace(BASE.thresholds, head_threshold=0.5)
    assert changed.tracker.settings()[0].max_age_frames == 3
    assert (changed.value("head_threshold"), changed.value("max_age_frames")) == (0.5, 3)
    assert BASE.thresholds.head_threshold == 0.2


def test_searching_needs_no_tensorflow(project_dir):
    program = "import sys, tfpose.evaluation.single_network_search; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=project_dir).returncode == 0


def test_best_settings_come_back_from_the_file(cases, tmp_path):
    base = dataclasses.replace(BASE, tracker=TrackerChoice("online", {"max_age_frames": 7}))
    trials = search_thresholds(cases, base, CHOICES)
    best = base.with_changes(trials[0].settings)
    content = describe_search(trials, best, "mota", base, {"weights": "w"})
    write_json(tmp_path / "tuning.json", content)
    tuned = read_tuned_settings(tmp_path / "tuning.json")
    assert tuned.tracker.settings() == best.tracker.settings()
    assert tuned.tracker.to_dict() == best.tracker.to_dict()
    assert dataclasses.replace(base.thresholds, **tuned.inference) == best.thresholds
    assert content["objective"] == "MOTA" and len(content["trials"]) == 8
    assert content["best"]["settings"] == trials[0].settings
    assert "--config.inference.head_threshold=0.2" in content["best"]["flags"]
    assert "--tracker.settings=online --tracker.max_age_frames=7" in content["best"]["flags"]


GOOD = {"best": {"tracker": TrackerChoice().to_dict(), "inference": {"head_threshold": 0.2}}}


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (None, {"best": []}, "must be a tuning.json with the settings best.tracker, got none"),
        ("tracker", {"name": "mine"}, "best.tracker.name must be one of payer2017, online, offline, got 'mine'"),
        (
            "tracker",
            {"max_age": 3},
            f"best.tracker: settings must be some of {', '.join(('name', *setting_types()))}, got 'max_age'",
        ),
        ("tracker", {"max_age_frames": 0.5}, "best.tracker.max_age_frames must be a whole number, got 0.5"),
        ("tracker", {"max_age_frames": 0}, "--tracker.max_age_frames must be at least 1, got 0"),
        ("tracker", {"remember_joints": 1}, "best.tracker.remember_joints must be true or false, got 1"),
        ("tracker", {"matching": "best"}, "matching must be one of"),
        (
            "inference",
            {"people_per_chunk": 3},
            f"best.inference: settings must be some of {', '.join(TUNED_INFERENCE)}, got 'people_per_chunk'",
        ),
        ("inference", {"head_threshold": "low"}, "best.inference.head_threshold must be a number, got 'low'"),
        ("inference", {"joint_threshold": -1.0}, "inference: joint_threshold must be at least 0"),
        ("inference", {"refine": "best"}, "inference: refine must be one of"),
    ],
)
def test_files_of_something_else_are_named(tmp_path, part, change, message):
    path = tmp_path / "tuning.json"
    content = copy.deepcopy(GOOD)
    (content if part is None else content["best"][part]).update(change)
    write_json(path, GOOD)
    assert read_tuned_settings(path).inference == {"head_threshold": 0.2}
    write_json(path, content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_tuned_settings(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_tuning_of_the_tracker_alone_has_no_thresholds(tmp_path):
    best = TrackerChoice("offline", {"max_jump": math.inf, "min_person_score": 0.25})
    trials = [Trial({"min_person_score": 0.25}, {"MOTA": 1.0})]
    write_json(tmp_path / "tuning.json", describe_trials(trials, best, "mota", TrackerChoice("offline"), {}))
    tuned = read_tuned_settings(tmp_path / "tuning.json")
    assert tuned.tracker == best
    assert tuned.inference == {}
