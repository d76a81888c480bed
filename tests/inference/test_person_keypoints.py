import dataclasses
import json

import numpy as np
import pytest
from small_system import random_network, small_system, small_table

from tfpose import coco
from tfpose.data.person_crops import crop_matrices
from tfpose.evaluation import person_scores
from tfpose.evaluation.metrics_file import write_metrics
from tfpose.evaluation.pose_drawings import write_pose_pictures
from tfpose.evaluation.video_sequences import sequences_from_poses
from tfpose.evaluation.written_poses import write_coco_predictions
from tfpose.inference import person_keypoints
from tfpose.inference.keypoint_system import read_keypoint_system, with_settings, write_keypoint_system
from tfpose.inference.posetrack_joints import infer_head_joints
from tfpose.inference.two_stage import predict_keypoints
from tfpose.models.batch_norm import fold_batch_norm
from tfpose.poses import Poses
from tfpose.posetrack import read_posetrack, write_posetrack17, write_posetrack18
from tfpose.skeletons import COCO17, POSETRACK15


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("data"), sequence="000001_mpii_test")


@pytest.fixture(scope="module")
def system():
    return small_system()


@pytest.fixture(scope="module")
def network(system):
    return random_network(system)


def predict(table, system, network, people, **settings):
    find_keypoints = person_keypoints.build_keypoint_function(network, system)
    return person_keypoints.predict_people(find_keypoints, table, people, system, **settings)


def true_poses(table, people):
    """The annotations as if they had been predicted."""
    keypoints = table.people["keypoints"][people.rows].astype(np.float64)
    return keypoints, np.ones(keypoints.shape[:2])


def test_batch_size_changes_nothing(table, system, network):
    people = person_keypoints.ground_truth_boxes(table)
    one = predict(table, system, network, people, batch_size=1)
    many = predict(table, system, network, people, batch_size=32)
    np.testing.assert_allclose(one[0], many[0], atol=1e-3)
    np.testing.assert_allclose(one[1], many[1], atol=1e-5)


def test_only_annotated_boxes_are_clipped(table, network):
    system = small_system(crop={"clips_annotated_boxes": True})
    people = person_keypoints.ground_truth_boxes(table)
    people = dataclasses.replace(people, boxes=people.boxes + [-40, 0, 40, 30])
    detected = dataclasses.replace(people, rows=np.full(len(people), -1))
    clipped = dataclasses.replace(detected, boxes=system.crop.clip_annotated(people.boxes, table.sizes(people.images)))
    as_annotated, as_detected, expected = (
        predict(table, system, network, boxes)[0] for boxes in (people, detected, clipped)
    )
    np.testing.assert_array_equal(as_annotated, expected)
    assert np.abs(as_detected - expected).max() > 1


def test_folded_network_predicts_the_same(table, system, network):
    people = person_keypoints.ground_truth_boxes(table)
    plain = predict(table, system, network, people)
    folded = predict(table, system, fold_batch_norm(network), people)
    np.testing.assert_allclose(plain[0], folded[0], atol=1e-3)


def test_peak_of_a_heatmap_is_found_at_its_place_in_the_image(table, system):
    """A network that lights cell (5, 9) says crop pixel (20, 36), wherever the crop lies in the image."""
    people = person_keypoints.ground_truth_boxes(table)
    matrices = crop_matrices(system.crop, people.boxes)

    def network(images):
        heatmaps = np.zeros((len(images), 16, 16, 15), np.float32)
        heatmaps[:, 9, 5] = 1
        return heatmaps

    plain = with_settings(system, {"use_flip_test": False}, {})
    crops = np.zeros((len(people), 64, 64, 3), np.uint8)
    found, scores = predict_keypoints(
        network, crops, matrices, plain.crop, plain.normalization, plain.skeleton.flip_order, plain.keypoints
    )
    expected = (matrices[:, :, :2] @ np.asarray(found).swapaxes(1, 2) + matrices[:, :, 2:]).swapaxes(1, 2)
    np.testing.assert_allclose(expected, np.broadcast_to([20, 36], expected.shape), atol=1e-6)
    assert np.asarray(scores).min() == 1


