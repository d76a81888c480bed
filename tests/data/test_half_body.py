import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.crops import CropSettings
from tfpose.data import records
from tfpose.data.augmentation import Augmentation
from tfpose.data.half_body import find_upper_body, half_body_boxes
from tfpose.data.person_crops import PersonCrops
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names

CROP = CropSettings((64, 48), margin_scale=1.25)
ALWAYS = Augmentation(half_body_probability=1.0, half_body_min_joints=6, half_body_scale=1.2)
BOX = [0.0, 0.0, 100.0, 200.0]
SMALL = skeleton_from_names("small", ("nose", "l_wrist", "r_wrist", "l_knee", "r_knee", "l_hip"))
# By hand: the mean of the upper joints is (30, 40) and their extent 60 x 30; of the lower ones (50, 150), 20 x 90.
KEYPOINTS = np.array([[30, 60], [0, 30], [60, 30], [40, 195], [60, 150], [50, 105]], np.float32)


def boxes_of(is_upper=True, labeled=(1,) * 6, settings=ALWAYS, is_half=True):
    """The box of one person of the small skeleton."""
    drawn = {"is_half_body": np.array([is_half]), "is_upper_body": np.array([is_upper])}
    mask = find_upper_body(settings, SMALL)
    people = np.array([BOX]), KEYPOINTS[None], np.array([labeled], bool)
    return half_body_boxes(settings, mask, *people, drawn)[0].tolist()


def test_box_of_a_half_body_worked_by_hand():
    assert boxes_of(is_upper=True) == pytest.approx([30 - 36, 40 - 18, 30 + 36, 40 + 18])
    assert boxes_of(is_upper=False) == pytest.approx([50 - 12, 150 - 54, 50 + 12, 150 + 54])
    assert boxes_of(is_half=False) == BOX


def test_a_half_with_few_joints_shows_the_other_half_or_the_whole_person():
    settings = Augmentation(half_body_probability=1.0, half_body_min_joints=4)
    assert boxes_of(True, (1, 1, 0, 1, 1, 1), settings) == boxes_of(False)
    assert boxes_of(False, (1, 1, 1, 1, 1, 0), settings) == boxes_of(True)
    assert boxes_of(True, (1, 1, 0, 1, 1, 0), settings) == BOX


def test_people_with_few_labeled_joints_keep_their_box():
    assert boxes_of(True, (1, 1, 1, 1, 1, 0)) == BOX


def test_unlabeled_joints_do_not_count():
    settings = Augmentation(half_body_probability=1.0, half_body_min_joints=1)
    skeleton = skeleton_from_names("more", (*SMALL.joints, "head_top"))
    keypoints = np.concatenate([KEYPOINTS, [[np.nan, np.nan]]])
    drawn = {"is_half_body": np.array([True]), "is_upper_body": np.array([True])}
    labeled = np.array([[1, 1, 1, 1, 1, 1, 0]], bool)
    mask = find_upper_body(settings, skeleton)
    boxes = half_body_boxes(settings, mask, np.array([BOX]), keypoints[None], labeled, drawn)
    assert boxes[0].tolist() == boxes_of(True)


@pytest.mark.parametrize(("skeleton", "count"), [(COCO17, 11), (POSETRACK15, 9)])
def test_upper_body_of_the_known_skeletons_is_all_above_the_hips(skeleton, count):
    upper = np.array(skeleton.joints)[find_upper_body(ALWAYS, skeleton)]
    assert len(upper) == count
    assert not [joint for joint in upper if any(part in joint for part in ("hip", "knee", "ankle"))]


def test_upper_body_can_be_named():
    fly = skeleton_from_names("fly", ("head", "thorax", "legL", "legR", "wingL", "wingR"))
    settings = Augmentation(half_body_probability=1.0, half_body_min_joints=6, upper_body_joints=("thorax", "head"))
    assert find_upper_body(settings, fly).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {},
            r"^augmentation: half_body_probability must be 0 for skeleton fly, .* \(hip, .*\), got 0.3; or set up",
        ),
        (
            {"upper_body_joints": ("nose",)},
            r"^augmentation: upper_body_joints must be .* fly \(head, legL.*got \('nose',\)",
        ),
        (
            {"upper_body_joints": ("legR", "legL", "head")},
            "^augmentation: upper_body_joints must be some but not all joints",
        ),
        ({"half_body_min_joints": 9}, "^augmentation: half_body_min_joints must be at most 3, .* skeleton fly, got 9"),
    ],
)
def test_skeleton_without_halves_is_an_error_that_names_the_setting(tmp_path, changes, message):
    fly = skeleton_from_names("fly", ("head", "legL", "legR"))
    table = records.read_table(write_dataset(tmp_path, fly, [synthetic_image(0, fly)]), "train")
    settings = Augmentation(**{"half_body_probability": 0.3, "half_body_min_joints": 3, **changes})
    with pytest.raises(ValueError, match=message) as caught:
        PersonCrops(table, fly, CROP, settings)
    assert "\n" not in str(caught.value)
    PersonCrops(table, fly, CROP)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_crop_of_a_half_body_shows_that_half_at_the_published_size(tmp_path, is_mirrored):
    """The larger side of the joints' extent is 1 / 1.5 of the crop, and the mean of the joints its center."""
    table = records.read_table(write_dataset(tmp_path, COCO17, [synthetic_image(3, COCO17)]), "train")
    settings = Augmentation(mirror_probability=float(is_mirrored), half_body_probability=1.0)
    seen = set()
    for seed in range(8):
        batch = PersonCrops(table, COCO17, CROP, settings, seed).batch(0, 1, slice(0, 1))
        is_upper = find_upper_body(settings, COCO17)
        halves = [batch["keypoints"][0, mask] for mask in (is_upper, ~is_upper)]
        shown = [np.allclose(half.mean(axis=0), (23 if is_mirrored else 24, 32), atol=1e-3) for half in halves]
        assert sum(shown) == 1
        half = halves[shown.index(True)]
        assert np.max(np.ptp(half, axis=0) / (48, 64)) == pytest.approx(1 / 1.5, rel=1e-4)
        assert batch["weights"].all()
        seen.add(shown.index(True))
    assert seen == {0, 1}
