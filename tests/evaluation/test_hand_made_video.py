"""From what the single network finds to MOTA and AP, in five frames that can be worked out by hand.

Two people, A and B, all 15 joints annotated in every frame. The network finds, with the paper's thresholds:

| frame | A | B | false person | identities |
| --- | --- | --- | --- | --- |
| 0 | all joints | all joints | | A 0, B 1 |
| 1 | all joints | head at 0.2, the threshold: not found | head 3 cells from A's: suppressed | A 0 |
| 2 | all joints | all joints, 100 pixels on: B 1 again after a frame without it | 600 pixels away | A 0, B 1, false 2 |
| 3 | left wrist at 0.29: dropped | 250 pixels on, the limit is 200: new identity | joints add up to 2.9 | A 0, B 3 |
| 4 | no head above 0.2 | no head above 0.2 | | |

For each joint but the left wrist, poseval's MOTA looks at frames 0 to 3 (it drops the last one): 8 true joints, 1
missed (B in frame 1), 1 false (frame 2), 1 switch (B in frame 3), so MOTA is 1 - 3 / 8; 7 of 8 found joints are right,
and 7 of 8 true ones found. The left wrist is missed once more: 1 - 4 / 8; 6 of 7; 6 of 8. AP looks at all 10 true
joints: the best 7 found (the wrist: 6) are right, then comes the false one, so AP is 7 / 10 and 6 / 10.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from tfpose.evaluation.single_network_search import SearchCase, SearchScore, SearchSystem
from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings, select_people
from tfpose.metrics.joints import JOINTS
from tfpose.metrics.posetrack import evaluate_sequences
from tfpose.posetrack import PoseSequence, build_frame, frame_from_poses
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.video import track_video

LEFT_WRIST = POSETRACK15.index("left_wrist")
BODY = np.stack([np.arange(15) % 4 * 20.0, np.arange(15) // 4 * 40.0], axis=1)
PLACES = {
    "A": np.full((5, 2), [300.0, 100.0]),
    "B": np.array([[500, 300], [550, 300], [600, 300], [850, 300], [850, 300]]),
}


def person(place, head, head_score, joint_scores):
    return np.array(head), np.float32(head_score), BODY + place, np.broadcast_to(np.float32(joint_scores), 15)


def peaks_of(*people):
    """Strongest first."""
    ordered = sorted(people or [person(0, (0, 0), 0, 0)], key=lambda found: -found[1])
    return Peaks(*(np.stack(values) for values in zip(*ordered, strict=True))).select(slice(len(people)))


def found_peaks():
    a_without_wrist = np.where(np.arange(15) == LEFT_WRIST, 0.29, 0.9)
    a = [person(place, (30, 10), 0.9, 0.9) for place in PLACES["A"]]
    b = [person(place, (60, 40), 0.7, 0.8) for place in PLACES["B"]]
    return [
        peaks_of(a[0], b[0]),
        peaks_of(a[1], person(PLACES["B"][1], (60, 40), 0.2, 0.8), person((300, 100), (33, 10), 0.6, 0.5)),
        peaks_of(a[2], b[2], person((1200, 300), (120, 40), 0.5, 0.4)),
        peaks_of(person(PLACES["A"][3], (30, 10), 0.9, a_without_wrist), b[3], person((0, 0), (0, 0), 0.4, 2.9 / 15)),
        peaks_of(person(PLACES["A"][4], (30, 10), 0.15, 0.9)),
    ]


def sequence(frames):
    return PoseSequence("000001_mpii_test", POSETRACK15, tuple(frames), pathlib.Path("000001_mpii_test.json"))


def name_of(index):
    return f"images/val/000001_mpii_test/{index:06d}.jpg"


def true_frame(index):
    keypoints = np.stack([BODY + PLACES[name][index] for name in "AB"])
    # 60 % of the diagonal of 50 pixels is the head's size; correct joints are within half of it.
    head_boxes = np.array([[0.0, 0, 30, 40]] * 2)
    visibility = np.full((2, 15), 2)
    return build_frame(name_of(index), index, keypoints, visibility, np.array([7, 8]), head_boxes=head_boxes)


@pytest.fixture(scope="module")
def truth():
    return sequence(true_frame(index) for index in range(5))


@pytest.fixture(scope="module")
def tracked():
    return track_video([select_people(peaks, SingleNetworkSettings()) for peaks in found_peaks()])


def expected(others, left_wrist):
    """Percent of each joint, and their mean."""
    joints = [100 * (left_wrist if joint == "left_wrist" else others) for joint in JOINTS]
    return [*joints, np.mean(joints)]


def test_identities_are_those_of_the_table(tracked):
    assert [poses.track_ids.tolist() for poses in tracked] == [[0, 1], [0], [0, 1, 2], [0, 3], []]
    assert (tracked[3].joint_scores == 0).nonzero() == ([0], [LEFT_WRIST])


def test_figures_are_those_worked_out(truth, tracked):
    predicted = sequence(frame_from_poses(name_of(i), i, poses) for i, poses in enumerate(tracked))
    metrics = evaluate_sequences([truth], [predicted]).total
    np.testing.assert_allclose(metrics.tracking.mota, expected(1 - 3 / 8, 1 - 4 / 8))
    np.testing.assert_allclose(metrics.tracking.precision, expected(7 / 8, 6 / 7))
    np.testing.assert_allclose(metrics.tracking.recall, expected(7 / 8, 6 / 8))
    np.testing.assert_allclose(metrics.average_precision.ap, expected(7 / 10, 6 / 10))


def test_a_search_has_the_same_figures(truth):
    """Thresholds that bring back what was lost: B's head in frame 1, A's wrist in frame 3, B's identity in frame 3."""
    empty = sequence(build_frame(name_of(i), i, np.zeros((0, 15, 2)), np.zeros((0, 15))) for i in range(5))
    base = SearchSystem(POSETRACK15, SingleNetworkSettings(), TrackerChoice())
    score = SearchScore([SearchCase(truth, empty, tuple(found_peaks()))], base)
    found = score({})
    assert found["MOTA"] == pytest.approx(expected(1 - 3 / 8, 1 - 4 / 8)[-1])
    assert found["AP"] == pytest.approx(expected(7 / 10, 6 / 10)[-1])
    assert score({"max_joint_distance_pixels": 251.0})["MOTA"] == pytest.approx(expected(1 - 2 / 8, 1 - 3 / 8)[-1])
    assert score({"joint_threshold": 0.28})["MOTA"] == pytest.approx(100 * (1 - 3 / 8))
    assert score({"head_threshold": 0.19})["MOTA"] == pytest.approx(expected(1 - 2 / 8, 1 - 3 / 8)[-1])
    # One frame without B is one too many.
    assert score({"max_age_frames": 1})["MOTA"] == pytest.approx(expected(1 - 4 / 8, 1 - 5 / 8)[-1])
    # The false person beside A in frame 1 is not suppressed.
    assert score({"head_distance_cells": 2.9})["MOTA"] == pytest.approx(expected(1 - 4 / 8, 1 - 5 / 8)[-1])
    # Scores of 0.4 in frame 2 add up to 6, in frame 3 to 2.9, where all joints are dropped besides.
    assert score({"person_threshold": 6.1})["MOTA"] == pytest.approx(expected(1 - 2 / 8, 1 - 3 / 8)[-1])


def test_the_cell_at_the_threshold_is_no_head():
    """In float32, in which maps are: 0.2 is not above 0.2."""
    frame = found_peaks()[1]
    assert frame.head_scores.dtype == np.float32 and frame.head_scores[-1] == np.float32(0.2)
    assert len(select_people(frame, SingleNetworkSettings())) == 1
    lower = dataclasses.replace(SingleNetworkSettings(), head_threshold=float(np.nextafter(np.float32(0.2), 0)))
    assert len(select_people(frame, lower)) == 2
