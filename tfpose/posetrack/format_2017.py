"""Reads and writes files of PoseTrack 2017."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import float_array, is_id, is_number, null_for_nan, number_or_nan, object_list, optional_entry
from tfpose.messages import quote
from tfpose.posetrack.sequences import (
    JOINTS_BY_NUMBER,
    NO_SCORE,
    NO_TRACK_ID,
    Frame,
    PoseSequence,
    SurplusPoints,
    build_frame,
    polygon,
    sequence_name,
)
from tfpose.skeletons import Skeleton, joint_mapping


def _one(value: Any, default: Any = None) -> Any:
    """Returns the value in a list of one element; the default for an empty list or None."""
    if isinstance(value, list):
        return value[0] if value else default
    return default if value is None else value


def _many(value: Any) -> list:
    """Returns a list, also where the conversion from MATLAB left a single object instead of a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def sequence_from_posetrack17(path: pathlib.Path, content: Mapping, skeleton: Skeleton) -> PoseSequence:
    """Reads the content of a 2017 file.

    Raises:
        ValueError: The content breaks a rule; the message names the file, the frame, the field, the rule and the value.
    """
    annolist = object_list(path, content, "annolist")
    for index, frame in enumerate(annolist):
        if not isinstance(frame.get("annorect", []), (list, dict, type(None))):
            raise ValueError(
                f"{path}: frame {index}: 'annorect' must be a list of people, got {quote(frame.get('annorect'))}"
            )
    frames = tuple(_frame_2017(path, frame, index, skeleton) for index, frame in enumerate(annolist))
    return PoseSequence(sequence_name(path), skeleton, frames, path)


def _frame_2017(path: pathlib.Path, frame: Mapping, index: int, skeleton: Skeleton) -> Frame:
    where = f"{path}: frame {index}"
    people = [person for person in _many(frame.get("annorect")) if isinstance(person, dict)]
    image = _one(frame.get("image"))
    name = _one(image.get("name")) if isinstance(image, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: 'image' must have a 'name', got {quote(frame.get('image'))}")
    lists = [_point_list(person) for person in people]
    columns = _points_2017(where, lists, skeleton)
    return build_frame(
        file_name=name.replace("\\/", "/"),
        index=index,
        is_labeled=bool(_one(frame.get("is_labeled"), bool(people))),
        scores=np.array([number_or_nan(_one(person.get("score"))) for person in people], np.float64),
        head_boxes=_head_boxes_2017(where, people),
        track_ids=_track_ids_2017(where, people),
        has_points=np.array([points is not None for points in lists], bool),
        ignore_regions=_ignore_regions_2017(where, frame),
        **columns,
    )


def _point_list(person: Mapping) -> list | None:
    points = _one(person.get("annopoints"))
    return _many(points["point"]) if isinstance(points, dict) and "point" in points else None


def _points_2017(where: str, lists: Sequence[list | None], skeleton: Skeleton) -> dict[str, Any]:
    """Returns keypoints, visibility, joint scores and surplus points of a frame."""
    if not all(isinstance(point, dict) for points in lists for point in points or ()):
        raise ValueError(f"{where}: 'point' must be a list of objects, got others")
    rows = [
        (
            person,
            _one(point.get("id"), -1),
            _one(point.get("x")),
            _one(point.get("y")),
            _score(point),
            _one(point.get("is_visible"), 1),
        )
        for person, points in enumerate(lists)
        for point in points or ()
    ]
    try:
        table = float_array(rows).reshape(-1, 6)
    except (TypeError, ValueError, OverflowError):
        table = np.full((1, 6), np.nan)
    if not np.isfinite(table[:, :4]).all():
        raise ValueError(f"{where}: {_wrong_point(rows)}")
    return _scatter_points(table, len(lists), skeleton)


def _wrong_point(rows: Sequence[tuple]) -> str:
    """Returns in words what is wrong with the first wrong point of a frame."""
    for _, *values in rows:
        for field, value in zip(("id", "x", "y", "score", "is_visible"), values, strict=True):
            may_be_nan = field in ("score", "is_visible")
            if not (is_number(value) or (may_be_nan and (value is None or value != value))):
                return f"{field!r} of a point must be a number, got {quote(value)}"
    return "the numbers of points must be finite and of reasonable size"


def _score(point: Mapping) -> float | None:
    """Returns the score; None, which becomes NaN, where the file has null."""
    value = point.get("score", [])
    return value[0] if isinstance(value, list) and value else NO_SCORE if value == [] else value


def _scatter_points(table: np.ndarray, num_people: int, skeleton: Skeleton) -> dict[str, Any]:
    """Puts the rows (person, joint number, x, y, score, visible) of a frame into arrays."""
    joint_of_number = joint_mapping(skeleton.joints, JOINTS_BY_NUMBER)
    people, numbers = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    is_number_of_joint = (numbers >= 0) & (numbers < len(JOINTS_BY_NUMBER)) & (numbers == table[:, 1])
    joints = np.where(is_number_of_joint, joint_of_number[np.where(is_number_of_joint, numbers, 0)], -1)
    cells = people * skeleton.num_joints + joints
    # np.unique returns first occurrences, and the first point of a joint counts.
    _, firsts = np.unique(np.where(joints >= 0, cells, -1 - np.arange(len(cells))), return_index=True)
    is_first = np.zeros(len(cells), bool)
    is_first[firsts] = True
    is_first &= joints >= 0
    shape = (num_people, skeleton.num_joints)
    keypoints, visibility, scores = np.zeros((*shape, 2)), np.zeros(shape, np.int64), np.full(shape, NO_SCORE)
    place = people[is_first], joints[is_first]
    keypoints[place] = table[is_first, 2:4]
    visibility[place] = np.where(table[is_first, 5] == 0, 1, 2)
    scores[place] = table[is_first, 4]
    rest = ~is_first
    surplus = SurplusPoints(people[rest], joints[rest], table[rest, 2:4], table[rest, 4])
    return {"keypoints": keypoints, "visibility": visibility, "joint_scores": scores, "surplus": surplus}


def _head_boxes_2017(where: str, people: Sequence[Mapping]) -> np.ndarray:
    rows = [[_one(person.get(side), np.nan) for side in ("x1", "y1", "x2", "y2")] for person in people]
    try:
        return float_array(rows).reshape(-1, 4)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where}: 'x1', 'y1', 'x2', 'y2' must be numbers, got {rows}") from error


