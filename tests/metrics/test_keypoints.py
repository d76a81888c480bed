"""PCK and PCKh: cases worked by hand, a sentence each."""

from __future__ import annotations

import numpy as np
import pytest

from tfpose.evaluation.metrics_file import describe_correct_keypoints
from tfpose.metrics.keypoints import CorrectKeypoints, pck, pckh, torso_diagonals
from tfpose.skeletons import COCO17, skeleton_from_names

ONE = np.ones((1, 1))


def at(*points) -> np.ndarray:
    """One person's keypoints [1, J, 2]."""
    return np.array([points], dtype=np.float64)


def pck_of_one(error: float, size: float, **options) -> float:
    return pck(at((error, 0)), at((0, 0)), ONE, np.array([size]), **options).over_all_keypoints


def test_an_error_of_exactly_the_threshold_is_correct():
    """0.25 of a person of 40 pixels is 10 pixels: 10 is correct, a hair more is not."""
    assert pck_of_one(10.0, 40.0, threshold=0.25) == 1
    assert pck_of_one(10.001, 40.0, threshold=0.25) == 0


def test_errors_are_euclidean():
    """3 and 4 pixels along the axes are 5 pixels: correct for size 25 at 0.2, wrong for 24."""
    for size, expected in ((25.0, 1), (24.0, 0)):
        result = pck(at((3, 4)), at((0, 0)), ONE, np.array([size]))
        assert result.over_all_keypoints == expected


def test_each_person_has_a_size_of_their_own():
    """Both are 10 pixels off, which is a tenth of the first person and half of the second."""
    predicted, true = np.full((2, 1, 2), [10.0, 0.0]), np.zeros((2, 1, 2))
    result = pck(predicted, true, np.ones((2, 1)), np.array([100.0, 20.0]))
    assert (result.correct.tolist(), result.labeled.tolist()) == ([1], [2])


def test_mean_over_joints_and_share_of_all_keypoints_differ():
    """Joint 0: 1 of 1; joint 1: 1 of 3; mean of joints 2/3, but 2 of 4 keypoints."""
    true = np.zeros((3, 2, 2))
    predicted = true.copy()
    predicted[1:, 1] = 99
    is_visible = np.array([[1, 1], [0, 1], [0, 1]])
    result = pck(predicted, true, is_visible, np.full(3, 10.0))
    np.testing.assert_allclose(result.per_joint, [1, 1 / 3])
    assert result.mean_over_joints == pytest.approx(2 / 3)
    assert result.over_all_keypoints == 0.5


def test_joints_that_are_not_labeled_do_not_count_whatever_is_predicted():
    """The second joint has no label: a NaN there and a prediction far away change nothing."""
    result = pck(at((0, 0), (500, 0)), at((0, 0), (np.nan, 0)), [[1, 0]], np.array([10.0]))
    assert result.labeled.tolist() == [1, 0]
    np.testing.assert_array_equal(result.per_joint, [1, np.nan])
    assert result.mean_over_joints == 1


def test_a_keypoint_that_was_not_found_is_wrong():
    """It counts, as a miss, and does not vanish from the share."""
    result = pck(at((np.nan, np.nan)), at((0, 0)), ONE, np.array([10.0]))
    assert (result.correct.tolist(), result.labeled.tolist()) == ([0], [1])


def test_a_person_without_a_size_is_left_out():
    result = pck(at((0, 0)), at((0, 0)), ONE, np.array([np.nan]))
    assert result.labeled.tolist() == [0]
    assert np.isnan(result.mean_over_joints)
    assert np.isnan(result.over_all_keypoints)


def test_counts_of_parts_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(1)
    predicted, true = rng.normal(0, 5, (2, 20, 4, 2))
    is_visible, sizes = rng.random((20, 4)) < 0.7, rng.uniform(20, 60, 20)
    whole = pck(predicted, true, is_visible, sizes)
    parts = [pck(predicted[part], true[part], is_visible[part], sizes[part]) for part in (slice(0, 3), slice(3, 20))]
    added = parts[0] + parts[1]
    assert isinstance(added, CorrectKeypoints)
    assert 0 < whole.correct.sum() < whole.labeled.sum()
    np.testing.assert_array_equal(added.correct, whole.correct)
    np.testing.assert_array_equal(added.labeled, whole.labeled)


