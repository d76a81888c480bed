"""Finds labels that look wrong: misplaced joints, swapped sides, people labeled twice, odd boxes. NumPy only.

A finding is a hint, not a proof: a person who turns may look like one whose sides are swapped.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from tfpose.boxes import areas, intersection_over_union
from tfpose.data.records import RecordTable

OUTSIDE_PICTURE = "Joints outside the picture"
OUTSIDE_BOX = "Joints outside their box"
SWAPPED_SIDES = "Left and right may be swapped"
DUPLICATES = "People who may be labeled twice"
ODD_BOXES = "Tiny, empty or outside boxes"
KINDS = (OUTSIDE_PICTURE, OUTSIDE_BOX, SWAPPED_SIDES, DUPLICATES, ODD_BOXES)
# Boxes with a smaller area in square pixels show too little of a person.
SMALLEST_AREA = 16.0**2
# Joints at the border of the picture may be rounded to the next pixel.
_PICTURE_MARGIN_PIXELS = 1.5
# Annotators draw boxes around what they see; a joint may lie a little outside, in shares of the box's longer side.
_BOX_MARGIN = 0.1
# Shoulders and hips that are seen from the side say nothing about left and right; shares of the torso's length.
_LEAST_WIDTH = 0.25
# Sides are swapped between two frames if the joints moved less than this share of their way without the swap, and if
# this way is at least a share of the box's longer side.
_SWAPPED_SHARE, _LEAST_MOTION = 0.5, 0.1
_LEAST_PAIRED_JOINTS = 4
# Two people are one if their joints are nearer, in shares of the longer side of the box around the joints.
_DUPLICATE_DISTANCE, _LEAST_COMMON_JOINTS = 0.05, 3
_DUPLICATE_IOU = 0.9


@dataclasses.dataclass(frozen=True)
class Finding:
    """A label that looks wrong.

    Attributes:
        kind: One of `KINDS`.
        image: Row of the image in the table.
        people: Rows of the people in the table.
        details: What is wrong, in words.
    """

    kind: str
    image: int
    people: tuple[int, ...]
    details: str


def check_labels(table: RecordTable) -> list[Finding]:
    """Returns the suspicious labels of a split, kind by kind in the order of `KINDS`. Crowds are not checked."""
    checks = (_outside_picture, _outside_box, _swapped_sides, _duplicates, _odd_boxes)
    return [finding for check in checks for finding in check(table)]


def labeled_joints(table: RecordTable) -> np.ndarray:
    """Returns [P, J] bool, whether a joint is labeled; False for crowds."""
    return (table.people["visibility"] > 0) & (table.people["is_crowd"] == 0)[:, None]


def has_box(table: RecordTable) -> np.ndarray:
    """Returns [P] bool, whether a person has a box with finite corners and a positive size."""
    box = table.people["box"]
    return np.isfinite(box).all(axis=1) & (box[:, 2:] > box[:, :2]).all(axis=1)


def _joint_findings(table: RecordTable, kind: str, is_wrong: np.ndarray) -> Iterator[Finding]:
    """Yields a finding for each person with wrong joints [P, J]."""
    images = table.image_of_person
    for person in np.flatnonzero(is_wrong.any(axis=1)).tolist():
        names = [table.skeleton.joints[joint] for joint in np.flatnonzero(is_wrong[person])]
        yield Finding(kind, int(images[person]), (person,), ", ".join(names).replace("_", " "))


def _outside_picture(table: RecordTable) -> Iterator[Finding]:
    keypoints, size = table.people["keypoints"], table.sizes(table.image_of_person)[:, None, ::-1]
    margin = _PICTURE_MARGIN_PIXELS
    is_inside = ((keypoints >= -margin) & (keypoints <= size - 1 + margin)).all(axis=-1)
    return _joint_findings(table, OUTSIDE_PICTURE, labeled_joints(table) & ~is_inside)


def _outside_box(table: RecordTable) -> Iterator[Finding]:
    keypoints, box = table.people["keypoints"], table.people["box"]
    margin = _BOX_MARGIN * (box[:, 2:] - box[:, :2]).max(axis=1, keepdims=True) + _PICTURE_MARGIN_PIXELS
    low, high = (box[:, :2] - margin)[:, None], (box[:, 2:] + margin)[:, None]
    is_inside = ((keypoints >= low) & (keypoints <= high)).all(axis=-1)
    return _joint_findings(table, OUTSIDE_BOX, labeled_joints(table) & has_box(table)[:, None] & ~is_inside)


def _swapped_sides(table: RecordTable) -> Iterator[Finding]:
    images = table.image_of_person
    twisted = set(np.flatnonzero(_has_twisted_torso(table)).tolist())
    flipped = dict(_side_flips(table))
    for person in sorted({*twisted, *flipped}):
        words = ["shoulders and hips disagree"] if person in twisted else []
        words += [f"sides change from frame {flipped[person]}"] if person in flipped else []
        yield Finding(SWAPPED_SIDES, int(images[person]), (person,), ", ".join(words))


def _has_twisted_torso(table: RecordTable) -> np.ndarray:
    """Returns [P] bool, whether the left shoulder and the left hip lie on opposite sides of a torso seen from front."""
    needed = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not set(needed) <= set(table.skeleton.joints):
        return np.zeros(table.num_people, bool)
    columns = [table.skeleton.index(name) for name in needed]
    left_shoulder, right_shoulder, left_hip, right_hip = np.moveaxis(table.people["keypoints"][:, columns], 1, 0)
    torso = (left_shoulder + right_shoulder - left_hip - right_hip) / 2
    length = np.maximum(np.hypot(*torso.T), 1e-6)

    def side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns [P] the width across the torso in lengths of the torso, positive where left is on one side."""
        across = left - right
        return (torso[:, 0] * across[:, 1] - torso[:, 1] * across[:, 0]) / length**2

    shoulders, hips = side(left_shoulder, right_shoulder), side(left_hip, right_hip)
    is_seen = np.minimum(np.abs(shoulders), np.abs(hips)) >= _LEAST_WIDTH
    return labeled_joints(table)[:, columns].all(axis=1) & is_seen & (shoulders * hips < 0)


