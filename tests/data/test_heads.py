"""Where the head of a skeleton of one's own is."""

import numpy as np
import pytest

from tfpose.data.heads import find_head_centers, head_joints
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