def _track_ids_2017(where: str, people: Sequence[Mapping]) -> np.ndarray:
    ids = [_one(person.get("track_id"), NO_TRACK_ID) for person in people]
    if not all(is_id(track_id) for track_id in ids):
        raise ValueError(f"{where}: 'track_id' must be a whole number, got {ids}")
    return np.array(ids, np.int64)


def _ignore_regions_2017(where: str, frame: Mapping) -> tuple[np.ndarray, ...]:
    regions = [region for region in _many(frame.get("ignore_regions")) if isinstance(region, dict)]
    try:
        return tuple(polygon([(_one(p["x"]), _one(p["y"])) for p in _many(region.get("point"))]) for region in regions)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: 'ignore_regions' must be lists of points with x and y, got others") from error


def posetrack17_from_sequence(sequence: PoseSequence) -> dict:
    """Returns a sequence as the content of a 2017 file, without the joints for which this format has no number."""
    frames = [
        {
            "image": [{"name": frame.file_name}],
            "imgnum": [frame.index + 1],
            "is_labeled": [int(frame.is_labeled)],
            "annorect": _annorect_2017(frame, sequence.skeleton),
            **optional_entry("ignore_regions", _regions_2017(frame), bool(frame.ignore_regions)),
        }
        for frame in sequence.frames
    ]
    return {"annolist": frames}


def _regions_2017(frame: Frame) -> list[dict]:
    return [{"point": [{"x": [x], "y": [y]} for x, y in region.tolist()]} for region in frame.ignore_regions]


def _annorect_2017(frame: Frame, skeleton: Skeleton) -> list[dict]:
    number_of_joint = joint_mapping(JOINTS_BY_NUMBER, skeleton.joints)
    points: list[list[dict]] = [[] for _ in range(frame.num_people)]
    for person, joint in np.argwhere(frame.visibility > 0).tolist():
        if number_of_joint[joint] >= 0:
            score = frame.joint_scores[person, joint]
            is_visible = [int(frame.visibility[person, joint] == 2)]
            point = _point_2017(number_of_joint[joint], frame.keypoints[person, joint], score)
            points[person].append(point | {"is_visible": is_visible})
    surplus = frame.surplus
    for person, joint, keypoint, score in zip(
        surplus.people.tolist(), surplus.joints.tolist(), surplus.keypoints, surplus.scores, strict=True
    ):
        number = number_of_joint[joint] if joint >= 0 else -1
        points[person].append(_point_2017(number, keypoint, score))
    return [_person_2017(frame, person, points[person]) for person in range(frame.num_people)]


def _point_2017(number: int, keypoint: np.ndarray, score: float) -> dict:
    x, y = keypoint.tolist()
    return {
        "id": [int(number)],
        "x": [x],
        "y": [y],
        **optional_entry("score", null_for_nan(np.array([score])), score != NO_SCORE),
    }


def _person_2017(frame: Frame, person: int, points: list[dict]) -> dict:
    head_box = frame.head_boxes[person]
    sides = {side: [value] for side, value in zip(("x1", "y1", "x2", "y2"), head_box.tolist(), strict=True)}
    return {
        **optional_entry("track_id", [int(frame.track_ids[person])], frame.track_ids[person] != NO_TRACK_ID),
        **optional_entry("score", [float(frame.scores[person])], np.isfinite(frame.scores[person])),
        **(sides if np.isfinite(head_box).all() else {}),
        **optional_entry("annopoints", [{"point": points}], bool(frame.has_points[person])),
    }
