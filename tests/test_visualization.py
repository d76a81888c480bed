"""Drawings: ids that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from tfpose.poses import Poses
from tfpose.visualization import draw_identities, identity_color


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


def test_keypoints_without_place_are_no_anchor():
    poses = people([(np.nan, np.nan)])
    empty = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal(draw_identities(empty, poses), empty)
