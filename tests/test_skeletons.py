import json

import numpy as np
import pytest

from tfpose import skeletons
from tfpose.skeletons import COCO17, POSETRACK15, POSETRACK18


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15, POSETRACK18])
def test_flip_twice_is_the_same_order(skeleton):
    order = skeleton.flip_order
    assert order[order].tolist() == list(range(skeleton.num_joints))


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15, POSETRACK18])
def test_flip_swaps_left_and_right_and_nothing_else(skeleton):
    for joint, other in zip(skeleton.joints, skeleton.flip_order, strict=True):
        swapped = joint.replace("left", "#").replace("right", "left").replace("#", "right")
        assert skeleton.joints[other] == swapped


def test_sigmas_of_coco():
    eyes = [0.026, 0.025, 0.025, 0.035, 0.035]
    body = [0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
    np.testing.assert_allclose(COCO17.sigmas, eyes + body)


def test_posetrack_file_layout_has_the_evaluated_joints():
    assert set(POSETRACK18.joints) - set(POSETRACK15.joints) == {"left_ear", "right_ear"}


def test_skeleton_survives_json():
    again = skeletons.skeleton_from_dict(json.loads(json.dumps(POSETRACK15.to_dict())))
    assert again == POSETRACK15


def test_category_of_coco_is_the_known_skeleton():
    category = {"name": "person", "keypoints": list(COCO17.joints), "skeleton": [[16, 14]]}
    assert skeletons.skeleton_from_coco_category(category) is COCO17


def test_category_with_joints_of_its_own():
    category = {
        "keypoints": ["Right Paw", "tail", "Left Paw"],
        "skeleton": [[1, 2], [2, 3]],
        "name": "cat",
    }
    cat = skeletons.skeleton_from_coco_category(category)
    assert cat.flip_order.tolist() == [2, 1, 0]
    assert cat.limbs == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("joints", "pairs", "message"),
    [
        (("left_a", "right_a"), [("left_a", "left_a")], "at most once"),
        (("left_a", "right_a"), [("right_a", "left_a")], "left joint with a right one"),
        (("left_a", "left_b"), [("left_a", "left_b")], "left joint with a right one"),
        (("a", "b", "c"), [("a", "b"), ("b", "c")], "at most once"),
        (("left_a", "b"), [], "names a side but has no partner"),
        (("a", "b"), [("a", "z")], "unknown joint 'z'"),
        (("a", "a"), [], "distinct names"),
    ],
)
def test_flip_map_that_is_not_a_mirror_is_an_error(joints, pairs, message):
    with pytest.raises(ValueError, match=message):
        skeletons.skeleton_from_names("odd", joints, (), pairs)


def test_limb_of_a_joint_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"limb must join two of the 2 joints, got \(0, 6\)"):
        skeletons.skeleton_from_coco_category({"keypoints": ["a", "b"], "skeleton": [[1, 7]]})


def test_category_without_joint_names_is_an_error():
    with pytest.raises(ValueError, match="'keypoints' must be a list of joint names, got None"):
        skeletons.skeleton_from_coco_category({"name": "person"})


def test_joints_map_by_name():
    values = np.arange(17)[:, None].astype(float)
    mapped = skeletons.map_joints(values, COCO17.joints, POSETRACK15.joints, fill=-1)
    assert mapped[POSETRACK15.index("left_knee"), 0] == COCO17.index("left_knee")
    assert mapped[POSETRACK15.index("head_top"), 0] == -1
