"""SavedModels and work folders as functions from frames to poses."""

import json
import shutil

import cv2
import keypoint_rcnn_cases
import numpy as np
import pytest
import tensorflow as tf
import two_stage_runs
from small_single_network import random_pose_unet, small_single_network

from tfpose import crops
from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.data.picture_tensors import cut_crops_from_frame, cut_crops_tensor
from tfpose.evaluation.tuned_settings import TunedSettings
from tfpose.exporting.system_file import EXTRA_FOLDER, SYSTEM_FILE, read_system_description
from tfpose.exporting.two_stage import export_keypoint_network
from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.prediction.model import PoseModel, load_saved_model
from tfpose.prediction.pipeline import NetworkFailure
from tfpose.skeletons import COCO17, POSETRACK15
from tfpose.systems.loading import load_pose_model
from tfpose.systems.system import RunChoice
from tfpose.tracking.choice import TrackerChoice

SIZES = [(64, 96), (50, 90), (300, 200)]


def frames_of(size, count=2):
    rng = np.random.default_rng(size[0])
    return [cv2.resize(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), size[::-1]) for _ in range(count)]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    system = small_single_network()
    directory = tmp_path_factory.mktemp("run")
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)
    return directory


@pytest.fixture(scope="module")
def saved_model(served_models):
    return served_models.path("single_network")


@pytest.fixture(scope="module")
def model(saved_model):
    return load_saved_model(saved_model)


@pytest.fixture(scope="module")
def loaded(saved_model):
    return tf.saved_model.load(str(saved_model))


@pytest.fixture(scope="module")
def foreign_model(loaded, tmp_path_factory):
    """With `serving_default` alone, and without the names of the joints."""
    output = tmp_path_factory.mktemp("foreign") / "model"
    tf.saved_model.save(loaded, str(output), {"serving_default": loaded.signatures["serving_default"]})
    return output


def assert_same_poses(found, expected, atol=1e-3):
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        for name in ("keypoints", "joint_scores", "scores", "boxes"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=atol)


def test_a_saved_model_finds_in_frames_what_it_finds_in_encoded_pictures(model, loaded):
    """In several ones of each size; those as large as three times the input are shrunk otherwise."""
    serve = loaded.signatures["serving_default"]
    for size in SIZES[:2]:
        frames = frames_of(size)
        encoded = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in frames]
        expected = serve(image_bytes=tf.constant(encoded))
        found = model.predict(frames)
        assert [len(poses) for poses in found] == expected["num_persons"].numpy().tolist()
        assert min(len(poses) for poses in found) > 0
        for row, poses in enumerate(found):
            people = slice(len(poses))
            np.testing.assert_allclose(poses.keypoints, expected["keypoints"][row, people, :, :2], atol=1e-4)
            np.testing.assert_allclose(poses.joint_scores, expected["keypoints"][row, people, :, 2], atol=1e-6)
            np.testing.assert_allclose(poses.boxes, expected["boxes"][row, people], atol=1e-4)
            np.testing.assert_allclose(poses.scores, expected["scores"][row, people], atol=1e-6)


def test_frames_find_the_same_alone_and_in_a_batch(model):
    frames = frames_of((300, 200), 3)
    together = model.predict(frames)
    assert_same_poses([model.predict([frame])[0] for frame in frames], together)


def test_no_frames_at_all_are_fine(loaded):
    signature = loaded.signatures["from_frames"]
    assert signature(frames=tf.zeros([0, 30, 40, 3], tf.uint8))["num_persons"].shape == (0,)


def test_a_saved_model_names_its_joints(model, saved_model):
    description = read_system_description(saved_model)
    assert description.skeleton == POSETRACK15
    assert description.system == "single_network"
    assert model.skeleton == POSETRACK15


def test_a_work_folder_finds_what_its_saved_model_finds(workdir, saved_model):
    frames = frames_of((50, 90))
    choices = [RunChoice(directory) for directory in (workdir, saved_model)]
    ours, theirs = (load_pose_model(choice).predict(frames) for choice in choices)
    assert min(len(poses) for poses in ours) > 0
    assert_same_poses(ours, theirs)


def test_a_foreign_saved_model_is_given_pictures_without_loss(foreign_model, model):
    frames = frames_of((50, 90))
    found = load_saved_model(foreign_model, "posetrack15").predict(frames)
    assert_same_poses(found, model.predict(frames))


def test_a_saved_model_without_names_of_joints_needs_them(foreign_model):
    with pytest.raises(ValueError, match=r"model: does not name its joints; give --skeleton=coco17\|posetrack15"):
        load_saved_model(foreign_model)
    with pytest.raises(ValueError, match="--skeleton must be one of coco17, .*, got 'hand'"):
        load_saved_model(foreign_model, "hand")
    model = load_saved_model(foreign_model, "coco17")
    with pytest.raises(ValueError, match=r"keypoints must be \[frames, people, 17 joints of coco17, 3\], got \[1,"):
        model.predict(frames_of((50, 90), 1))


