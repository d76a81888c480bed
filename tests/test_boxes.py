import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfpose import boxes

COORDINATES = st.floats(-1000, 1000, width=32)


@given(hnp.arrays(np.float32, (5, 4), elements=COORDINATES))
def test_box_formats_round_trip(values):
    back = boxes.xywh_from_xyxy(boxes.xyxy_from_xywh(values))
    np.testing.assert_allclose(back, values, atol=1e-9)


def test_overlap_by_hand():
    first = np.array([[0.0, 0, 10, 10], [0, 0, 0, 0]])
    second = np.array([[5.0, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    expected = [[50 / 150, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(boxes.intersection_over_union(first, second), expected)


def test_enlarge_moves_every_side():
    np.testing.assert_allclose(boxes.enlarge(np.array([[1, 2, 3, 4]]), 60), [[-59, -58, 63, 64]])


def test_posetrack_box_is_the_extent_grown_by_its_margin():
    keypoints = np.array([[[10.0, 20], [30, 60], [0, 0]]])
    labeled = np.array([[1, 1, 0]])
    box = boxes.around_keypoints(keypoints, labeled, 0.15)
    np.testing.assert_allclose(box, [[7, 14, 33, 66]])


def test_person_without_joints_has_an_empty_box():
    assert boxes.around_keypoints(np.ones((1, 3, 2)), np.zeros((1, 3))).tolist() == [[0, 0, 0, 0]]


def test_clip_cuts_at_the_borders():
    clipped = boxes.clip(np.array([[-5.0, -5, 700, 500]]), (480, 640))
    assert clipped.tolist() == [[0, 0, 640, 480]]
