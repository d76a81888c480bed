import dataclasses
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from planted_people import FIT, NUM_JOINTS, PlantedPeople, grid_people
from record_writing import synthetic_image, write_dataset

from tfpose.data import records
from tfpose.frame_fit import FrameFit
from tfpose.inference import single_network
from tfpose.inference.frame_peaks import Peaks, SingleNetworkSettings, select_people
from tfpose.skeletons import skeleton_from_names

SKELETON = skeleton_from_names("three", ["head", "hip", "foot"])
# Nobody is dropped.
LENIENT = SingleNetworkSettings(joint_threshold=0.0, person_threshold=0.0, head_distance_cells=0.0)


def find(people, num_frames=1, sizes=None, settings=LENIENT):
    """Peaks by frame of planted people."""
    networks = PlantedPeople(people, num_frames)
    sizes = np.array([FIT.input_size] * num_frames if sizes is None else sizes)
    images = np.zeros((num_frames, *FIT.input_size, 3), np.uint8)
    found = single_network.predict_peaks(
        networks.frame, networks.person, tf.constant(images), FIT.image_from_heatmap(sizes), settings
    )
    return single_network.split_peaks(found, num_frames), networks


def assert_same_poses(a, b):
    for field in dataclasses.fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def test_planted_people_come_back_in_pixels_of_their_frames():
    """Frames of the input's size, twice it, and 100 x 100: 1.28 input pixels each, 64 black columns at each side."""
    joints = [(10, 5), (20, 30), (40, 16)]
    people = [(frame, (30, 8), 0.9, joints, [0.5, 0.75, 1.0]) for frame in range(3)]
    peaks, _ = find(people, 3, [(128, 256), (256, 512), (100, 100)])
    input_pixels = 4.0 * np.array(joints)
    np.testing.assert_allclose(peaks[0].keypoints, [input_pixels], atol=1e-9)
    # Twice as many pixels: pixel i of the input covers pixels 2i and 2i + 1.
    np.testing.assert_allclose(peaks[1].keypoints, [2 * input_pixels + 0.5], atol=1e-9)
    np.testing.assert_allclose(peaks[2].keypoints, [(input_pixels - [127.5, 63.5]) / 1.28 + 49.5], atol=1e-9)
    for of_frame in peaks:
        assert of_frame.heads.tolist() == [[30, 8]]
        np.testing.assert_allclose(of_frame.joint_scores, [[0.5, 0.75, 1.0]])


def test_frames_without_heads_between_others():
    person = ((30, 8), 0.9, [(1, 2), (3, 4), (5, 6)], [0.5, 0.5, 0.5])
    peaks, _ = find([(1, *person), (3, *person)], 5)
    assert [len(of_frame) for of_frame in peaks] == [0, 1, 0, 1, 0]
    nothing, networks = find([], 2)
    assert [len(of_frame) for of_frame in nothing] == [0, 0]
    assert nothing[0].keypoints.shape == (0, NUM_JOINTS, 2)
    assert networks.chunks == []


@pytest.mark.parametrize("chunk", [1, 7, 64, 200, 1000])
def test_two_hundred_heads_in_chunks(chunk):
    people = grid_people(200)
    settings = dataclasses.replace(LENIENT, people_per_chunk=chunk)
    (peaks,), networks = find(people, settings=settings)
    assert len(peaks) == 200
    assert networks.chunks == [min(chunk, 200 - start) for start in range(0, 200, chunk)]
    np.testing.assert_allclose(peaks.keypoints, 4.0 * np.array([person[3] for person in people]), atol=1e-9)
    np.testing.assert_allclose(peaks.joint_scores, [person[4] for person in people], rtol=1e-6)


def test_head_mask_takes_the_person_of_interest_of_two_near_ones():
    """The other head, 5 cells away and as strong, has a weight of exp(-25 / 32) in the mask of the first."""
    near = [(0, (10, 10), 0.8, [(1, 1)] * 3, [0.6] * 3), (0, (15, 10), 0.8, [(9, 9)] * 3, [0.7] * 3)]
    (peaks,), _ = find(near)
    np.testing.assert_allclose(peaks.joint_scores, [[0.6] * 3, [0.7] * 3])