def test_flip_test_of_a_mirrored_image_swaps_the_joints(table, network):
    """With the flip test a mirrored crop gives mirrored joints: exactly, as both see the same two pictures."""
    system = small_system(inference={"shift_one_cell": False, "decoding": "peak"})
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    identity = np.tile(np.eye(2, 3), (3, 1, 1))
    order = system.skeleton.flip_order
    settings = (identity, system.crop, system.normalization, order, system.keypoints)
    found = np.asarray(predict_keypoints(network, crops, *settings)[0])
    mirrored = np.asarray(predict_keypoints(network, crops[:, :, ::-1], *settings)[0])[:, order]
    mirrored[..., 0] = 60 - mirrored[..., 0]  # cells 0 ... 15 at pixels 0 ... 60
    np.testing.assert_allclose(mirrored, found, atol=1e-4)


def test_perfect_predictions_score_100(table, system):
    people = person_keypoints.ground_truth_boxes(table)
    metrics = person_scores.score_people(table, people, *true_poses(table, people), system)
    assert metrics["AP"] == pytest.approx(100)
    assert metrics["PCK"] == 100


def test_head_boxes_give_pckh_and_those_without_extent_count_nobody(system, tmp_path):
    table = small_table(tmp_path)
    table.people["head_box"][:] = [[10, 10, 20, 20]]
    table.people["head_box"][0] = [5, 5, 5, 5]
    people = person_keypoints.ground_truth_boxes(table)
    keypoints, scores = true_poses(table, people)
    # Half of 0.6 diagonals of a 10 px head: 4.24 px.
    for error, share in ((4.2, 1.0), (4.3, 0.0)):
        poses = person_keypoints.poses_by_image(table, people, keypoints + [error, 0], scores, system)
        counts = person_scores.count_correct_keypoints(table, poses, POSETRACK15)["pckh"]
        assert counts.over_all_keypoints == share
        assert counts.labeled.tolist() == [len(people) - 1] * 15


def test_wrong_predictions_score_0(table, system):
    people = person_keypoints.ground_truth_boxes(table)
    keypoints, scores = true_poses(table, people)
    metrics = person_scores.score_people(table, people, keypoints + 500, scores, system)
    assert metrics["AP"] == 0 and metrics["PCK"] == 0


def test_no_boxes_give_no_poses_and_score_0(table, system, network):
    nothing = person_keypoints.ground_truth_boxes(table).select(np.zeros(0, int))
    keypoints, scores = predict(table, system, network, nothing)
    poses = person_keypoints.poses_by_image(table, nothing, keypoints, scores, system)
    assert [len(people) for people in poses] == [0, 0, 0, 0]
    assert person_scores.score_poses(table, poses, POSETRACK15)["AP"] == 0


def test_near_copies_are_suppressed_and_people_stay_with_their_images(table, system):
    people = person_keypoints.ground_truth_boxes(table)
    twice = np.repeat(np.arange(len(people)), 2)
    doubled = person_keypoints.PersonBoxes(
        people.images[twice], people.boxes[twice], np.tile([0.5, 0.9], len(people)), people.rows[twice], "test"
    )
    keypoints, scores = true_poses(table, people)
    poses = person_keypoints.poses_by_image(table, doubled, keypoints[twice], scores[twice], system)
    assert [len(people) for people in poses] == [0, 1, 2, 3]
    assert all((people.scores == 0.9).all() for people in poses)


def test_system_survives_its_file(system, tmp_path):
    write_keypoint_system(tmp_path, system)
    assert read_keypoint_system(tmp_path) == system


def test_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the work folder of a training run"):
        read_keypoint_system(tmp_path)


