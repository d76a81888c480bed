import dataclasses

import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.data import records
from tfpose.evaluation.single_network_search import SearchSystem, score_thresholds, search_thresholds
from tfpose.evaluation.tracker_flags import TrackerChoice
from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings
from tfpose.inference.results import ground_truth_sequences
from tfpose.skeletons import POSETRACK15

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
        image["sequence"] = "walk"
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


def score(table, peaks, **settings):
    return score_thresholds(settings, peaks, table, ground_truth_sequences(table), BASE)


def test_the_defaults_find_and_track_everybody(table, peaks):
    assert score(table, peaks) == {"MOTA": 100.0, "AP": 100.0}


def test_each_threshold_does_its_part(table, peaks):
    """Without the disc a false person stands beside two true ones; above 0.6 only one of two is left."""
    assert score(table, peaks, head_distance_cells=2.0)["MOTA"] == pytest.approx(50.0)
    assert score(table, peaks, head_threshold=0.7)["MOTA"] == pytest.approx(50.0)
    # Fifteen joints of 0.5.
    assert score(table, peaks, person_threshold=7.5)["AP"] == 100.0
    assert score(table, peaks, person_threshold=7.6)["AP"] == 0.0
    assert score(table, peaks, joint_threshold=0.6)["AP"] == 0.0


def test_the_trackers_settings_do_theirs(table, peaks):
    """People who walk further than a match may be get a new identity in every frame."""
    switched = score(table, peaks, max_joint_distance_pixels=100.0)
    assert switched["AP"] == 100.0
    assert switched["MOTA"] < 60.0


@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_search_finds_the_settings_that_work(table, peaks, num_processes):
    choices = {
        "head_threshold": [0.2, 0.7],
        "head_distance_cells": [0.0, 4.0],
        "max_joint_distance_pixels": [100.0, 200.0],
    }
    trials = search_thresholds(peaks, table, BASE, choices, num_processes=num_processes)
    assert len(trials) == 8
    best = {"head_threshold": 0.2, "head_distance_cells": 4.0, "max_joint_distance_pixels": 200.0}
    assert trials[0].settings == best
    assert trials[0].scores["MOTA"] > trials[1].scores["MOTA"]


def test_unknown_settings_are_named(table, peaks):
    with pytest.raises(ValueError, match="choices: unknown setting 'refine', expected some of head_threshold"):
        search_thresholds(peaks, table, BASE, {"refine": ["none"]})
    with pytest.raises(ValueError, match="head_threshold must be finite"):
        search_thresholds(peaks, table, BASE, {"head_threshold": [np.nan]})


def test_single_photos_cannot_be_searched(tmp_path):
    image = synthetic_image(0, POSETRACK15)
    image["people"][0]["head_box"] = [1, 2, 3, 4]
    photos = records.read_table(write_dataset(tmp_path, POSETRACK15, [image]), "train")
    with pytest.raises(ValueError, match="a search needs videos, found single photos only"):
        search_thresholds([], photos, BASE, {"head_threshold": [0.2]})


def test_changes_leave_the_base_alone():
    changed = BASE.with_changes({"head_threshold": 0.5, "max_age_frames": 3})
    assert changed.thresholds == dataclasses.replace(BASE.thresholds, head_threshold=0.5)
    assert changed.tracker.settings()[0].max_age_frames == 3
    assert BASE.thresholds.head_threshold == 0.2