def hand_made_peaks():
    """Head, joint scores: 0.9 with (0.29, 0.3, 0.9); 0.5 with (0.2, 0.2, 0.2); 0.3 with (0.9, 0.9, 0.9)."""
    return Peaks(
        heads=np.array([[10, 10], [30, 10], [13, 14]]),
        head_scores=np.float32([0.9, 0.5, 0.3]),
        keypoints=np.arange(18.0).reshape(3, 3, 2),
        joint_scores=np.float32([[0.29, 0.3, 0.9], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]),
    )


def test_thresholds_worked_by_hand():
    """The first loses a joint below 0.3 and keeps one at 0.3; the second has 0.6 in all; the third is 5 cells from the
    first.
    """
    settings = SingleNetworkSettings(person_threshold=1.0)
    poses = select_people(hand_made_peaks(), settings)
    np.testing.assert_allclose(poses.joint_scores, [[0, 0.3, 0.9], [0.9, 0.9, 0.9]], rtol=1e-6)
    np.testing.assert_allclose(poses.scores, [0.6, 0.9], rtol=1e-6)
    # The joints that stay are (2, 3) and (4, 5); 15 % of two pixels are 0.3.
    np.testing.assert_allclose(poses.boxes[0], [1.7, 2.7, 4.3, 5.3])
    nearer = dataclasses.replace(settings, head_distance_cells=5.0)
    np.testing.assert_allclose(select_people(hand_made_peaks(), nearer).scores, [0.6], rtol=1e-6)
    strict = dataclasses.replace(settings, head_threshold=0.3)
    np.testing.assert_allclose(select_people(hand_made_peaks(), strict).scores, [0.6], rtol=1e-6)


def test_person_threshold_counts_dropped_joints_but_somebody_must_stay():
    peaks = hand_made_peaks()
    dropped = SingleNetworkSettings(joint_threshold=0.5, person_threshold=1.48)
    assert len(select_people(peaks, dropped)) == 2
    assert len(select_people(peaks, dataclasses.replace(dropped, person_threshold=1.5))) == 1
    assert len(select_people(peaks, SingleNetworkSettings(joint_threshold=0.95, person_threshold=0.0))) == 0
    assert len(select_people(peaks, dataclasses.replace(LENIENT, max_people=2))) == 2
    assert len(select_people(peaks.select(slice(0)), LENIENT)) == 0


@pytest.fixture(scope="module")
def crowd():
    """A noisy head map in which heads lie at all distances."""
    rng = np.random.default_rng(0)
    people = []
    for cell in rng.permutation(64 * 32)[:150]:
        joints = [tuple(joint) for joint in rng.integers(0, 32, (NUM_JOINTS, 2))]
        scores = rng.uniform(0.05, 1, NUM_JOINTS)
        people.append((int(rng.integers(0, 2)), divmod(int(cell), 32), rng.uniform(0.1, 1), joints, scores))
    return people


