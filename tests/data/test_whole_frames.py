import json

import cv2
import numpy as np
import pytest
from record_writing import PAYER2017_AUGMENTATION, synthetic_image, write_dataset

from tfpose.data import records
from tfpose.data.frame_augmentation import (
    FrameAugmentation,
    augmented_from_input,
    draw_frame_augmentation,
)
from tfpose.data.region_masks import draw_region_mask, read_crowd_region
from tfpose.data.whole_frames import ExampleSettings, WholeFrames
from tfpose.frame_fit import FrameFit
from tfpose.skeletons import COCO17, POSETRACK15, skeleton_from_names

FIT = FrameFit((128, 256))  # heatmaps of 32 x 64 cells
STRONG = FrameAugmentation(0.5, 30.0, 45.0, (0.5, 1.5), "magnify", 0.25, 0.25)
WHOLE = slice(0, 4)


def make_table(directory, images, skeleton=COCO17):
    return records.read_table(write_dataset(directory, skeleton, images), "train")


def posetrack_image(index, size=(120, 160), num_people=1):
    image = synthetic_image(index, POSETRACK15, size=size, num_people=num_people)
    for person in image["people"]:
        x, y = person["keypoints"][POSETRACK15.index("nose")]
        person["head_box"] = [x - 4, y - 6, x + 8, y + 6]
    return image


def first(frames, **changes):
    """The example of the table's first frame, without augmentation but for `changes`."""
    drawn = draw_frame_augmentation(FrameAugmentation(), 1, np.random.default_rng(0))
    drawn["priorities"] = np.arange(frames.max_heads)[None] / frames.max_heads
    return {name: values[0] for name, values in frames.examples(np.array([0]), drawn | changes).items()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    images = [synthetic_image(i, COCO17, num_people=1 + i % 3) for i in range(5)]
    return make_table(tmp_path_factory.mktemp("data"), images)


def assert_same_batch(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# The fit


def test_a_frame_of_the_inputs_size_stays_as_it_is():
    np.testing.assert_allclose(FIT.matrices(np.array([[128, 256]])), [[[1, 0, 0], [0, 1, 0]]], atol=1e-12)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (101, 57), (128, 512)])
def test_frames_touch_two_borders_and_lie_in_the_middle(size):
    """A picture spans [-0.5, width - 0.5]; what is left on one side is left on the other."""
    matrix = np.asarray(FIT.matrices(np.array([size])))[0]
    low = matrix @ [-0.5, -0.5, 1] + 0.5
    high = [256, 128] - (matrix @ [size[1] - 0.5, size[0] - 0.5, 1] + 0.5)
    np.testing.assert_allclose(low, high, atol=1e-9)
    assert np.isclose(low.min(), 0) and low.max() >= 0
    assert np.isclose(matrix[0, 0], matrix[1, 1]) and matrix[0, 1] == matrix[1, 0] == 0


def test_image_from_heatmap_undoes_the_fit():
    sizes = np.array([(720, 1280), (300, 100)])
    to_image = np.asarray(FIT.image_from_heatmap(sizes))
    # The middle of a frame is at input (127.5, 63.5), cell (31.875, 15.875).
    np.testing.assert_allclose(to_image @ [31.875, 15.875, 1], (sizes[:, ::-1] - 1) / 2)


def test_padding_is_black(tmp_path):
    image = posetrack_image(0, size=(120, 120))
    image["image"] = cv2.imencode(".png", np.full((120, 120, 3), 200, np.uint8))[1].tobytes()
    example = first(WholeFrames(make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT))
    # The border between picture and padding is at 63.5; interpolation dims what is within a pixel of it.
    lit = np.flatnonzero((example["images"][64] > 100).all(axis=-1))
    assert (lit.min(), lit.max()) == (64, 191)
    assert not example["images"][:, :63].any() and (example["images"][4:-4, 70:186] == 200).all()


# The augmentation


def drawn_one(**changes):
    plain = {
        "is_mirrored": np.array([False]),
        "translations": np.zeros((1, 2)),
        "rotations_degrees": np.zeros(1),
        "zooms": np.ones(1),
    }
    return plain | {name: np.array([value]) for name, value in changes.items()}