def test_names_beside_a_saved_model_are_read(foreign_model, saved_model, tmp_path):
    shutil.copytree(foreign_model, tmp_path / "model")
    shutil.copy(saved_model / EXTRA_FOLDER / SYSTEM_FILE, tmp_path / "model")
    assert load_saved_model(tmp_path / "model").skeleton == POSETRACK15


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"skeleton": 3}', '{"skeleton": {"name": "x", "joints": []}}', "no JSON"]
)
def test_damaged_names_are_an_error_with_the_file(tmp_path, content):
    (tmp_path / SYSTEM_FILE).write_text(content)
    with pytest.raises(ValueError, match=SYSTEM_FILE):
        read_system_description(tmp_path)


def test_a_skeleton_in_place_of_the_joints_that_a_saved_model_names_is_refused(model, saved_model):
    with pytest.raises(ValueError, match=r"--skeleton=coco17: must have the joints that .* names, got others"):
        load_saved_model(saved_model, "coco17")
    assert load_saved_model(saved_model, "posetrack15").joint_threshold == model.joint_threshold


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: must be the work folder .* a SavedModel would hold"):
        load_pose_model(RunChoice(tmp_path / "nothing"))
    (tmp_path / "saved_model.pb").write_text("broken")
    with pytest.raises(ValueError, match="cannot be loaded as a SavedModel"):
        load_pose_model(RunChoice(tmp_path), skeleton="coco17")


def test_flags_of_another_kind_of_model_are_refused(workdir, saved_model, tmp_path):
    with pytest.raises(ValueError, match="--tuned: .* must be the work folder of a single network, got a SavedModel"):
        load_pose_model(RunChoice(saved_model, tuned=TunedSettings(tmp_path / "tuning.json", TrackerChoice(), {})))
    with pytest.raises(ValueError, match="--weights: .* must be the work folder of a training run, got a SavedModel"):
        load_pose_model(RunChoice(saved_model, "last"))
    boxes = BoxSettings("detector", "runs/detector")
    with pytest.raises(ValueError, match="--detector cannot be combined with the single network in .*"):
        load_pose_model(RunChoice(workdir, boxes=boxes))


def test_outputs_that_are_no_poses_are_named():
    def find_people(frames):
        return {"keypoints": np.zeros((len(frames), 1, 17, 3)), "scores": np.zeros((len(frames), 1))}

    model = PoseModel(find_people, COCO17, 0.2, "exported")
    with pytest.raises(ValueError, match="exported: outputs must include .* got none called boxes, num_persons"):
        model.predict(frames_of((20, 30)))


def test_the_line_of_a_graph_error_that_says_what_is_wrong():
    message = (
        "Graph execution error:\n\nDetected at node map/while/Pad defined at (most recent call last):\n"
        "<stack traces unavailable>\npaddings must be small\n\t [[{{node map/while/Pad}}]] [Op:__inference_signature]"
    )

    def find_people(frames):
        raise tf.errors.InvalidArgumentError(None, None, message)

    with pytest.raises(NetworkFailure, match=r"^exported: the network failed: paddings must be small$"):
        PoseModel(find_people, COCO17, 0.2, "exported").predict(frames_of((20, 30)))


@pytest.mark.parametrize("size", [(400, 1), (1, 400), (3, 301), (2, 2)])
def test_thin_pictures_are_shrunk(size):
    """A side that is shorter than the pixels that a mean takes counts as if mirrored again and again."""
    frame = np.full((*size, 3), 77, np.uint8)
    matrix = tf.constant([[[0.1, 0, 0], [0, 0.1, 0]]], tf.float64)
    crop = in_graph(cut_crops_from_frame, (8, 8))(tf.constant(frame), matrix).numpy()[0]
    # The only pixel of a reduced side lies 7 / 16 beside that of the crop, which is black by that share.
    least = 77 * (9 / 16) ** 2
    assert least - 1 <= crop[0, 0, 0] <= 77


def test_a_failing_network_is_one_line():
    def find_people(frames):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\n  a long trace")

    with pytest.raises(ValueError, match=r"^exported: the network failed: OOM when allocating$"):
        PoseModel(find_people, COCO17, 0.2, "exported").predict(frames_of((20, 30)))


