"""Poses as columns and as arrays of other libraries, and back."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

from tfpose.boxes import areas
from tfpose.pose_exchange import poses_from_supervision
from tfpose.poses import Poses, join_poses, no_poses, split_poses
from tfpose.posetrack import frame_from_poses
from tfpose.tracking.smoothing import fill_gaps


@pytest.fixture
def poses() -> Poses:
    """Two people with three joints; the second one lacks the last joint."""
    return Poses(
        keypoints=np.array([[[1.0, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]]),
        joint_scores=np.array([[0.5, 0.25, 1], [1, 0.75, 0]]),
        scores=np.array([0.5, 0.125]),
        boxes=np.array([[0.0, 0, 8, 8], [6, 6, 12, 12]]),
        track_ids=np.array([4, -1]),
    )


def test_columns_have_a_row_for_each_joint(poses):
    columns = poses.to_dict(["nose", "neck", "wrist"])
    nan = float("nan")
    expected = {
        "person": [0, 0, 0, 1, 1, 1],
        "track_id": [4, 4, 4, -1, -1, -1],
        "joint": ["nose", "neck", "wrist"] * 2,
        "x": [1, 3, 5, 7, 9, nan],
        "y": [2, 4, 6, 8, 10, nan],
        "score": [0.5, 0.25, 1, 1, 0.75, 0],
        "person_score": [0.5] * 3 + [0.125] * 3,
    }
    assert list(columns) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values, err_msg=name)
    assert poses.to_dict()["joint"].tolist() == [0, 1, 2] * 2
    assert {column.shape for column in no_poses(3).to_dict().values()} == {(0,)}


def test_fields_that_are_no_arrays_are_named():
    arrays = {"joint_scores": np.ones((1, 2)), "boxes": np.ones((1, 4)), "track_ids": np.array([-1])}
    with pytest.raises(ValueError, match="Poses: keypoints must be a NumPy array, got list"):
        Poses(keypoints=[[[1, 2], [3, 4]]], scores=np.ones(1), **arrays)
    with pytest.raises(ValueError, match="Poses: scores must be a NumPy array, got tuple"):
        Poses(keypoints=np.ones((1, 2, 2)), scores=(1.0,), **arrays)


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.float16])
def test_means_and_areas_do_not_depend_on_the_type_of_the_numbers(kind):
    keypoints = np.array([[[10, 20], [310, 400]]])
    boxes = np.array([[0, 10, 320, 410]])
    arrays = {"scores": np.ones(1, kind), "boxes": boxes.astype(kind), "track_ids": np.array([3.0])}
    poses = Poses(keypoints=keypoints.astype(kind), joint_scores=np.ones((1, 2), kind), **arrays)
    moved = dataclasses.replace(poses, boxes=boxes - 1)
    frames = fill_gaps([poses, poses.select(slice(0)), moved], max_person_gap_frames=1, max_joint_gap_frames=0)
    assert frames[1].boxes.tolist() == [[-0.5, 9.5, 319.5, 409.5]]
    assert areas(poses.boxes).tolist() == [320 * 400] and frames[1].track_ids.tolist() == [3]


def test_fields_of_other_types_are_refused(poses):
    for numbers in (poses.scores.astype(str), poses.scores.astype(object), poses.scores + 1j):
        with pytest.raises(ValueError, match=f"scores must be an array of real numbers, got {numbers.dtype}"):
            dataclasses.replace(poses, scores=numbers)
    for wrong in (1.5, np.nan):
        with pytest.raises(ValueError, match="Poses: track_ids must be whole numbers, got"):
            dataclasses.replace(poses, track_ids=np.array([wrong, 1]))


def test_poses_are_compared_by_their_numbers(poses):
    poses.keypoints[1, 2] = np.nan
    assert poses == copy.deepcopy(poses) and poses in [no_poses(3), pickle.loads(pickle.dumps(poses))]
    assert poses != dataclasses.replace(poses, scores=np.array([0.5, 0.25]))
    assert poses != no_poses(3) and poses != 3


def test_names_of_other_joints_are_refused(poses):
    with pytest.raises(ValueError, match="joints must be 3 names, got 2"):
        poses.to_dict(["nose", "neck"])


def test_poses_come_back_from_the_arrays_of_supervision(poses):
    for confidence in ("confidence", "keypoint_confidence"):
        arrays = poses.to_supervision_arrays(confidence)
        assert set(arrays) == {"xy", confidence, "class_id", "data"} and arrays["class_id"] is None
        assert arrays["xy"].dtype == arrays[confidence].dtype == np.float32
        assert arrays["xy"][1, 2].tolist() == [0, 0]
        back = poses_from_supervision(types.SimpleNamespace(**arrays))
        np.testing.assert_array_equal(back.keypoints, arrays["xy"])
        for field in ("joint_scores", "scores", "boxes", "track_ids"):
            np.testing.assert_array_equal(getattr(back, field), getattr(poses, field), err_msg=field)


def test_joints_without_finite_places_are_not_written(poses):
    poses.keypoints[0, 1], poses.keypoints[1, 0, 0] = np.nan, np.inf
    expected = [[True, False, True], [False, True, False]]
    written = poses.as_written()
    assert np.isfinite(written.keypoints).all() and (written.joint_scores > 0).tolist() == expected
    assert (~np.isnan(poses.to_dict()["x"])).reshape(2, 3).tolist() == expected
    arrays = poses.to_supervision_arrays()
    assert np.isfinite(arrays["xy"]).all() and (arrays["confidence"] > 0).tolist() == expected
    assert (frame_from_poses("0.jpg", 0, poses).visibility > 0).tolist() == expected


def test_what_supervision_does_not_know_is_derived():
    xy = np.array([[[1, 2], [3, 6]], [[0, 0], [5, 5]]], np.float32)
    back = poses_from_supervision(types.SimpleNamespace(xy=xy, confidence=None, class_id=np.zeros(2, int), data={}))
    assert back.joint_scores.tolist() == [[1, 1], [0, 1]]
    assert back.scores.tolist() == [1, 1] and back.track_ids.tolist() == [-1, -1]
    assert back.boxes.tolist() == [[1, 2, 3, 6], [5, 5, 5, 5]]
    newer = types.SimpleNamespace(
        xy=xy,
        keypoint_confidence=np.array([[0.5, 1], [0.25, 0.75]], np.float32),
        detection_confidence=np.array([0.9, 0.8]),
        visible=np.array([[True, True], [False, True]]),
    )
    back = poses_from_supervision(newer)
    assert back.joint_scores.tolist() == [[0.5, 1], [0, 0.75]] and back.scores.tolist() == [0.9, 0.8]
    older = types.SimpleNamespace(xy=xy, confidence=newer.keypoint_confidence)
    assert poses_from_supervision(older).scores.tolist() == [0.75, 0.5]


@pytest.mark.parametrize("confidence", [None, np.ones((1, 2))])
def test_joints_at_nan_are_not_there(confidence):
    xy = np.array([[[np.nan, np.nan], [3.0, 4.0]]])
    back = poses_from_supervision(types.SimpleNamespace(xy=xy, confidence=confidence))
    assert back.joint_scores.tolist() == [[0, 1]] and back.boxes.tolist() == [[3, 4, 3, 4]]


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"xy must be \[people, joints, 2\], got \(2, 3\)"):
        poses_from_supervision(types.SimpleNamespace(xy=np.zeros((2, 3))))
    wrong = types.SimpleNamespace(xy=np.ones((2, 3, 2)), confidence=np.ones(2))
    with pytest.raises(ValueError, match=r"confidence must be \(2, 3\) beside xy \(2, 3, 2\), got \(2,\)"):
        poses_from_supervision(wrong)


def test_no_people_go_there_and_back():
    back = poses_from_supervision(types.SimpleNamespace(**no_poses(5).to_supervision_arrays()))
    for field in dataclasses.fields(Poses):
        assert getattr(back, field.name).shape == getattr(no_poses(5), field.name).shape


def test_frames_come_back_from_their_joined_people(poses):
    frames = [no_poses(poses.keypoints.shape[1]), poses, poses.select(np.array([1]))]
    joined = join_poses(frames)
    assert joined.scores.tolist() == [*poses.scores, poses.scores[1]]
    for frame, back in zip(frames, split_poses(joined, np.array([0, len(poses), 1])), strict=True):
        for field in dataclasses.fields(Poses):
            np.testing.assert_array_equal(getattr(back, field.name), getattr(frame, field.name))


def test_poses_of_the_package_need_no_tensorflow():
    program = "import sys, tfpose; tfpose.Poses; tfpose.Tracker('online'); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