@pytest.mark.parametrize(
    ("changes", "point", "moved"),
    [
        ({}, (10, 20), (10, 20)),
        ({"is_mirrored": True}, (10, 20), (245, 20)),
        ({"translations": (7, -3)}, (10, 20), (17, 17)),
        ({"zooms": 2.0}, (127.5, 63.5), (127.5, 63.5)),
        ({"zooms": 2.0}, (128.5, 60.5), (129.5, 57.5)),
        ({"rotations_degrees": 90.0}, (137.5, 63.5), (127.5, 73.5)),
        # In this order: 10 right of the middle, mirrored 10 left, shifted to 4 left, turned to 4 above, scaled to 8.
        (
            {"is_mirrored": True, "translations": (6, 0), "rotations_degrees": 90.0, "zooms": 2.0},
            (137.5, 63.5),
            (127.5, 55.5),
        ),
    ],
)
def test_augmentation_worked_by_hand(changes, point, moved):
    matrix = augmented_from_input(drawn_one(**changes), (128, 256))[0]
    np.testing.assert_allclose(matrix @ [*point, 1], moved, atol=1e-9)


def test_scale_conventions_are_inverse():
    draws = [
        draw_frame_augmentation(FrameAugmentation(scale_range=(0.5, 1.5), scale_convention=name), 50, rng)["zooms"]
        for name, rng in (("magnify", np.random.default_rng(3)), ("divide", np.random.default_rng(3)))
    ]
    np.testing.assert_allclose(draws[0] * draws[1], 1.0)
    assert draws[0].std() > 0.1


def test_the_papers_ranges_are_filled_and_kept():
    drawn = draw_frame_augmentation(PAYER2017_AUGMENTATION, 4000, np.random.default_rng(0))
    assert 0.45 < drawn["is_mirrored"].mean() < 0.55
    ranges = {
        "translations": (-100, 100),
        "rotations_degrees": (-45, 45),
        "zooms": (0.5, 1.5),
        "intensity_shifts": (-0.25, 0.25),
        "intensity_scales": (0.75, 1.25),
    }
    for name, (low, high) in ranges.items():
        margin = 0.01 * (high - low)
        assert low <= drawn[name].min() < low + margin and high - margin < drawn[name].max() <= high, name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mirror_probability", 1.5),
        ("translation_pixels", -1.0),
        ("rotation_degrees", np.inf),
        ("scale_range", (0.0, 1.0)),
        ("scale_convention", "shrink"),
        ("intensity_shift", -0.1),
        ("intensity_scale", 1.0),
    ],
)
def test_augmentation_out_of_range_is_an_error(field, value):
    with pytest.raises(ValueError, match=f"frame augmentation: {field} must"):
        FrameAugmentation(**{field: value})


# Coordinates


@pytest.mark.parametrize("seed", range(8))
def test_lit_pixel_keypoint_head_and_region_coincide_after_augmentation(tmp_path, seed):
    """A white spot on black is the left ankle, the middle of the head box and of an ignore region."""
    image = posetrack_image(seed, size=(240, 480))
    spot = np.random.default_rng(seed).integers([200, 100], [280, 140])
    picture = np.zeros((240, 480, 3), np.uint8)
    cv2.circle(picture, spot.tolist(), 6, (255, 255, 255), -1)
    image["image"] = cv2.imencode(".png", picture)[1].tobytes()
    image["people"][0]["keypoints"][POSETRACK15.index("left_ankle")] = spot
    image["people"][0]["head_box"] = [*(spot - [5, 8]), *(spot + [5, 8])]
    corners = spot + np.array([[-40, -40], [40, -40], [40, 40], [-40, 40]])
    image["ignore_points"], image["ignore_lengths"] = corners.ravel(), [4]
    frames = WholeFrames(make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT, STRONG, seed)
    batch = {name: values[0] for name, values in frames.batch(seed, 1, slice(0, 1)).items()}
    light = batch["images"].astype(float).sum(axis=-1)
    cell = np.array([np.sum(light * grid) / light.sum() for grid in np.mgrid[:128, :256][::-1]]) / 4
    distances = np.linalg.norm(batch["keypoints"][0] - cell, axis=-1)
    assert POSETRACK15.joints[np.argmin(distances)] in ("left_ankle", "right_ankle")
    assert distances.min() < 0.05
    assert np.linalg.norm(batch["heads"][0] - cell) < 0.05
    np.testing.assert_array_equal(batch["person_heads"][0], batch["heads"][0])
    hole = batch["region_masks"] == 0
    middle = [np.mean(grid[hole]) for grid in np.mgrid[:32, :64][::-1]]
    assert np.linalg.norm(middle - cell) < 0.5


