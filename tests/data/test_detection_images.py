"""Training images of the detector: what lies on a person stays on them, and batches are functions of the step."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset

from tfpose.data.detection_images import DetectionImages, DetectionInput
from tfpose.data.records import read_table
from tfpose.models.keypoint_rcnn.ignored_areas import IGNORED_STRIDE
from tfpose.models.keypoint_rcnn.images import resized_size
from tfpose.skeletons import COCO17, POSETRACK15

SIZE = (60, 90)
INPUT = DetectionInput(shortest_edges=(60,), longest_edge=128, padded_size=(64, 128), mirror_probability=0.0)


def input_settings(**changes):
    values = {name: getattr(INPUT, name) for name in vars(INPUT)}
    return DetectionInput(**{**values, **changes})


def lit_image(index, box, joints, size=SIZE, skeleton=POSETRACK15):
    """Black, with a box lit in red and the joints, by name, in green."""
    image = synthetic_image(index, skeleton, size)
    picture = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    picture[y1:y2, x1:x2, 0] = 255
    person = image["people"][0]
    person["visibility"] = np.zeros(skeleton.num_joints, int)
    for name, (x, y) in joints.items():
        picture[y, x, 1] = 255
        person["keypoints"][skeleton.index(name)] = x, y
        person["visibility"][skeleton.index(name)] = 2
    person["box"] = box
    return {**image, "image": cv2.imencode(".png", picture[..., ::-1])[1].tobytes()}


def images_of(directory, images, settings=INPUT, skeleton=POSETRACK15, seed=0):
    return DetectionImages(read_table(write_dataset(directory, skeleton, images), "train"), skeleton, settings, seed)


def example(images, row=0, shortest_edge=60, is_mirrored=False):
    drawn = {
        "shortest_edges": np.array([shortest_edge]),
        "is_mirrored": np.array([is_mirrored]),
        "sample_seeds": np.zeros((1, 2), np.int32),
    }
    return {name: values[0] for name, values in images.examples(np.array([row]), drawn).items()}


@pytest.mark.parametrize("shortest_edge", [60, 30])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_boxes_and_joints_stay_on_what_they_mark(tmp_path, shortest_edge, is_mirrored):
    box, joints = (20, 10, 50, 40), {"left_wrist": (25, 15), "right_knee": (45, 33)}
    images = images_of(tmp_path, [lit_image(0, box, joints)], input_settings(shortest_edges=(30, 60)))
    found = example(images, shortest_edge=shortest_edge, is_mirrored=is_mirrored)
    rows, columns = np.nonzero(found["images"][..., 0] > 127)
    lit = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found["boxes"][0], lit)
    names = {"left_wrist": "right_wrist", "right_knee": "left_knee"}
    for name in joints:
        index = POSETRACK15.index(names[name] if is_mirrored else name)
        assert found["joint_weights"][0, index] == 1
        x, y = np.floor(found["keypoints"][0, index]).astype(int)
        green = found["images"][..., 1]
        assert green[y, x] == green[y - 2 : y + 3, x - 2 : x + 3].max() > 0
    assert found["joint_weights"].sum() == 2


def test_images_are_padded_with_zeros_to_the_right_and_below(tmp_path):
    images = images_of(tmp_path, [synthetic_image(0, POSETRACK15, SIZE)])
    found = example(images)
    assert found["images"].shape == (64, 128, 3)
    assert found["image_sizes"].tolist() == [60, 90]
    assert not found["images"][60:].any() and not found["images"][:, 90:].any()
    assert found["images"][:60, :90].any(axis=-1).mean() > 0.9


def test_sizes_are_those_of_inference():
    for size in ((480, 640), (333, 500), (1080, 1920), (200, 1200)):
        expected = resized_size(np.array(size), 800, 1333)
        np.testing.assert_array_equal(resized_size(np.array(size), 800, 1333, np), expected)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Eleven wide and five high images; all but two of the wide ones have people."""
    wide = [synthetic_image(i, POSETRACK15, SIZE, num_people=0 if i in (3, 7) else 1 + i % 3) for i in range(11)]
    high = [synthetic_image(20 + i, POSETRACK15, SIZE[::-1]) for i in range(5)]
    return images_of(tmp_path_factory.mktemp("mixed"), wide + high, input_settings(mirror_probability=0.5), seed=3)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_batches_hold_one_orientation_and_every_image_once_an_epoch(mixed):
    assert len(mixed) == 14
    batches = [mixed.batch(step, 2, slice(0, 2)) for step in range(6)]
    shapes = {batch["images"].shape for batch in batches}
    assert shapes == {(2, 64, 128, 3), (2, 128, 64, 3)}
    # Nine wide and five high ones: one of each waits.
    rows = np.concatenate([batch["image"] for batch in batches])
    assert len(set(rows.tolist())) == 12 and not {3, 7} & set(rows.tolist())
    later = np.concatenate([mixed.batch(step, 2, slice(0, 2))["image"] for step in range(6, 60)])
    assert set(later.tolist()) == set(mixed.rows.tolist())


