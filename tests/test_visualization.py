"""Drawings: ids that can be read."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfpose.poses import Poses
from tfpose.skeletons import COCO17, skeleton_from_names
from tfpose.visualization import (
    SIDE_COLORS,
    add_side_legend,
    draw_identities,
    draw_named_pose,
    draw_poses,
    identity_color,
    naming_factor,
)


def people(places, first_id=0):
    """One joint each."""
    keypoints = np.array(places, float).reshape(-1, 1, 2)
    count = len(keypoints)
    ids = np.arange(first_id, first_id + count)
    return Poses(keypoints, np.ones((count, 1)), np.ones(count), np.zeros((count, 4)), ids)


def label_boxes(image, poses):
    """Of each id: the extent of its own color, xyxy in pixels; colors are flat in labels only."""
    boxes = {}
    for track_id in poses.track_ids.tolist():
        rows, columns = np.nonzero((image == identity_color(track_id)).all(axis=-1))
        boxes[track_id] = (columns.min(), rows.min(), columns.max(), rows.max()) if len(rows) else None
    return boxes


@pytest.mark.parametrize("size", [(360, 640), (720, 1280), (64, 80)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_labels_stay_inside_the_picture(size, corner):
    place = corner[0] * (size[1] - 1), corner[1] * (size[0] - 1)
    poses = people([place], first_id=188)
    left, top, right, bottom = label_boxes(draw_identities(np.zeros((*size, 3), np.uint8), poses), poses)[188]
    assert left >= 0 and top >= 0
    # A box at the edge is as large as one in the middle, so nothing of it is cut off.
    middle = people([(size[1] / 2, size[0] / 2)], first_id=188)
    whole = label_boxes(draw_identities(np.zeros((*size, 3), np.uint8), middle), middle)[188]
    assert (right - left, bottom - top) == (whole[2] - whole[0], whole[3] - whole[1])


def test_labels_of_a_crowd_do_not_overlap():
    poses = people(np.random.default_rng(0).normal((320, 180), 6, (12, 2)))
    empty = np.zeros((360, 640, 3), np.uint8)
    together = draw_identities(empty, poses)
    for track_id, place in enumerate(poses.keypoints[:, 0]):
        alone = draw_identities(empty, people([place], track_id))
        counts = [np.count_nonzero((image == identity_color(track_id)).all(axis=-1)) for image in (together, alone)]
        # What another label or its line covers would be missing; a line of its own only adds.
        assert counts[0] >= counts[1]


def test_people_without_identity_or_drawn_joints_have_no_label():
    poses = people([(50, 50), (60, 60)])
    poses = Poses(poses.keypoints, np.array([[0.1], [1.0]]), poses.scores, poses.boxes, np.array([3, -1]))
    empty = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal(draw_identities(empty, poses), empty)


def test_joints_that_are_not_there_are_not_drawn_without_a_threshold():
    poses = dataclasses.replace(people([(50.0, 50.0)]), joint_scores=np.zeros((1, 1)))
    empty = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal(draw_identities(empty, poses, joint_threshold=0.0), empty)
    skeleton = skeleton_from_names("point", ("point",))
    np.testing.assert_array_equal(draw_poses(empty, poses, skeleton, joint_threshold=0.0), empty)


def test_keypoints_without_place_are_no_anchor():
    poses = people([(np.nan, np.nan)])
    empty = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal(draw_identities(empty, poses), empty)


@pytest.mark.parametrize("place", [1e10, -1e12, 1e300])
def test_joints_far_outside_the_picture_are_drawn(place):
    skeleton = skeleton_from_names("pair", ("near", "far"), limbs=(("near", "far"),))
    keypoints = np.array([[[50.0, 50], [place, 40]]])
    poses = Poses(keypoints, np.ones((1, 2)), np.ones(1), np.zeros((1, 4)), np.array([0]))
    empty = np.zeros((100, 100, 3), np.uint8)
    for threshold in (0.0, 2.0):
        assert draw_poses(empty, poses, skeleton, threshold, shows_faint_joints=True).any()
    assert draw_identities(empty, poses).any()


def test_joints_of_another_skeleton_are_refused():
    with pytest.raises(ValueError, match="poses must have the 17 joints of skeleton coco17, got 1"):
        draw_poses(np.zeros((100, 100, 3), np.uint8), people([(50, 50)]), COCO17)


def num_pixels(image: np.ndarray, color: tuple[int, int, int]) -> int:
    return np.count_nonzero((image == color).all(axis=-1))


def test_joints_are_named_in_the_color_of_their_side():
    skeleton = skeleton_from_names("dog", ("L_Ear", "R_Ear", "nose of a dog"))
    image, places = np.zeros((64, 96, 3), np.uint8), np.array([[20.0, 40], [50, 40], [80, 40]])
    for joint, side in enumerate(("left", "right", None)):
        picture = draw_named_pose(image, places, np.arange(3) == joint, skeleton)
        factor = naming_factor(image)
        assert picture.shape == (64 * factor, 96 * factor, 3)
        assert [other for other, color in SIDE_COLORS.items() if num_pixels(picture, color) > 100] == [side]
        rows, columns = np.nonzero((picture == SIDE_COLORS[side]).all(axis=-1))
        # The name is just above its joint.
        center = (places[joint] + 0.5) * factor - 0.5
        assert columns.min() < center[0] < columns.max()
        assert center[1] - 40 < rows.min() < center[1]
    assert not draw_named_pose(image, places, np.zeros(3, bool), skeleton).any()


def test_the_legend_has_the_color_of_each_side():
    legend = add_side_legend(np.zeros((10, 400, 3), np.uint8))[10:]
    assert all(num_pixels(legend, color) for color in SIDE_COLORS.values())


def test_joints_below_the_threshold_are_thin_and_their_limbs_dashed():
    image = np.zeros((200, 300, 3), np.uint8)
    skeleton = skeleton_from_names("two", ("left_hand", "left_elbow"), (("left_hand", "left_elbow"),))
    poses = Poses(
        np.array([[[50.0, 100], [250, 100]]]), np.array([[0.1, 0.9]]), np.ones(1), np.zeros((1, 4)), np.full(1, -1)
    )
    left_out, faint = (draw_poses(image, poses, skeleton, 0.2, shows_faint_joints=faint) for faint in (False, True))
    assert left_out[100, 60:240].max() == 0
    line = faint[100, 60:240].max(axis=-1) > 100
    assert 0.3 < line.mean() < 0.7
    sizes = [(faint[90:110, x - 10 : x + 10].max(axis=-1) > 100).sum() for x in (50, 250)]
    assert 0 < sizes[0] < sizes[1]
    whole = draw_poses(image, poses, skeleton, 0.05, shows_faint_joints=True)
    assert (whole[100, 60:240].max(axis=-1) > 100).all()