def test_pckh_allows_half_of_six_tenths_of_the_head_boxs_diagonal():
    """A head box of 30 x 40 has a diagonal of 50 and a segment of 30: 15 pixels are correct."""
    head_boxes = np.array([[100.0, 50.0, 130.0, 90.0]])
    for error, expected in ((14.999, 1), (15.001, 0)):
        result = pckh(at((error, 0)), at((0, 0)), ONE, head_boxes)
        assert result.over_all_keypoints == expected


def test_torso_diagonal_goes_from_shoulder_to_opposite_hip():
    """Right shoulder (0, 0) to left hip (30, 40) is 50; left shoulder to right hip would be 10."""
    keypoints, is_visible = np.zeros((4, 17, 2)), np.zeros((4, 17), bool)
    for joint, point in {
        "right_shoulder": (0, 0),
        "left_hip": (30, 40),
        "left_shoulder": (100, 0),
        "right_hip": (100, 10),
    }.items():
        keypoints[:, COCO17.index(joint)] = point
        is_visible[:, COCO17.index(joint)] = True
    # The second person falls back to the other diagonal, the third has neither.
    is_visible[1:3, COCO17.index("left_hip")] = False
    is_visible[2, COCO17.index("left_shoulder")] = False
    # A torso without extent is no size either: both diagonals of the fourth are points.
    keypoints[3] = 7
    sizes = torso_diagonals(keypoints, is_visible, COCO17)
    np.testing.assert_array_equal(sizes, [50, 10, np.nan, np.nan])


def test_torso_diagonals_name_the_joint_that_the_skeleton_lacks():
    head = skeleton_from_names("head", ("nose", "neck"))
    with pytest.raises(ValueError, match="head: unknown joint 'left_shoulder'"):
        torso_diagonals(np.zeros((1, 2, 2)), np.ones((1, 2)), head)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.zeros((1, 2, 2))}, r"predicted must be \(1, 1, 2\) .* got \(1, 2, 2\)"),
        ({"true": np.zeros((1, 2))}, r"true must be \[people, joints, 2\], got \(1, 2\)"),
        ({"is_visible": np.ones((1, 2))}, r"is_visible must be \(1, 1\) .* got \(1, 2\)"),
        ({"normalizers": np.zeros(1)}, "normalizers must be positive .* got 0.0 at 0"),
        ({"normalizers": np.array([np.inf])}, "normalizers must be positive .* got inf at 0"),
        ({"true": at((np.nan, 0))}, "true must be finite where visible, got .* person 0, joint 0"),
    ],
)
def test_pck_says_which_argument_is_wrong(change, message):
    arguments = {
        "predicted": at((0, 0)),
        "true": at((0, 0)),
        "is_visible": ONE,
        "normalizers": np.ones(1),
    }
    with pytest.raises(ValueError, match=message):
        pck(**(arguments | change))


def test_pckh_wants_one_box_per_person():
    with pytest.raises(ValueError, match=r"head_boxes must be \(1, 4\), got \(4,\)"):
        pckh(at((0, 0)), at((0, 0)), ONE, np.zeros(4))


@pytest.mark.parametrize(
    ("joints", "names"),
    [
        (["nose", "head_bottom"], ["nose", "neck"]),
        # A skeleton that has both keeps both.
        (["neck", "head_bottom"], ["neck", "head_bottom"]),
    ],
)
def test_joints_have_the_names_of_posetracks_metrics(joints, names):
    counts = CorrectKeypoints(np.array([1, 3]), np.array([2, 4]))
    entry = describe_correct_keypoints(counts, skeleton_from_names("two", joints))
    assert entry["joints"] == dict(zip(names, [50.0, 75.0], strict=True))