def test_a_batch_depends_on_seed_and_step_alone(mixed):
    whole = mixed.batch(4, 4, slice(0, 4))
    again = DetectionImages(mixed.table, mixed.skeleton, mixed.input, mixed.seed).batch(4, 4, slice(0, 4))
    assert_equal(again, whole)
    parts = [mixed.batch(4, 4, slice(start, start + 2)) for start in (0, 2)]
    assert_equal({name: np.concatenate([part[name] for part in parts]) for name in whole}, whole)
    other = DetectionImages(mixed.table, mixed.skeleton, mixed.input, mixed.seed + 1).batch(4, 4, slice(0, 4))
    assert not np.array_equal(other["sample_seeds"], whole["sample_seeds"])


def test_datasets_of_replicas_are_the_parts_of_a_batch_and_continue_anywhere(mixed):
    expected = [mixed.batch(step, 4, slice(0, 4)) for step in (5, 6)]
    found = list(mixed.dataset(5, 2, num_replicas=2, replicas=range(2)).take(4).as_numpy_iterator())
    for step in (0, 1):
        parts = found[2 * step : 2 * step + 2]
        assert_equal({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, expected[step])
    second = next(mixed.dataset(6, 2, num_replicas=2, replicas=range(1, 2)).as_numpy_iterator())
    assert_equal(second, {name: values[2:] for name, values in expected[1].items()})


def test_crowds_are_not_people_and_empty_images_are_kept_if_asked_for(tmp_path):
    images = [synthetic_image(i, POSETRACK15, SIZE, num_people=2) for i in range(3)]
    images[0]["people"][0]["is_crowd"] = 1
    images[1]["people"] = []
    images[2]["is_labeled"] = 0
    usual = images_of(tmp_path, images)
    assert usual.rows.tolist() == [0]
    found = example(usual)
    assert found["person_weights"].tolist() == [1]
    np.testing.assert_allclose(found["boxes"][0], images[0]["people"][1]["box"], rtol=1e-5)
    keeping = DetectionImages(usual.table, usual.skeleton, input_settings(keeps_unlabeled=True))
    assert keeping.rows.tolist() == [0, 1]
    assert example(keeping, 1)["person_weights"].sum() == 0


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_ignored_cells_lie_under_crowds_and_regions(tmp_path, is_mirrored):
    image = synthetic_image(0, POSETRACK15, SIZE, num_people=2)
    image["people"][0] |= {"is_crowd": 1, "box": [60, 30, 80, 50]}
    image |= {"ignore_points": [10, 10, 30, 10, 30, 20, 10, 20], "ignore_lengths": [4]}
    images = images_of(tmp_path, [image], input_settings(has_ignored_regions=True))
    sums = example(images, is_mirrored=is_mirrored)["ignored_sums"]
    is_ignored = np.diff(np.diff(sums, axis=0), axis=1) > 0
    assert is_ignored.shape == (64 // IGNORED_STRIDE, 128 // IGNORED_STRIDE)
    centers = (np.arange(32) + 0.5) * IGNORED_STRIDE
    x, y = np.meshgrid(SIZE[1] - centers if is_mirrored else centers, centers[:16])
    inside = np.zeros_like(is_ignored)
    outside = np.ones_like(is_ignored)
    for x1, y1, x2, y2 in ((60, 30, 80, 50), (10, 10, 30, 20)):
        inside |= (x > x1) & (x < x2) & (y > y1) & (y < y2)
        # Cells that the outline crosses may count.
        margin = IGNORED_STRIDE
        outside &= (x < x1 - margin) | (x > x2 + margin) | (y < y1 - margin) | (y > y2 + margin)
    assert is_ignored[inside].all() and not is_ignored[outside].any()


def test_joints_are_matched_by_name(tmp_path):
    table = read_table(write_dataset(tmp_path, COCO17, [synthetic_image(0, COCO17, SIZE)]), "train")
    found = example(DetectionImages(table, POSETRACK15, INPUT))
    is_common = [joint in COCO17.joints for joint in POSETRACK15.joints]
    np.testing.assert_array_equal(found["joint_weights"][0] > 0, is_common)
    nose = table.people["keypoints"][0, COCO17.index("nose")]
    np.testing.assert_allclose(found["keypoints"][0, POSETRACK15.index("nose")], nose + 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shortest_edges": ()}, "shortest_edges"),
        ({"padded_size": (32, 128)}, "padded_size"),
        ({"padded_size": (64, 96)}, "padded_size"),
        ({"padded_size": (65, 128)}, "padded_size"),
        ({"mirror_probability": 1.5}, "mirror_probability"),
    ],
)
def test_wrong_settings_are_named(changes, field):
    with pytest.raises(ValueError, match=f"detection input: {field} must"):
        input_settings(**changes)


def test_a_split_without_people_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="none of 1 images can be used"):
        images_of(tmp_path, [synthetic_image(0, POSETRACK15, SIZE, num_people=0)])


def test_a_damaged_picture_is_named(tmp_path):
    image = synthetic_image(0, POSETRACK15, SIZE)
    image["image"] = image["image"][:50]
    with pytest.raises(ValueError, match="000000.jpg .*cannot decode the picture"):
        example(images_of(tmp_path, [image]))
