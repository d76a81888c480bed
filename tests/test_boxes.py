import numpy as np
import pytest
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


def test_posetrack_box_is_the_extent_grown_by_its_margin():
    keypoints = np.array([[[10.0, 20], [30, 60], [0, 0]]])
    labeled = np.array([[1, 1, 0]])
    box = boxes.around_keypoints(keypoints, labeled, 0.15)
    np.testing.assert_allclose(box, [[7, 14, 33, 66]])


def test_person_without_joints_has_an_empty_box():
    assert boxes.around_keypoints(np.ones((1, 3, 2)), np.zeros((1, 3))).tolist() == [[0, 0, 0, 0]]


def test_boxes_around_tensors_are_those_around_arrays():
    import tensorflow as tf
    from keras import ops

    rng = np.random.default_rng(0)
    keypoints = rng.uniform(-5, 5, (4, 6, 2)).astype(np.float32)
    scores = np.maximum(rng.uniform(-1, 1, (4, 6)), 0).astype(np.float32)
    scores[1] = 0
    expected = boxes.around_keypoints(keypoints, scores > 0, 0.15)
    assert expected.dtype == np.float32 and expected[1].tolist() == [0, 0, 0, 0]

    @tf.function(input_signature=[tf.TensorSpec((None, 6, 2)), tf.TensorSpec((None, 6))])
    def in_graph(keypoints, scores):
        return boxes.around_keypoints(keypoints, scores > 0, 0.15, xp=ops)

    for people in (slice(None), slice(0)):
        np.testing.assert_array_equal(in_graph(keypoints[people], scores[people]), expected[people])


def test_clip_cuts_at_the_borders():
    clipped = boxes.clip(np.array([[-5.0, -5, 700, 500]]), (480, 640))
    assert clipped.tolist() == [[0, 0, 640, 480]]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16])
def test_areas_and_overlaps_do_not_depend_on_the_type_of_the_numbers(kind):
    known = np.array([[0, 0, 250, 240], [100, 100, 250, 240], [50, 50, 40, 90]])
    given = known.astype(kind)
    assert boxes.areas(given).tolist() == [60000, 21000, 0]
    np.testing.assert_allclose(
        boxes.intersection_over_union(given, given), boxes.intersection_over_union(known, known), rtol=1e-6
    )