def test_places_that_are_no_numbers_are_joints_that_are_not_there():
    keypoints = np.ones((1, 2, 17, 3), np.float32)
    keypoints[0, 0, 3] = (np.nan, 5, 0.7)

    def find_people(frames):
        found = {"keypoints": keypoints, "boxes": np.ones((1, 2, 4)), "scores": np.ones((1, 2))}
        return found | {"num_persons": np.array([1])}

    (poses,) = PoseModel(find_people, COCO17, 0.2, "exported").predict(frames_of((20, 30), 1))
    assert len(poses) == 1
    assert poses.joint_scores[0, 3] == 0 and poses.joint_scores[0, 2] == 1
    assert np.isfinite(poses.keypoints).all()


@pytest.mark.parametrize("zoom", [0.6, 0.5, 0.3, 0.2, 0.1])
def test_crops_of_frames_are_those_of_jpegs_decoded_smaller(zoom):
    """On a picture without detail, where the ways to shrink it agree; JPEG adds an error of its own."""
    rng = np.random.default_rng(0)
    frame = cv2.resize(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), (633, 517), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    matrices = tf.constant([[[zoom, 0, 3.2], [0, zoom, -2.7]], [[0, zoom, 1.0], [-zoom, 0, 44.0]]], tf.float64)
    of_frame, of_jpeg = (
        in_graph(cut, (48, 60))(tf.constant(source), matrices).numpy().astype(int)
        for cut, source in ((cut_crops_from_frame, frame), (cut_crops_tensor, data))
    )
    # The last pixels of a row or column of a reduced picture are made from fewer, by each in its own way.
    is_inside = crop_mask(matrices.numpy(), frame.shape[:2], (48, 60), margin=9)
    assert is_inside.mean() > 0.1
    assert np.abs(of_frame - of_jpeg)[is_inside].max() <= 4
    assert of_frame[is_inside].std() > 20


def in_graph(cut, crop_size):
    return tf.function(lambda source, matrices: cut(source, matrices, crop_size))


def crop_mask(matrices, image_size, crop_size, margin):
    """Which crop pixels show the picture, `margin` of its pixels away from the border. [P, h, w]"""
    inverse = np.linalg.inv(np.concatenate([matrices, np.tile([[[0.0, 0, 1]]], (len(matrices), 1, 1))], axis=1))
    rows, columns = np.mgrid[: crop_size[0], : crop_size[1]]
    points = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ inverse[:, None, :2].swapaxes(-1, -2)
    low, high = (points > margin).all(axis=-1), (points < np.array(image_size[::-1]) - 1 - margin).all(axis=-1)
    return low & high


def test_means_of_pixels_do_not_alias():
    """Stripes one pixel wide, at a quarter of their size, are an even gray."""
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[:, ::2] = 200
    matrices = tf.constant([[[0.25, 0, 0], [0, 0.25, 0]]], tf.float64)
    assert int(np.asarray(crops.decode_reduction(matrices))[0]) == 4
    crop = in_graph(cut_crops_from_frame, (40, 40))(tf.constant(frame), matrices).numpy()[0]
    np.testing.assert_array_equal(crop[2:, 2:], 100)


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory):
    root = tmp_path_factory.mktemp("two_stage")
    two_stage_runs.write_keypoint_run(root / "keypoints")
    two_stage_runs.write_detector_run(root / "detector")
    return root


def test_both_stages_from_work_folders_find_what_their_saved_model_finds(two_stage, served_models):
    frames = frames_of((120, 160))
    threshold = keypoint_rcnn_cases.SMALL.detections.score_threshold
    boxes = BoxSettings("detector", str(two_stage / "detector"), score_threshold=threshold)
    choice = RunChoice(two_stage / "keypoints", boxes=boxes)
    ours, theirs = load_pose_model(choice), load_pose_model(RunChoice(served_models.path("two_stage")))
    assert ours.skeleton == theirs.skeleton == POSETRACK15
    expected = theirs.predict(frames)
    assert min(len(poses) for poses in expected) > 0
    assert_same_poses(ours.predict(frames), expected, atol=1e-2)


def test_a_keypoint_network_alone_takes_each_image_as_one_person(two_stage):
    choice = RunChoice(two_stage / "keypoints", boxes=BoxSettings("detector", "whole_image"))
    poses = load_pose_model(choice).predict(frames_of((120, 160)))
    assert [len(people) for people in poses] == [1, 1]


def test_a_keypoint_network_without_detector_says_what_to_do(two_stage, tmp_path):
    with pytest.raises(ValueError, match="finds the joints of people in given boxes; --detector must name"):
        load_pose_model(RunChoice(two_stage / "keypoints"))
    system = read_keypoint_system(two_stage / "keypoints")
    network = system.build_network()
    export_keypoint_network(network, system, tmp_path / "model")
    with pytest.raises(ValueError, match="export it again with a detector: tfpose export"):
        load_pose_model(RunChoice(tmp_path / "model"))
    content = json.loads((tmp_path / "model" / EXTRA_FOLDER / SYSTEM_FILE).read_text())
    assert content["skeleton"]["name"] == "posetrack15"
