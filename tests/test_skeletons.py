import json
import re

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


@pytest.mark.parametrize(
    ("joint", "like"),
    [
        *(("Nearfrontfoot", "paw"), ("left_rear_paw", "paw"), ("rear_left", "paw"), ("left_rear", "paw")),
        *(("forearmL", "paw"), ("near_hip", "hip"), ("Rear Left Knee", "knee"), ("near_ear", "ear"), ("rear", "ear")),
        *(("lear", "ear"), ("L_EarBase", "ear"), ("innerear", "ear"), ("righteye", "eye"), ("leftkneecap", "knee")),
    ],
)
def test_the_sigma_is_that_of_the_joint_that_a_name_means(joint, like):
    assert skeletons.default_sigma(joint) == skeletons.default_sigma(like)


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
        (("a", "b", "c"), [("a", "b"), ("b", "c")], "at most once"),
        (("a", "b"), [("a", "z")], "unknown joint 'z'"),
        (("a", "a"), [], "distinct names"),
    ],
)
def test_flip_map_that_is_not_a_mirror_is_an_error(joints, pairs, message):
    with pytest.raises(ValueError, match=message):
        skeletons.skeleton_from_names("odd", joints, (), pairs)


SIDED_NAMES = {
    "left_eye": "right_eye",
    "LEFT-EYE": "RIGHT-EYE",
    "Left Eye": "Right Eye",
    "leftEye": "rightEye",
    "LeftEye": "RightEye",
    "eye.left": "eye.right",
    "L_Eye": "R_Eye",
    "L_F_Elbow": "R_F_Elbow",
    "eye_l": "eye_r",
    "eyeL": "eyeR",
    "LShoulder": "RShoulder",
    "forelegL1": "forelegR1",
    "near_knee": "off_knee",
    "Nearknee": "Offknee",
    "lefteye": "righteye",
    "eyeleft": "eyeright",
    "lknee": "rknee",
    "kneel": "kneer",
    "left_eye_left_corner": "right_eye_right_corner",
    "left_eye_right_corner": "right_eye_left_corner",
    "L_ear_left": "L_ear_right",
    "Lt_Knee": "Rt_Knee",
    "leg1L": "leg1R",
    "FLpaw": "FRpaw",
    "LSHO": "RSHO",
    "\u5de6\u773c": "\u53f3\u773c",
    "izq_ojo": "der_ojo",
    "OjoIzquierdo": "OjoDerecho",
    "joelho_esquerdo": "joelho_direito",
    "spalla_sinistra": "spalla_destra",
    "\u0153il_gauche": "\u0153il_droit",
    "\u00e9paule_gauche": "\u00e9paule_droite",
    "knie_links": "knie_rechts",
    "LinkesKnie": "RechtesKnie",
}


@pytest.mark.parametrize(("left", "right"), SIDED_NAMES.items())
def test_sides_are_found_however_they_are_written(left, right):
    assert skeletons.left_right_pairs_by_name([right, "nose", left]) == ((left, right),)
    skeleton = skeletons.skeleton_from_names("own", (right, "nose", left))
    assert skeleton.sides == ("right", None, "left")
    assert skeletons.unpaired_sided_joints(skeleton) == ()


def test_front_and_rear_are_no_sides():
    pairs = (("FL", "FR"), ("RL", "RR"))
    assert skeletons.left_right_pairs_by_name(["FL", "FR", "RL", "RR"]) == pairs
    assert skeletons.left_right_pairs_by_name(["LF", "RF", "LR", "RR"]) == (("LF", "RF"), ("LR", "RR"))


def test_sides_of_an_animal():
    joints = ("L_Eye", "R_Eye", "Nose", "L_EarBase", "R_EarBase", "Throat", "TailBase", "Withers", "L_F_Elbow")
    joints += ("R_F_Elbow", "L_B_Elbow", "R_B_Elbow")
    assert skeletons.skeleton_from_names("dog", joints).flip_order.tolist() == [1, 0, 2, 4, 3, 5, 6, 7, 9, 8, 11, 10]


