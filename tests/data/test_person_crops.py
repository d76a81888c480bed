import dataclasses

import cv2
import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.crops import CropSettings
from tfpose.data import records
from tfpose.data.augmentation import Augmentation, draw_augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names

CROP = CropSettings((64, 48), margin_scale=1.25)
STRONG = Augmentation(0.5, 40.0, 0.6, (0.7, 1.3), 0.1, 0.2)
HALF = dataclasses.replace(STRONG, half_body_probability=0.5, cutout_probability=0.5)
WHOLE = slice(0, 4)


def make_table(directory, images, skeleton=COCO17):
    return records.read_table(write_dataset(directory, skeleton, images), "train")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    images = [synthetic_image(i, COCO17, num_people=1 + i % 3) for i in range(5)]
    return make_table(tmp_path_factory.mktemp("data"), images)


def assert_same_batch(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_every_epoch_shows_every_person_once_in_another_order(table):
    people = PersonCrops(table, COCO17, CROP)
    count = len(people)
    epochs = [people.batch(step, count, slice(0, count))["person"].tolist() for step in range(3)]
    assert all(sorted(epoch) == list(range(table.num_people)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_annotated_boxes_are_clipped_where_the_crop_says_so(table):
    clipping = CropSettings((64, 48), margin_scale=1.25, clips_annotated_boxes=True)
    people = PersonCrops(table, COCO17, clipping)
    plain = PersonCrops(table, COCO17, CROP)
    np.testing.assert_array_equal(people.boxes, clipping.clip_annotated(plain.boxes, table.sizes(people.images)))
    assert not np.array_equal(people.batch(0, 4, WHOLE)["keypoints"], plain.batch(0, 4, WHOLE)["keypoints"])


def test_batch_is_a_function_of_seed_and_step(table):
    first = PersonCrops(table, COCO17, CROP, STRONG, seed=3)
    again = PersonCrops(table, COCO17, CROP, STRONG, seed=3)
    assert_same_batch(first.batch(7, 4, WHOLE), again.batch(7, 4, WHOLE))
    other = PersonCrops(table, COCO17, CROP, STRONG, seed=4).batch(7, 4, WHOLE)
    assert not np.array_equal(other["crops"], first.batch(7, 4, WHOLE)["crops"])


def test_dataset_starts_at_any_step_without_the_ones_before(table):
    people = PersonCrops(table, COCO17, CROP, HALF)
    from_start = [batch for _, batch in zip(range(6), people.dataset(0, 4).as_numpy_iterator(), strict=False)]
    resumed = next(people.dataset(5, 4).as_numpy_iterator())
    assert_same_batch(from_start[5], resumed)
    assert_same_batch(resumed, people.batch(5, 4, WHOLE))


def test_dataset_has_no_thread_that_its_end_could_wait_for(table):
    assert PersonCrops(table, COCO17, CROP).dataset(0, 2).options().autotune.enabled is False


@pytest.mark.parametrize("replicas_of_workers", [[range(0, 2)], [range(0, 1), range(1, 2)]])
def test_replicas_share_the_batch_of_one_device(table, replicas_of_workers):
    people = PersonCrops(table, COCO17, CROP, HALF)
    whole = people.batch(2, 4, WHOLE)
    parts = []
    for replicas in replicas_of_workers:
        batches = people.dataset(2, 2, num_replicas=2, replicas=replicas).as_numpy_iterator()
        parts += [next(batches) for _ in replicas]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


@pytest.mark.parametrize("seed", range(8))
def test_lit_pixel_and_its_keypoint_coincide_after_augmentation(tmp_path, seed):
    """A white spot on black lies at the left ankle; its center of gravity in the crop is where the keypoint is."""
    image = synthetic_image(seed, COCO17)
    ankle = COCO17.index("left_ankle")
    rng = np.random.default_rng(seed)
    spot = rng.integers([60, 45], [100, 75])
    picture = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(picture, spot.tolist(), 3, (255, 255, 255), -1)
    image["image"] = cv2.imencode(".png", picture)[1].tobytes()
    image["people"][0]["keypoints"][ankle] = spot
    image["people"][0]["box"] = [50, 35, 110, 85]
    people = PersonCrops(make_table(tmp_path, [image]), COCO17, CROP, STRONG, seed)
    batch = people.batch(0, 1, slice(0, 1))
    weights = batch["crops"][0].astype(float).sum(axis=-1)
    y, x = (np.sum(weights * grid) / weights.sum() for grid in np.mgrid[:64, :48])
    moved = batch["keypoints"][0] - [x, y]
    distances = np.linalg.norm(moved, axis=-1)
    ankles = {COCO17.index("left_ankle"), COCO17.index("right_ankle")}
    # Mirrored people have their left ankle where the right one was.
    assert int(np.argmin(distances)) in ankles
    assert distances.min() < 0.15


def test_mirrored_people_swap_left_and_right(table):
    plain = PersonCrops(table, COCO17, CROP)
    mirrored = PersonCrops(table, COCO17, CROP, Augmentation(mirror_probability=1.0))
    a, b = plain.batch(0, 4, WHOLE), mirrored.batch(0, 4, WHOLE)
    np.testing.assert_array_equal(a["person"], b["person"])
    expected = a["keypoints"][:, COCO17.flip_order]
    expected[..., 0] = 47 - expected[..., 0]
    np.testing.assert_allclose(b["keypoints"], expected, atol=1e-4)
    assert np.abs(a["crops"][:, :, ::-1].astype(int) - b["crops"]).max() <= 1


def test_joints_map_by_name_to_another_skeleton(table):
    batch = PersonCrops(table, POSETRACK15, CROP).batch(0, 4, WHOLE)
    coco = PersonCrops(table, COCO17, CROP).batch(0, 4, WHOLE)
    knee = "left_knee"
    np.testing.assert_array_equal(
        batch["keypoints"][:, POSETRACK15.index(knee)], coco["keypoints"][:, COCO17.index(knee)]
    )
    assert not batch["weights"][:, POSETRACK15.index("head_top")].any()
    assert batch["weights"][:, POSETRACK15.index("nose")].all()


def test_crowds_and_people_without_visible_joints_are_left_out(tmp_path):
    image = synthetic_image(0, COCO17, num_people=3)
    image["people"][0]["is_crowd"] = 1
    image["people"][1]["visibility"][:] = 0
    people = PersonCrops(make_table(tmp_path, [image]), COCO17, CROP)
    assert people.rows.tolist() == [2]


def test_hidden_joints_count_and_unlabeled_ones_do_not(tmp_path):
    image = synthetic_image(0, COCO17)
    image["people"][0]["visibility"][:3] = [0, 1, 2]
    people = PersonCrops(make_table(tmp_path, [image]), COCO17, CROP)
    assert people.batch(0, 1, slice(0, 1))["weights"][0, :3].tolist() == [0, 1, 1]


def test_no_people_at_all_is_an_error_that_names_the_skeletons(tmp_path):
    empty = make_table(tmp_path / "a", [synthetic_image(0, COCO17, num_people=0)])
    with pytest.raises(ValueError, match="none of 0 people has a labeled joint of skeleton coco17"):
        PersonCrops(empty, COCO17, CROP)
    table = make_table(tmp_path / "b", [synthetic_image(0, COCO17)])
    with pytest.raises(ValueError, match=r"none of 1 people has a labeled joint of skeleton cat \(paw\)"):
        PersonCrops(table, skeleton_from_names("cat", ["paw"]), CROP)


@pytest.mark.parametrize("box", [[500, 500, 600, 700], [-90, -90, -20, -10], [80, 60, 80, 60], [20, 20, 21, 21]])
def test_odd_boxes_give_finite_examples(tmp_path, box):
    image = synthetic_image(0, COCO17)
    image["people"][0]["box"] = box
    batch = PersonCrops(make_table(tmp_path, [image]), COCO17, CROP, STRONG).batch(0, 2, slice(0, 2))
    assert np.isfinite(batch["keypoints"]).all()
    assert batch["crops"].shape == (2, 64, 48, 3)


def test_undecodable_picture_is_named(tmp_path):
    image = synthetic_image(0, COCO17)
    image["image"] = image["image"][:300]
    people = PersonCrops(make_table(tmp_path, [image]), COCO17, CROP)
    with pytest.raises(ValueError, match=r"000000.jpg \(in test-train.tfrecord-00000-of-00001\): cannot decode"):
        people.batch(0, 1, slice(0, 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("mirror_probability", 1.5), ("rotation_probability", -0.1), ("scale_range", (0.0, 1.0))],
        *[
            ("scale_range", (2, 1)),
            ("half_body_probability", 1.1),
            ("half_body_min_joints", 0),
            ("half_body_scale", 0.0),
        ],
        *[("cutout_probability", -1.0), ("cutout_radius_range", (0.2, 0.1)), ("cutout_offset", -0.1)],
    ],
)
def test_augmentation_out_of_range_is_an_error(field, value):
    with pytest.raises(ValueError, match=f"augmentation: {field} must"):
        Augmentation(**{field: value})


def test_augmentation_stays_in_its_ranges(table):
    drawn = draw_augmentation(STRONG, 4000, np.random.default_rng(0))
    assert 0.45 < drawn["is_mirrored"].mean() < 0.55
    turned = drawn["rotations_degrees"] != 0
    assert 0.55 < turned.mean() < 0.65
    assert np.abs(drawn["rotations_degrees"]).max() <= 40
    assert 0.7 <= drawn["scales"].min() < 0.72 and 1.28 < drawn["scales"].max() <= 1.3
    assert np.abs(drawn["shifts"]).max() <= 0.1
    assert drawn["color_gains"].min() >= 0.8 and drawn["color_gains"].max() <= 1.2
    assert not any(drawn[name].any() for name in ("is_half_body", "cutout_radii"))


def test_half_bodies_and_cutouts_leave_the_numbers_of_the_other_changes(table):
    """Runs without them continue, and repeat, to the bit: the six draws of before, and none behind them."""
    rng = np.random.default_rng(0)
    before = {"is_mirrored": rng.random(9) < 0.5}
    before["rotations_degrees"] = rng.uniform(-1, 1, 9) * 40 * (rng.random(9) < 0.6)
    before["scales"], before["shifts"] = rng.uniform(0.7, 1.3, 9), rng.uniform(-1, 1, (9, 2)) * 0.1
    before["color_gains"] = 1 + rng.uniform(-1, 1, (9, 3)).astype(np.float32) * 0.2
    next_number = rng.random()
    with_both = dataclasses.replace(STRONG, half_body_probability=1.0, cutout_probability=1.0)
    for settings in (STRONG, with_both):
        rng = np.random.default_rng(0)
        drawn = draw_augmentation(settings, 9, rng)
        for name, values in before.items():
            np.testing.assert_array_equal(drawn[name], values)
        assert (rng.random() == next_number) == (settings is STRONG)


def test_half_bodies_and_cutouts_have_their_probabilities_and_ranges():
    settings = Augmentation(half_body_probability=0.3, cutout_probability=0.5)
    drawn = draw_augmentation(settings, 4000, np.random.default_rng(0))
    assert 0.27 < drawn["is_half_body"].mean() < 0.33
    assert 0.47 < drawn["is_upper_body"].mean() < 0.53
    radii = drawn["cutout_radii"][drawn["cutout_radii"] > 0]
    assert 0.47 < len(radii) / 4000 < 0.53
    assert 0.1 <= radii.min() < 0.11 and 0.19 < radii.max() <= 0.2
    assert 0.048 < drawn["cutout_offsets"].std() < 0.052
    assert drawn["cutout_places"].max() < 1