def test_mirrored_frames_swap_left_and_right(table):
    plain = WholeFrames(table, COCO17, FIT, settings=ExampleSettings(persons_per_image=3))
    mirrored = WholeFrames(
        table, COCO17, FIT, FrameAugmentation(mirror_probability=1.0), settings=ExampleSettings(persons_per_image=3)
    )
    a, b = plain.batch(0, 4, WHOLE), mirrored.batch(0, 4, WHOLE)
    np.testing.assert_array_equal(a["image"], b["image"])
    np.testing.assert_array_equal(a["person_weights"], b["person_weights"])
    is_person = a["person_weights"] > 0
    expected = a["keypoints"][is_person][:, COCO17.flip_order]
    # Input x becomes 255 - x, so cell x becomes 63.75 - x.
    expected[..., 0] = 63.75 - expected[..., 0]
    np.testing.assert_allclose(b["keypoints"][is_person], expected, atol=1e-4)
    np.testing.assert_allclose(
        b["person_heads"][is_person][:, 0], 63.75 - a["person_heads"][is_person][:, 0], atol=1e-4
    )
    assert np.abs(a["images"][:, :, ::-1].astype(int) - b["images"]).max() <= 1


# Determinism


def test_every_epoch_shows_every_labeled_frame_once_in_another_order(table):
    frames = WholeFrames(table, COCO17, FIT)
    epochs = [frames.batch(step, 5, slice(0, 5))["image"].tolist() for step in range(3)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batch_is_a_function_of_seed_and_step(table):
    frames = [WholeFrames(table, COCO17, FIT, STRONG, seed, ExampleSettings(2)) for seed in (3, 3, 4)]
    batches = [one.batch(7, 4, WHOLE) for one in frames]
    assert_same_batch(batches[0], batches[1])
    assert not np.array_equal(batches[0]["images"], batches[2]["images"])


def test_dataset_starts_at_any_step_without_the_ones_before(table):
    frames = WholeFrames(table, COCO17, FIT, STRONG, settings=ExampleSettings(persons_per_image=2))
    from_start = [batch for _, batch in zip(range(4), frames.dataset(0, 4).as_numpy_iterator(), strict=False)]
    resumed = next(frames.dataset(3, 4).as_numpy_iterator())
    assert_same_batch(from_start[3], resumed)
    assert_same_batch(resumed, frames.batch(3, 4, WHOLE))
    for name, spec in frames.dataset(0, 4).element_spec.items():
        assert spec.shape == resumed[name].shape and spec.dtype.as_numpy_dtype == resumed[name].dtype, name


@pytest.mark.parametrize("replicas_of_workers", [[range(0, 2)], [range(0, 1), range(1, 2)]])
def test_replicas_share_the_batch_of_one_device(table, replicas_of_workers):
    frames = WholeFrames(table, COCO17, FIT, STRONG, settings=ExampleSettings(persons_per_image=2))
    whole = frames.batch(2, 4, WHOLE)
    parts = []
    for replicas in replicas_of_workers:
        batches = frames.dataset(2, 2, num_replicas=2, replicas=replicas).as_numpy_iterator()
        parts += [next(batches) for _ in replicas]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


# Heads and people of interest


def test_heads_are_middles_of_head_boxes(tmp_path):
    image = posetrack_image(0, size=(128, 256))
    image["people"][0]["head_box"] = [40, 20, 60, 44]
    example = first(WholeFrames(make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT))
    np.testing.assert_allclose(example["heads"], [[50 / 4, 32 / 4]])


@pytest.mark.parametrize("head_box", [[np.nan] * 4, [0.0] * 4])
def test_without_a_head_box_it_is_the_middle_of_the_labeled_head_joints(tmp_path, head_box):
    image = synthetic_image(0, COCO17, size=(128, 256))
    person = image["people"][0]
    person["head_box"] = head_box
    for joint, place in {"nose": (40, 40), "left_eye": (44, 30), "left_ear": (60, 36)}.items():
        person["keypoints"][COCO17.index(joint)] = place
    for joint in ("right_eye", "right_ear"):
        person["visibility"][COCO17.index(joint)] = 0
    example = first(WholeFrames(make_table(tmp_path, [image]), COCO17, FIT))
    np.testing.assert_allclose(example["heads"], [[50 / 4, 35 / 4]], atol=1e-5)
    assert example["region_masks"].all()


def test_the_box_of_somebody_without_a_head_is_masked_out(tmp_path):
    image = synthetic_image(0, COCO17, size=(128, 256), num_people=2)
    image["people"][1]["visibility"][:5] = 0
    image["people"][1]["box"] = [80, 40, 120, 80]
    example = first(
        WholeFrames(make_table(tmp_path, [image]), COCO17, FIT, settings=ExampleSettings(persons_per_image=2))
    )
    assert example["head_weights"].tolist() == [1]
    assert example["person_weights"].tolist() == [1, 0]
    expected = np.ones((32, 64))
    expected[10:21, 20:31] = 0
    np.testing.assert_array_equal(example["region_masks"], expected)


def test_a_mirrored_frame_has_its_anchor_at_the_joint_that_looks_like_it(tmp_path):
    image = synthetic_image(0, COCO17, size=(128, 256))
    person = image["people"][0]
    person["head_box"] = [10, 10, 30, 30]
    for joint, place in {"left_hip": (60, 60), "right_hip": (100, 80)}.items():
        person["keypoints"][COCO17.index(joint)] = place
    frames = WholeFrames(
        make_table(tmp_path, [image]), COCO17, FIT, settings=ExampleSettings(anchor_joints=("left_hip",))
    )
    np.testing.assert_allclose(first(frames)["heads"], [[60 / 4, 60 / 4]])
    mirrored = first(frames, is_mirrored=np.array([True]))
    np.testing.assert_allclose(mirrored["heads"], [[(255 - 100) / 4, 80 / 4]], atol=1e-5)
    np.testing.assert_allclose(mirrored["keypoints"][0, COCO17.index("left_hip")], mirrored["heads"][0], atol=1e-5)


def test_an_animal_without_its_anchor_is_masked_out(tmp_path):
    image = synthetic_image(0, COCO17, size=(128, 256), num_people=2)
    image["people"][1]["visibility"][COCO17.index("left_hip")] = 0
    image["people"][1]["box"] = [80, 40, 120, 80]
    table = make_table(tmp_path, [image])
    example = first(
        WholeFrames(table, COCO17, FIT, settings=ExampleSettings(persons_per_image=2, anchor_joints=("left_hip",)))
    )
    # There are places for two heads, since mirrored frames show the right hip of the second one.
    assert example["head_weights"].tolist() == [1, 0] and example["person_weights"].tolist() == [1, 0]
    assert not example["region_masks"][10:21, 20:31].any()
    with pytest.raises(ValueError, match="anchor_joints must be distinct joints among nose, .*, got 'tail'"):
        WholeFrames(table, COCO17, FIT, settings=ExampleSettings(anchor_joints=("tail",)))


def test_heads_without_a_labeled_joint_are_heads_but_nobody_of_interest(tmp_path):
    image = posetrack_image(0, num_people=2)
    image["people"][0]["visibility"][:] = 0
    example = first(
        WholeFrames(
            make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT, settings=ExampleSettings(persons_per_image=2)
        )
    )
    assert example["head_weights"].tolist() == [1, 1]
    assert example["person_weights"].tolist() == [1, 0]
    np.testing.assert_array_equal(example["person_heads"][0], example["heads"][1])


def test_people_whose_head_leaves_the_frame_are_not_drawn(tmp_path):
    """One head in the left half, one in the right; shifting by 200 pixels leaves the left one."""
    image = posetrack_image(0, size=(128, 256), num_people=2)
    for person, x in zip(image["people"], (30, 200), strict=True):
        person["head_box"] = [x, 50, x + 10, 60]
    frames = WholeFrames(
        make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT, settings=ExampleSettings(persons_per_image=2)
    )
    assert first(frames)["person_weights"].tolist() == [1, 1]
    shifted = first(frames, translations=np.array([[200.0, 0.0]]))
    assert shifted["head_weights"].tolist() == [1, 1]
    assert shifted["person_weights"].tolist() == [1, 0]
    np.testing.assert_allclose(shifted["person_heads"][0], [235 / 4, 55 / 4])
    nobody = first(frames, translations=np.array([[-400.0, 0.0]]))
    assert not nobody["person_weights"].any() and not nobody["joint_weights"].any()


def test_everybody_is_drawn_equally_often_and_nobody_twice(tmp_path):
    table = make_table(tmp_path, [posetrack_image(0, num_people=4)], POSETRACK15)
    frames = WholeFrames(table, POSETRACK15, FIT, settings=ExampleSettings(persons_per_image=2))
    heads = frames.batch(0, 1, slice(0, 1))["heads"][0]
    counts = np.zeros(4)
    for step in range(300):
        drawn = frames.batch(step, 1, slice(0, 1))["person_heads"][0]
        places = [int(np.argmin(np.linalg.norm(heads - head, axis=1))) for head in drawn]
        assert len(set(places)) == 2
        counts[places] += 1
    # Each is expected 150 times with a deviation of 8.7.
    assert counts.sum() == 600 and np.abs(counts - 150).max() < 35


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_weights_of_joints_outside_and_without_annotation(tmp_path, weight):
    image = posetrack_image(0, size=(128, 256))
    person = image["people"][0]
    person["keypoints"][:] = [100, 60]
    person["keypoints"][1] = [256.5, 60]
    person["keypoints"][2] = [-1.9, 60]
    person["visibility"][0] = 0
    table = make_table(tmp_path, [image], POSETRACK15)
    example = first(WholeFrames(table, POSETRACK15, FIT, settings=ExampleSettings(outside_joint_weight=weight)))
    # The outer cell reaches half a cell, two input pixels, further than its center: from -2 to 254.
    assert example["joint_weights"][0].tolist() == [0.0, weight] + [1.0] * 13


def test_joints_map_by_name_to_another_skeleton(table):
    batch = WholeFrames(table, POSETRACK15, FIT).batch(0, 4, WHOLE)
    coco = WholeFrames(table, COCO17, FIT).batch(0, 4, WHOLE)
    knee = "left_knee"
    np.testing.assert_array_equal(
        batch["keypoints"][:, :, POSETRACK15.index(knee)], coco["keypoints"][:, :, COCO17.index(knee)]
    )
    np.testing.assert_array_equal(batch["heads"], coco["heads"])
    assert not batch["joint_weights"][..., POSETRACK15.index("head_top")].any()
    assert batch["joint_weights"][..., POSETRACK15.index("nose")].all()


def test_frames_without_labels_are_left_out_and_those_without_people_stay(tmp_path):
    images = [posetrack_image(0, num_people=0), posetrack_image(1, num_people=0), posetrack_image(2)]
    images[1]["is_labeled"] = 0
    frames = WholeFrames(make_table(tmp_path, images, POSETRACK15), POSETRACK15, FIT)
    batch = frames.batch(0, 2, slice(0, 2))
    assert sorted(batch["image"].tolist()) == [0, 2]
    empty = batch["image"].tolist().index(0)
    assert not batch["head_weights"][empty].any() and not batch["person_weights"][empty].any()
    assert batch["region_masks"][empty].all()


def test_nobody_to_learn_from_is_an_error_that_names_the_skeletons(tmp_path):
    empty = make_table(tmp_path / "a", [synthetic_image(0, COCO17, num_people=0)])
    with pytest.raises(ValueError, match="none of 0 people in 1 labeled frames has a head and a labeled joint"):
        WholeFrames(empty, COCO17, FIT)
    table = make_table(tmp_path / "b", [synthetic_image(0, COCO17)])
    with pytest.raises(ValueError, match=r"none of 1 people .* of skeleton cat \(paw\)"):
        WholeFrames(table, skeleton_from_names("cat", ["paw"]), FIT)
    with pytest.raises(ValueError, match="persons_per_image must be at least 1, got 0"):
        ExampleSettings(persons_per_image=0)
    with pytest.raises(ValueError, match=r"outside_joint_weight must lie in \[0, 1\], got 2"):
        ExampleSettings(outside_joint_weight=2)


def test_undecodable_picture_is_named(tmp_path):
    image = synthetic_image(0, COCO17)
    image["image"] = image["image"][:300]
    frames = WholeFrames(make_table(tmp_path, [image]), COCO17, FIT)
    with pytest.raises(ValueError, match=r"000000.jpg \(in test-train.tfrecord-00000-of-00001\): cannot decode"):
        frames.batch(0, 1, slice(0, 1))


# Regions


def test_a_frame_that_is_ignored_as_a_whole(tmp_path):
    image = posetrack_image(0, size=(128, 256))
    image["ignore_points"], image["ignore_lengths"] = [-900, -900, 900, -900, 900, 900, -900, 900], [4]
    example = first(WholeFrames(make_table(tmp_path, [image], POSETRACK15), POSETRACK15, FIT))
    assert not example["region_masks"].any()
    assert example["person_weights"].tolist() == [1]


def test_region_mask_worked_by_hand():
    """In a frame four times the map's size the corners are cells; degenerate polygons enclose nothing."""
    quarter = np.array([[0.25, 0, 0], [0, 0.25, 0]])
    polygons = [
        np.array([[8, 4], [16, 4], [16, 12], [8, 12]]),
        np.array([[0, 0], [40, 40]]),
        np.zeros((0, 2)),
        np.array([[0, 0], [np.nan, 4], [4, 4]]),
    ]
    bitmap = np.zeros((24, 32), np.uint8)
    bitmap[20, 28] = 1
    mask = draw_region_mask(polygons, [bitmap], quarter, (6, 8))
    expected = np.ones((6, 8))
    expected[1:4, 2:5] = 0
    expected[5, 7] = 0
    np.testing.assert_array_equal(mask, expected)


def crowd_segmentation(bitmap):
    """COCO's run lengths of a bitmap, down the columns."""
    flat = bitmap.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    return json.dumps({"counts": counts, "size": list(bitmap.shape)})


def test_crowds_are_masked_by_their_run_lengths(tmp_path):
    image = synthetic_image(0, COCO17, size=(128, 256), num_people=2)
    bitmap = np.zeros((128, 256), np.uint8)
    bitmap[40:81, 80:121] = 1
    bitmap[60:, 200:] = 1
    crowd = image["people"][1]
    crowd.update(is_crowd=1, segmentation=crowd_segmentation(bitmap), box=[80, 40, 255, 127])
    example = first(
        WholeFrames(make_table(tmp_path, [image]), COCO17, FIT, settings=ExampleSettings(persons_per_image=2))
    )
    np.testing.assert_array_equal(example["region_masks"], 1 - bitmap[::4, ::4])
    assert example["head_weights"].tolist() == [1]
    assert example["person_weights"].tolist() == [1, 0]


def test_crowds_of_polygons_and_without_a_segmentation():
    box = np.array([1.0, 2, 5, 9])
    polygons, bitmaps = read_crowd_region("[[0, 0, 4, 0, 4, 3]]", box)
    assert polygons[0].tolist() == [[0, 0], [4, 0], [4, 3]] and bitmaps == []
    for text in ("", '{"counts": "aX1", "size": [4, 4]}'):
        polygons, bitmaps = read_crowd_region(text, box)
        assert polygons[0].tolist() == [[1, 2], [5, 2], [5, 9], [1, 9]] and bitmaps == []


def test_damaged_run_lengths_name_the_picture(tmp_path):
    image = synthetic_image(0, COCO17, num_people=2)
    image["people"][1].update(is_crowd=1, segmentation=json.dumps({"counts": [5, 5], "size": [120, 160]}))
    frames = WholeFrames(make_table(tmp_path, [image]), COCO17, FIT)
    with pytest.raises(ValueError, match=r"000000.jpg .*: crowd 2: segmentation: counts must add up to 120 x 160"):
        frames.batch(0, 1, slice(0, 1))
