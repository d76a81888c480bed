import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.crops import CropSettings
from tfpose.data import records
from tfpose.data.augmentation import Augmentation
from tfpose.data.cutouts import blacken_discs, place_discs
from tfpose.data.person_crops import PersonCrops
from tfpose.skeletons import COCO17

CROP = CropSettings((64, 48), margin_scale=1.25)
STRONG = {"rotation_degrees": 40.0, "scale_range": (0.7, 1.3), "shift": 0.3, "mirror_probability": 0.5}


def place(keypoints, labeled, place=0.0, offset=(0.0, 0.0), radius=0.25):
    drawn = {
        "cutout_radii": np.array([radius]),
        "cutout_offsets": np.array([offset]),
        "cutout_places": np.array([place]),
    }
    return place_discs(np.array([keypoints], np.float64), np.array([labeled]), (64, 48), drawn)[0].tolist()


@pytest.mark.parametrize(("share", "joint"), [(0.0, 1), (0.49, 1), (0.5, 3), (0.99, 3)])
def test_discs_lie_over_labeled_joints_inside_the_crop(share, joint):
    keypoints = [[10, 10], [20, 30], [48, 30], [47, 0], [np.nan, np.nan]]
    disc = place(keypoints, [0, 1, 1, 1, 0], share)
    assert disc == [*keypoints[joint], 12]


def test_center_moves_by_a_share_of_the_width_and_stays_inside():
    assert place([[10, 10]], [1], offset=(0.25, -0.125)) == [22, 4, 12]
    assert place([[10, 10]], [1], offset=(-0.25, 2)) == [0, 63, 12]


def test_no_joint_inside_the_crop_means_no_disc():
    assert place([[10, 10], [90, 10]], [0, 1])[2] == 0


def test_disc_worked_by_hand():
    crops = np.full((2, 5, 6, 3), 7, np.uint8)
    blacken_discs(crops, np.array([[0.0, 2.0, 1.5], [3.0, 3.0, 0.0]]))
    expected = np.full((5, 6), 7)
    expected[1:4, :2] = 0
    np.testing.assert_array_equal(crops[0], np.repeat(expected[..., None], 3, axis=-1))
    assert (crops[1] == 7).all()


def test_patches_change_a_disc_of_the_pictures_and_nothing_else(tmp_path):
    images = [synthetic_image(i, COCO17, num_people=2) for i in range(4)]
    table = records.read_table(write_dataset(tmp_path, COCO17, images), "train")
    plain = PersonCrops(table, COCO17, CROP, Augmentation(**STRONG)).batch(0, 8, slice(0, 8))
    cut = PersonCrops(table, COCO17, CROP, Augmentation(**STRONG, cutout_probability=1.0)).batch(0, 8, slice(0, 8))
    for name in plain.keys() - {"crops"}:
        np.testing.assert_array_equal(plain[name], cut[name])
    is_cut = (cut["crops"] != plain["crops"]).any(axis=-1)
    assert not cut["crops"][is_cut].any()
    for mask in is_cut:
        rows, columns = np.nonzero(mask)
        # A disc of at most 0.2 times the width on both sides of its center.
        assert 0 < len(rows) <= np.pi * (0.2 * 48 + 1) ** 2
        assert max(np.ptp(rows), np.ptp(columns)) <= 2 * 0.2 * 48


def test_half_of_the_crops_are_cut(tmp_path):
    table = records.read_table(write_dataset(tmp_path, COCO17, [synthetic_image(0, COCO17)]), "train")
    plain = PersonCrops(table, COCO17, CROP).batch(0, 200, slice(0, 200))
    cut = PersonCrops(table, COCO17, CROP, Augmentation(cutout_probability=0.5)).batch(0, 200, slice(0, 200))
    assert 0.4 < (plain["crops"] != cut["crops"]).any(axis=(1, 2, 3)).mean() < 0.6


@pytest.mark.parametrize("seed", range(20))
def test_discs_are_whole_wherever_they_lie(seed):
    rng = np.random.default_rng(seed)
    x, y, radius = rng.uniform(0, (47, 63, 20))
    crops = np.ones((1, 64, 48, 3), np.uint8)
    blacken_discs(crops, np.array([[x, y, radius]]))
    rows, columns = np.mgrid[:64, :48]
    np.testing.assert_array_equal(crops[0, ..., 0] == 0, np.hypot(columns - x, rows - y) <= radius)
