"""Distances between poses, by hand and against plain loops."""

from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from tracking_people import BODY

from tfpose.tracking.similarity import iou_distances, masked_median, median_joint_distances, oks_distances

NUMBERS = st.floats(-1e6, 1e6)


@hypothesis.given(hnp.arrays(np.float64, (3, 5), elements=NUMBERS), hnp.arrays(bool, (3, 5)))
def test_masked_median_equals_the_median_of_what_counts(values, is_counted):
    medians = masked_median(np.where(is_counted, values, np.nan), is_counted)
    for row in range(3):
        counted = values[row][is_counted[row]]
        assert medians[row] == (np.median(counted) if len(counted) else np.inf)


def test_masked_median_with_a_mask_for_several_rows():
    values, is_counted = np.arange(12.0).reshape(2, 2, 3), np.array([[True, False, True], [False, False, False]])
    medians = masked_median(values, is_counted[:, None])
    assert medians.tolist() == masked_median(values, np.repeat(is_counted[:, None], 2, axis=1)).tolist()
    assert medians.tolist() == [[1.0, 4.0], [np.inf, np.inf]]


def test_median_of_one_value():
    assert masked_median(np.array([[7.0]]), np.array([[True]])).tolist() == [7.0]


def test_median_joint_distance_by_hand():
    # The joints moved by 0, 3-4-5, 10, 20 and 30 px: the median is 10; without the last one (5 + 10) / 2.
    moved = BODY + np.array([[0.0, 0], [3, 4], [10, 0], [0, 20], [30, 0]])
    has_all, lacks_one = np.ones((1, 5), bool), np.array([[True, True, True, True, False]])
    assert median_joint_distances(BODY[None], moved[None], has_all, has_all).tolist() == [[10.0]]
    assert median_joint_distances(BODY[None], moved[None], lacks_one, has_all).tolist() == [[7.5]]
    assert median_joint_distances(BODY[None], moved[None], has_all, lacks_one).tolist() == [[7.5]]


def test_median_joint_distances_equal_plain_loops():
    rng = np.random.default_rng(0)
    tracks, people = rng.integers(0, 9, (4, 6, 2)).astype(float), rng.integers(0, 9, (5, 6, 2)).astype(float)
    is_track_joint, is_joint = rng.random((4, 6)) < 0.6, rng.random((5, 6)) < 0.6
    distances = median_joint_distances(tracks, people, is_track_joint, is_joint)
    for row, column in np.ndindex(4, 5):
        is_common = is_track_joint[row] & is_joint[column]
        each = np.hypot(*(tracks[row] - people[column]).T)[is_common]
        assert distances[row, column] == (np.median(each) if len(each) else np.inf)


def test_no_common_joint_is_infinitely_far():
    is_common = np.zeros((1, 1, 5), bool)
    box = np.array([[0.0, 0, 20, 20]])
    first, last = np.array([[True, True, False, False, False]]), np.array([[False, False, True, True, False]])
    assert median_joint_distances(BODY[None], BODY[None], first, last).tolist() == [[np.inf]]
    assert oks_distances(BODY[None], BODY[None], is_common, box, box, np.full(5, 0.1)).tolist() == [[np.inf]]


def test_oks_distance_by_hand():
    # One of two counted joints is exact, the other off by 4: (1 + exp(-16 / (8 * 0.01 * 400))) / 2.
    moved = BODY + np.array([[0.0, 0], [4, 0], [90, 0], [90, 0], [90, 0]])
    is_common = np.array([[[True, True, False, False, False]]])
    box = np.array([[0.0, 0, 20, 20]])
    distance = oks_distances(BODY[None], moved[None], is_common, box, box, np.full(5, 0.1))
    assert distance.item() == pytest.approx(1 - (1 + np.exp(-0.5)) / 2, abs=1e-12)


def test_iou_distance_by_hand():
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    expected = [[0, 2 / 3, 1], [2 / 3, 0, 1], [1, 1, 0]]
    np.testing.assert_allclose(iou_distances(boxes, boxes), expected, atol=1e-15)


@pytest.mark.parametrize("tracks", [0, 2])
@pytest.mark.parametrize("people", [0, 3])
def test_shapes_without_people(tracks, people):
    track_keypoints, keypoints = np.zeros((tracks, 5, 2)), np.zeros((people, 5, 2))
    is_common = np.ones((tracks, people, 5), bool)
    track_boxes, boxes = np.zeros((tracks, 4)), np.zeros((people, 4))
    shape = (tracks, people)
    has_joints = np.ones((tracks, 5), bool), np.ones((people, 5), bool)
    assert median_joint_distances(track_keypoints, keypoints, *has_joints).shape == shape
    assert oks_distances(track_keypoints, keypoints, is_common, track_boxes, boxes, np.ones(5)).shape == shape
    assert iou_distances(track_boxes, boxes).shape == shape