@pytest.mark.parametrize("joints", [("nose", "tail"), ("lip", "chin"), ("rear_foot", "clear"), ("l1", "l2"), ("left",)])
def test_names_without_a_partner_are_no_pair(joints):
    assert skeletons.left_right_pairs_by_name(joints) == ()


@pytest.mark.parametrize(
    ("joints", "unpaired"),
    [
        (("left_paw", "right_foot", "tail"), ("left_paw", "right_foot")),
        (("L_Tail", "nose"), ("L_Tail",)),
        (("lefteye", "nose"), ("lefteye",)),
        (("tail", "rear", "lip"), ()),
    ],
)
def test_joints_that_look_sided_but_have_no_partner_are_told(joints, unpaired):
    skeleton = skeletons.skeleton_from_names("own", joints)
    assert skeletons.unpaired_sided_joints(skeleton) == unpaired


def test_pairs_that_are_given_always_win():
    given = [("right_a", "left_b"), ("left_a", "left_c")]
    skeleton = skeletons.skeleton_from_names("odd", ("left_a", "right_a", "left_b", "left_c"), (), given)
    assert skeleton.flip_order.tolist() == [3, 2, 1, 0]
    assert skeleton.sides == ("left", "left", "right", "right")


@pytest.mark.parametrize(
    ("entries", "limbs", "note"),
    [
        (None, (), ""),
        ([], (), ""),
        ([[1, 2], [2, 3]], ((0, 1), (1, 2)), ""),
        ([[0, 1], [1, 2]], ((0, 1), (1, 2)), "'skeleton' must be counted from 1, got 0; .* counted from 0$"),
        ([[1, 2], [1, 7]], ((0, 1),), r"positions from 1 to 3, got \[1, 7\]; 1 of 2 limbs are left out$"),
        ([[0, 1], [1, 3]], ((0, 1),), r"from 1, got 0; .*from 0 to 2, got \[1, 3\]; 1 of 2 limbs are left out$"),
        ([[2, 2], [3, -1], [1, None], [1], 5, ["1", "2"], [True, 2], [3, 2]], ((2, 1),), r"got \[2, 2\]; 7 of 8 limbs"),
        ("all", (), "'skeleton' must be a list of pairs, got 'all'; no limbs are drawn"),
    ],
)
def test_limbs_are_read_as_far_as_they_are_right(entries, limbs, note):
    category = {"keypoints": ["a", "b", "c"], "skeleton": entries}
    found = skeletons.limbs_of_coco_category(category)
    assert found[0] == skeletons.skeleton_from_coco_category(category).limbs == limbs
    assert re.search(note, found[1]) and bool(note) == bool(found[1])


def test_a_limb_of_a_skeleton_must_join_two_joints():
    with pytest.raises(ValueError, match=r"limb must join two of the 2 joints, got \(0, 0\)"):
        skeletons.Skeleton("odd", ("a", "b"), ((0, 0),), (), np.ones(2))


def test_limbs_may_be_given_once():
    joints = ("wrist", "thumb", "index")
    limbs = [("wrist", "thumb"), ("wrist", "index")]
    assert skeletons.skeleton_from_names("hand", joints, iter(limbs)).limbs == ((0, 1), (0, 2))


def test_category_without_joint_names_is_an_error():
    with pytest.raises(ValueError, match="'keypoints' must be a list of joint names, got None"):
        skeletons.skeleton_from_coco_category({"name": "person"})


def test_joints_map_by_name():
    values = np.arange(17)[:, None].astype(float)
    mapped = skeletons.map_joints(values, COCO17.joints, POSETRACK15.joints, fill=-1)
    assert mapped[POSETRACK15.index("left_knee"), 0] == COCO17.index("left_knee")
    assert mapped[POSETRACK15.index("head_top"), 0] == -1
