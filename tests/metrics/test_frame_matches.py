"""Who is found by whom in each frame, in videos that can be worked out by hand."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from tfpose.metrics.frame_matches import match_sequence
from tfpose.posetrack import PoseSequence, build_frame
from tfpose.skeletons import POSETRACK15

BODY = np.stack([np.arange(15) % 4 * 20.0, np.arange(15) // 4 * 40.0], axis=1) + 5
PLACES = {"A": (0.0, 0.0), "B": (300.0, 0.0), "far": (900.0, 500.0)}


def video(frames, is_truth):
    """Frames as {track id: place} or {track id: (place, number of joints)}."""
    built = []
    for index, people in enumerate(frames):
        entries = [value if isinstance(value, tuple) else (value, 15) for value in people.values()]
        keypoints = np.array([BODY + PLACES[place] for place, _ in entries]).reshape(-1, 15, 2)
        visibility = np.array([np.where(np.arange(15) < joints, 2, 0) for _, joints in entries]).reshape(-1, 15)
        heads = {"head_boxes": np.tile([0.0, 0.0, 30.0, 40.0], (len(people), 1))} if is_truth else {}
        scores = {} if is_truth else {"joint_scores": np.full(visibility.shape, 0.5)}
        ids = np.array(list(people), np.int64)
        built.append(build_frame(f"{index}.jpg", index, keypoints, visibility, ids, **heads, **scores))
    return PoseSequence("video", POSETRACK15, tuple(built), pathlib.Path("video.json"))


def test_switches_misses_and_nobodys_predictions_are_where_they_happen():
    true = [{7: "A", 8: "B"}, {7: "A", 8: "B"}, {}, {7: "A", 8: "B"}, {8: "B"}]
    predicted = [{0: "A", 1: "B"}, {1: "B", 2: "far"}, {5: "A"}, {1: "A", 0: "B"}, {0: "B"}]
    matches = match_sequence(video(true, True), video(predicted, False))
    # Frame 2 has no annotated people: poseval does not look at it.
    assert matches.frames.tolist() == [0, 1, 3, 4]
    a, b = matches.tracks
    assert (a.track_id, b.track_id) == (7, 8)
    assert a.is_present.tolist() == [True, True, True, False]
    assert a.is_found.tolist() == [True, False, True, False]
    assert a.predicted_ids.tolist() == [0, 0, 1, 0]
    # After a frame without a match: another track than the last time.
    assert a.is_switch.tolist() == [False, False, True, False]
    assert b.is_switch.tolist() == [False, False, True, False]
    assert b.predicted_ids.tolist() == [1, 1, 0, 0]
    assert matches.extra_people.tolist() == [0, 1, 0, 0]
    assert (matches.num_switches, matches.num_missed, matches.num_present) == (2, 1, 7)


def test_a_frame_without_annotated_and_predicted_joints_has_no_score():
    matches = match_sequence(
        video([{7: ("A", 0)}, {7: ("A", 5)}, {7: ("A", 0)}], True), video([{}, {}, {1: ("A", 3)}], False)
    )
    np.testing.assert_array_equal(matches.frame_scores, [np.nan, 0, 0])


def test_a_track_may_come_back_without_a_switch():
    true = [{1: "A"}] * 3
    matches = match_sequence(video(true, True), video([{4: "A"}, {}, {4: "A"}], False))
    assert matches.tracks[0].is_found.tolist() == [True, False, True]
    assert not matches.tracks[0].is_switch.any()


def test_frame_scores_count_right_joints_among_true_and_predicted_ones():
    true = [{1: "A", 2: ("B", 5)}, {1: "A"}, {1: "A"}]
    predicted = [{1: "A", 3: "far"}, {1: ("A", 6)}, {}]
    matches = match_sequence(video(true, True), video(predicted, False))
    assert matches.true_joints.tolist() == [20, 15, 15]
    assert matches.predicted_joints.tolist() == [30, 6, 0]
    assert matches.correct_joints.tolist() == [15, 6, 0]
    assert matches.frame_scores.tolist() == pytest.approx([100 * 30 / 50, 100 * 12 / 21, 0.0])


def test_of_two_predictions_of_one_person_the_better_counts():
    matches = match_sequence(video([{1: "A"}], True), video([{5: ("A", 4), 6: "A"}], False))
    assert matches.tracks[0].predicted_ids.tolist() == [6]
    assert matches.extra_people.tolist() == [1]


def test_different_numbers_of_frames_are_refused():
    with pytest.raises(ValueError, match="must have 1 frames as the ground truth, got 2"):
        match_sequence(video([{1: "A"}], True), video([{1: "A"}, {}], False))