VARIANTS = [
    {},
    {"head_threshold": 0.5},
    {"head_distance_cells": 0.0},
    {"head_distance_cells": 8.5, "head_threshold": 0.3},
    {"joint_threshold": 0.6, "person_threshold": 1.7},
    {"max_people": 5},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_kept_peaks_give_the_people_of_a_run_with_other_thresholds(crowd, changes):
    wanted = SingleNetworkSettings(**{"person_threshold": 1.0, **changes})
    kept, _ = find(crowd, 2, settings=SingleNetworkSettings(head_threshold=0.15, head_distance_cells=0.0))
    direct, _ = find(crowd, 2, settings=wanted)
    assert sum(map(len, kept)) > sum(map(len, direct)) > 0
    for a, b in zip(kept, direct, strict=True):
        poses = select_people(b, wanted)
        assert_same_poses(select_people(a, wanted), poses)
        assert len(poses)


@pytest.mark.parametrize("changes", VARIANTS)
def test_graph_gives_the_people_of_numpy(crowd, changes):
    settings = SingleNetworkSettings(**{"person_threshold": 1.0, "refine": "quadratic", **changes})
    networks = PlantedPeople(crowd, 2)
    sizes = np.array([(100, 300), (720, 1280)])

    @tf.function(input_signature=[tf.TensorSpec([None, *FIT.input_size, 3], tf.uint8)])
    def predict(images):
        return single_network.predict_people(
            networks.frame, networks.person, images, FIT.image_from_heatmap(sizes), settings
        )

    found = {name: values.numpy() for name, values in predict(np.zeros((2, *FIT.input_size, 3), np.uint8)).items()}
    peaks, _ = find(crowd, 2, sizes, settings)
    expected = [select_people(of_frame, settings) for of_frame in peaks]
    assert found["num_persons"].tolist() == [len(poses) for poses in expected]
    assert found["scores"].shape[1] == max(len(poses) for poses in expected)
    for index, poses in enumerate(expected):
        keypoints = found["keypoints"][index, : len(poses)]
        np.testing.assert_allclose(keypoints[..., :2], poses.keypoints, atol=1e-4)
        np.testing.assert_allclose(keypoints[..., 2], poses.joint_scores, atol=1e-6)
        np.testing.assert_allclose(found["boxes"][index, : len(poses)], poses.boxes, atol=1e-3)
        np.testing.assert_allclose(found["scores"][index, : len(poses)], poses.scores, atol=1e-6)
        assert not found["keypoints"][index, len(poses) :].any()


def test_graph_without_people_has_no_columns():
    networks = PlantedPeople([], 3)
    images = np.zeros((3, *FIT.input_size, 3), np.uint8)
    matrices = FIT.image_from_heatmap(np.full((3, 2), 100))
    found = single_network.predict_people(networks.frame, networks.person, images, matrices, SingleNetworkSettings())
    assert found["num_persons"].numpy().tolist() == [0, 0, 0]
    assert found["keypoints"].shape == (3, 0, NUM_JOINTS, 4 - 1)
    assert found["boxes"].shape == (3, 0, 4)


def test_parabolas_refine_joints():
    """Beside a joint of 0.8 its right neighbor has 0.6, the left one 0.4: 0.5 * 0.2 / 0.6 cells to the right."""
    networks = PlantedPeople([(0, (30, 8), 0.9, [(10, 5)] * 3, [0.8] * 3)], 1)
    networks.person_maps[0, 5, [9, 11], 0] = 0.4, 0.6
    networks.person_maps[0, [4, 6], 10, 0] = 0.5
    images = np.zeros((1, *FIT.input_size, 3), np.uint8)
    settings = dataclasses.replace(LENIENT, refine="quadratic")
    matrices = FIT.image_from_heatmap(np.array([FIT.input_size]))
    found = single_network.predict_peaks(networks.frame, networks.person, images, matrices, settings)
    np.testing.assert_allclose(found["keypoints"][0, 0], [40 + 4 / 6, 20.0], rtol=1e-6)


class SpotNetworks:
    """Sees bright spots of a picture as heads, and as all joints of their people."""

    def frame(self, images):
        light = tf.nn.avg_pool2d(tf.reduce_mean(images, axis=-1, keepdims=True) + 1, 4, 4, "SAME") / 2
        joint_maps = tf.repeat(light, NUM_JOINTS, axis=-1)
        return {"head_maps": light, "joint_maps": joint_maps, "person_features": light}

    def person(self, features, masked_heads, joint_maps):
        return masked_heads * joint_maps


def spot_image(index, spot, size):
    image = synthetic_image(index, SKELETON, size=size, num_people=0)
    picture = np.zeros((*size, 3), np.uint8)
    cv2.circle(picture, spot, size[0] // 20, (255, 255, 255), -1)
    image["image"] = cv2.imencode(".png", picture)[1].tobytes()
    return image


SPOTS = ((40, 60), (120, 160)), ((100, 100), (300, 200)), ((20, 20), (64, 128))


@pytest.fixture
def spot_table(tmp_path):
    images = [spot_image(index, *spot) for index, spot in enumerate(SPOTS)]
    return records.read_table(write_dataset(tmp_path, SKELETON, images), "train")


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_pictures_of_several_sizes_give_poses_in_their_own_pixels(spot_table, batch_size):
    networks = SpotNetworks()
    settings = SingleNetworkSettings(person_threshold=1.0, refine="quadratic")
    poses = single_network.predict_frames(networks.frame, networks.person, spot_table, FIT, settings, batch_size)
    assert [len(of_image) for of_image in poses] == [1, 1, 1]
    # A cell is the mean over input pixels 4i to 4i + 3 here, so its center is 1.5 input pixels further.
    for of_image, (spot, size) in zip(poses, SPOTS, strict=True):
        pixel = max(size[0] / 128, size[1] / 256)
        np.testing.assert_allclose(of_image.keypoints[0], np.tile(spot, (3, 1)) - 1.5 * pixel, atol=1.5 * pixel)


def predict_spots(table):
    return single_network.predict_frames(SpotNetworks().frame, SpotNetworks().person, table, FIT, LENIENT, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": b"\x89PNG\r\n"}, r"000001.jpg \(in test-train.tfrecord-00000-of-00001\): cannot decode the picture"),
        ({"height": 299}, r"000001.jpg .* not of 200x299 pixels as its record says\): it is of 200x300 pixels"),
    ],
)
def test_a_broken_picture_is_named_and_is_not_a_frame_without_people(tmp_path, change, message):
    images = [spot_image(index, *spot) for index, spot in enumerate(SPOTS)]
    images[1] |= change
    with pytest.raises(ValueError, match=message):
        predict_spots(records.read_table(write_dataset(tmp_path, SKELETON, images), "train"))


def test_a_damaged_record_is_named_with_its_byte_and_is_not_a_frame_without_people(spot_table):
    (path,), place = spot_table.shards, int(spot_table.offset[1])
    data = bytearray(path.read_bytes())
    data[place + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{path.name}: the record at byte {place - 12} must be whole"):
        predict_spots(spot_table)


def test_frames_are_fitted_as_in_training(spot_table):
    from tfpose.data.frame_augmentation import NO_FRAME_AUGMENTATION, draw_frame_augmentation
    from tfpose.data.person_crops import cut_record_crops

    batch = next(iter(single_network.frame_batches(spot_table, FIT, 3)))
    assert draw_frame_augmentation(NO_FRAME_AUGMENTATION, 1, np.random.default_rng(0))["zooms"].tolist() == [1.0]
    for row in range(3):
        size = np.array([[spot_table.images["height"][row], spot_table.images["width"][row]]])
        expected = cut_record_crops(spot_table, np.array([row]), np.asarray(FIT.matrices(size)), FIT.input_size)
        np.testing.assert_array_equal(batch["images"][row], expected[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("head_threshold", np.nan),
        ("head_distance_cells", -1.0),
        ("joint_threshold", -0.1),
        ("person_threshold", np.inf),
        ("refine", "best"),
        ("max_people", -1),
        ("people_per_chunk", 0),
        ("head_mask_sigma_cells", 0.0),
    ],
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=f"inference: {field} must be .*, got {value!r}"):
        SingleNetworkSettings(**{field: value})


def test_saved_model_gives_the_same_people(crowd, tmp_path):
    networks = PlantedPeople(crowd, 2)
    settings = SingleNetworkSettings(person_threshold=1.0)
    module = tf.Module()

    @tf.function(
        input_signature=[tf.TensorSpec([None, *FIT.input_size, 3], tf.uint8), tf.TensorSpec([None, 2], tf.int32)]
    )
    def predict(images, sizes):
        matrices = FIT.image_from_heatmap(sizes)
        return single_network.predict_people(networks.frame, networks.person, images, matrices, settings)

    module.predict = predict
    tf.saved_model.save(module, str(tmp_path))
    inputs = np.zeros((2, *FIT.input_size, 3), np.uint8), np.int32([(100, 300), (720, 1280)])
    loaded = tf.saved_model.load(str(tmp_path)).predict(*map(tf.constant, inputs))
    expected = predict(*map(tf.constant, inputs))
    assert expected["num_persons"].numpy().min() > 0
    for name, values in expected.items():
        np.testing.assert_allclose(loaded[name], values, atol=1e-4)


def test_selecting_people_needs_no_tensorflow(project_dir):
    import subprocess

    program = "import sys, tfpose.inference.frame_peaks; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=project_dir).returncode == 0


def test_frame_fit_wants_sides_that_divide():
    with pytest.raises(ValueError, match=r"input_size \(height, width\) must be multiples of 128, got \(100, 256\)"):
        FrameFit((100, 256))
    with pytest.raises(ValueError, match="size_multiple must be a multiple of 4, got 6"):
        FrameFit((12, 12), 6)
