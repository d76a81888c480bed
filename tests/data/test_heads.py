"""Where the head of a skeleton of one's own is."""

import numpy as np
import pytest

from tfpose.data.heads import find_head_centers, head_joints, mirrored_anchor_joints
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names


@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        (POSETRACK15.joints, ["nose", "head_bottom", "head_top"]),
        (COCO17.joints, ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]),
        (("thorax", "head", "eyeL", "eyeR", "forearmL"), ["head", "eyeL", "eyeR"]),
        (("wrist", "thumb", "index"), ["wrist", "thumb", "index"]),
    ],
)
def test_joints_of_the_head_are_told_by_their_names(joints, expected):
    assert [joints[index] for index in head_joints(skeleton_from_names("own", joints))] == expected


def test_a_hand_has_its_head_in_its_middle():
    people = {
        "head_box": np.full((1, 4), np.nan),
        "keypoints": np.array([[[0.0, 0], [10, 4], [500, 500]]]),
        "visibility": np.array([[2, 1, 0]]),
        "is_crowd": np.zeros(1),
    }
    hand = skeleton_from_names("hand", ("wrist", "thumb", "index"))
    assert find_head_centers(people, hand).tolist() == [[5, 2]]


FLY = skeleton_from_names("fly", ("head", "thorax", "eyeL", "eyeR"))


def two_flies():
    return {
        "head_box": np.array([[0.0, 0, 2, 2], [0, 0, 2, 2]]),
        "keypoints": np.array([[[0.0, 0], [10, 4], [20, 8], [30, 2]], [[1, 1], [5, 5], [9, 9], [3, 3]]]),
        "visibility": np.array([[2, 1, 2, 2], [2, 0, 2, 0]]),
        "is_crowd": np.zeros(2),
    }


@pytest.mark.parametrize(
    ("anchor_joints", "centers"),
    [
        ((), [[1, 1], [1, 1]]),
        (("thorax",), [[10, 4], [np.nan, np.nan]]),
        (("eyeL", "eyeR"), [[25, 5], [9, 9]]),
        (("*",), [[15, 4], [5, 5]]),
    ],
)
def test_anchor_joints_are_the_head_whatever_the_head_box_says(anchor_joints, centers):
    np.testing.assert_array_equal(find_head_centers(two_flies(), FLY, anchor_joints), centers)


@pytest.mark.parametrize("anchor_joints", [("tail",), ("eyeL", "eyeL"), ("*", "head")])
def test_anchor_joints_that_do_not_exist_are_refused(anchor_joints):
    with pytest.raises(ValueError, match=r"anchor_joints must be distinct joints among head, .*, got .*"):
        find_head_centers(two_flies(), FLY, anchor_joints)


def test_a_mirror_shows_the_right_joint_in_place_of_the_left_one():
    assert mirrored_anchor_joints(FLY, ("eyeL", "thorax")) == ("eyeR", "thorax")
    assert mirrored_anchor_joints(FLY, ("*",)) == ("*",)