def _side_flips(table: RecordTable) -> Iterator[tuple[int, int]]:
    """Yields people whose labels fit the previous frame of their track better with swapped sides, and that frame."""
    flip = table.skeleton.flip_order
    is_paired = flip != np.arange(len(flip))
    keypoints, is_labeled = table.people["keypoints"], labeled_joints(table) & is_paired
    is_labeled &= is_labeled[:, flip]
    box = table.people["box"]
    sizes = np.nan_to_num((box[:, 2:] - box[:, :2]).max(axis=1))
    for before, now in _consecutive_people(table):
        common = is_labeled[before] & is_labeled[now]
        if common.sum() >= _LEAST_PAIRED_JOINTS:
            way = np.hypot(*(keypoints[now] - keypoints[before])[common].T).mean()
            swapped_way = np.hypot(*(keypoints[now][flip] - keypoints[before])[common].T).mean()
            if way >= _LEAST_MOTION * sizes[now] and swapped_way < _SWAPPED_SHARE * way:
                yield now, int(table.images["frame"][table.image_of_person[before]])


def _consecutive_people(table: RecordTable) -> Iterator[tuple[int, int]]:
    """Yields the rows of each person of a video in two labeled frames that follow each other."""
    images, tracks = table.image_of_person, table.people["track_id"]
    rows: dict[tuple, list[tuple[int, int]]] = {}
    for person in np.flatnonzero(tracks >= 0).tolist():
        sequence = table.images["sequence"][images[person]]
        if sequence:
            frame = int(table.images["frame"][images[person]])
            rows.setdefault((sequence, int(tracks[person])), []).append((frame, person))
    for track in rows.values():
        for (_, before), (_, now) in itertools.pairwise(sorted(track)):
            yield before, now


def _duplicates(table: RecordTable) -> Iterator[Finding]:
    is_labeled, boxes, are_boxes = labeled_joints(table), table.people["box"], has_box(table)
    is_crowd = table.people["is_crowd"] != 0
    for image in np.flatnonzero(np.diff(table.first_person) > 1).tolist():
        people = [person for person in table.people_of(image) if not is_crowd[person]]
        for first, second in itertools.combinations(people, 2):
            common = is_labeled[first] & is_labeled[second]
            if common.sum() >= _LEAST_COMMON_JOINTS:
                is_double = _are_near(table.people["keypoints"][[first, second]][:, common])
            else:
                has_joints = is_labeled[first].any() and is_labeled[second].any()
                is_double = not has_joints and are_boxes[first] and are_boxes[second]
                is_double = is_double and _overlap(boxes[first], boxes[second]) >= _DUPLICATE_IOU
            if is_double:
                yield Finding(DUPLICATES, image, (first, second), "two people in the same place")


def _are_near(keypoints: np.ndarray) -> bool:
    """Returns whether the joints [2, J, 2] of two people lie in the same places."""
    distance = np.hypot(*(keypoints[0] - keypoints[1]).T).mean()
    points = keypoints.reshape(-1, 2)
    size = (points.max(axis=0) - points.min(axis=0)).max()
    return bool(distance <= _DUPLICATE_DISTANCE * size)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float(intersection_over_union(first[None], second[None])[0, 0])


def _odd_boxes(table: RecordTable) -> Iterator[Finding]:
    images, box = table.image_of_person, table.people["box"]
    sizes = table.sizes(images)[:, ::-1]
    is_outside = np.asarray(((box[:, :2] >= sizes) | (box[:, 2:] <= 0)).any(axis=1))
    area = areas(box)
    is_checked = (table.people["is_crowd"] == 0) & np.isfinite(box).all(axis=1)
    for person in np.flatnonzero(is_checked & (is_outside | (area < SMALLEST_AREA))).tolist():
        width, height = (box[person, 2:] - box[person, :2]).tolist()
        words = (
            "the box is outside the picture" if is_outside[person] else f"the box is {width:.0f}x{height:.0f} pixels"
        )
        yield Finding(ODD_BOXES, int(images[person]), (person,), words)