def test_udp_decoding_needs_udp_crops():
    with pytest.raises(ValueError, match="inference.decoding=udp requires crop.convention=udp"):
        small_system(inference={"decoding": "udp"})


@pytest.mark.parametrize("file_format", ["2017", "2018"])
def test_posetrack_files_hold_every_frame_and_person(table, system, tmp_path, file_format):
    people = person_keypoints.ground_truth_boxes(table)
    poses = person_keypoints.poses_by_image(table, people, *true_poses(table, people), system)
    (sequence,) = sequences_from_poses(table, poses, POSETRACK15)
    assert sequence.name == "000001_mpii_test"
    write = {"2017": write_posetrack17, "2018": write_posetrack18}[file_format]
    write(tmp_path / "000001_mpii_test.json", sequence)
    frames = read_posetrack(tmp_path / "000001_mpii_test.json").frames
    assert [frame.num_people for frame in frames] == [0, 1, 2, 3]
    np.testing.assert_allclose(frames[3].keypoints, poses[3].keypoints, atol=1e-6)


def test_coco_results_hold_every_person(table, system, tmp_path):
    people = person_keypoints.ground_truth_boxes(table)
    poses = person_keypoints.poses_by_image(table, people, *true_poses(table, people), system)
    write_coco_predictions(tmp_path / "predictions.json", table, poses)
    entries = json.loads((tmp_path / "predictions.json").read_text())
    assert [entry["image_id"] for entry in entries] == [2, 3, 3, 4, 4, 4]
    assert len(entries[0]["keypoints"]) == 3 * 15


def test_head_joints_are_not_guessed_from_joints_that_were_not_found():
    scores = np.ones((2, 17))
    scores[1, COCO17.index("left_ear")] = 0
    poses = Poses(np.ones((2, 17, 2)), scores, np.ones(2), np.zeros((2, 4)), np.zeros(2, int))
    head = [POSETRACK15.index(joint) for joint in ("head_bottom", "head_top")]
    np.testing.assert_array_equal(infer_head_joints(poses, COCO17).joint_scores[:, head], [[1, 1], [0, 0]])


def test_head_joints_are_guessed_between_shoulders_and_face():
    keypoints = np.zeros((1, 17, 2))
    for joint in ("left_shoulder", "right_shoulder"):
        keypoints[0, COCO17.index(joint)] = [50, 100]
    for joint in ("left_eye", "right_eye", "left_ear", "right_ear"):
        keypoints[0, COCO17.index(joint)] = [50, 70]
    poses = Poses(keypoints, np.ones((1, 17)), np.ones(1), np.zeros((1, 4)), np.zeros(1, int))
    guessed = infer_head_joints(poses, COCO17)
    np.testing.assert_allclose(guessed.keypoints[0, POSETRACK15.index("head_bottom")], [50, 91])
    np.testing.assert_allclose(guessed.keypoints[0, POSETRACK15.index("head_top")], [50, 49])


def test_pictures_are_drawn_for_evenly_spread_images(table, system, tmp_path):
    people = person_keypoints.ground_truth_boxes(table)
    poses = person_keypoints.poses_by_image(table, people, *true_poses(table, people), system)
    write_pose_pictures(tmp_path / "pictures", table, poses, POSETRACK15, 2, 0.2)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["000000.jpg", "000003.jpg"]


def test_not_a_number_becomes_null(tmp_path):
    path = write_metrics(tmp_path, {"coco": {"AP": float("nan"), "AR": 1.5}, "list": [float("inf")]})
    assert json.loads(path.read_text()) == {"coco": {"AP": None, "AR": 1.5}, "list": [None]}


def test_annotations_of_the_table_are_coco_ground_truth(table):
    annotations = person_scores.table_annotations(table, POSETRACK15)
    assert annotations.num_people == table.num_people
    assert coco.person_annotations_to_dict(annotations)["annotations"][0]["num_keypoints"] == 15
