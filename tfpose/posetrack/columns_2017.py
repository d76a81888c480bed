"""Reads the columns of files of PoseTrack 2017."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import is_number, object_list
from tfpose.messages import quote
from tfpose.posetrack.columns import PersonColumns
from tfpose.posetrack.json_columns import (
    MALFORMED,
    PersonPlaces,
    fast_or_explained,
    finite_numbers,
    is_score,
    scores_from_json,
    whole_numbers,
)
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_IMAGE_ID, NO_SCORE, NO_TRACK_ID, sequence_name


def columns_from_2017(path: pathlib.Path, content: Mapping, is_ground_truth: bool) -> PersonColumns:
    """Reads the content of a 2017 file; head boxes and ignore regions are read from the ground truth only.

    Raises:
        ValueError: The content breaks a rule; the message names the file, frame, person and field.
    """
    annolist = object_list(path, content, "annolist")
    names = fast_or_explained(
        path,
        lambda: [str(frame["image"][0]["name"]) for frame in annolist],
        lambda: _explain_frames_2017(path, annolist),
    )
    people_of_frame: list[Any] = [frame.get("annorect") for frame in annolist]
    if not all(isinstance(people, list) for people in people_of_frame):
        _explain_frames_2017(path, annolist)
    frames = np.repeat(np.arange(len(annolist)), [len(people) for people in people_of_frame])
    people = [person for in_frame in people_of_frame for person in in_frame]
    where = PersonPlaces(path, names, frames)
    _check_objects(people, where)
    lists = [_points_of_person(person, where, index) for index, person in enumerate(people)]
    points = [point for in_person in lists if in_person for point in in_person]
    point_people = np.repeat(np.arange(len(people)), [len(in_person or ()) for in_person in lists])
    table = fast_or_explained(
        path,
        lambda: _point_table(points),
        lambda: _explain_points(points, lambda index: where(int(point_people[index]))),
    )
    joints = np.where(np.isin(table[0], np.arange(len(JOINTS_BY_NUMBER))), table[0], -1).astype(np.int64)
    return PersonColumns(
        path=path,
        name=sequence_name(path),
        frame_names=names,
        image_ids=np.full(len(annolist), NO_IMAGE_ID),
        is_labeled=np.zeros(len(annolist), bool),
        frames=frames,
        track_ids=whole_numbers([_track_id_2017(person) for person in people], where),
        head_boxes=_head_boxes_2017(people, where) if is_ground_truth else np.full((len(people), 4), np.nan),
        has_points=np.array([in_person is not None for in_person in lists], bool),
        point_people=point_people,
        point_joints=joints,
        points=np.stack(table[1:3], axis=-1),
        point_scores=table[3],
        regions=_regions_2017(path, annolist) if is_ground_truth else (),
    )


def _explain_frames_2017(path: pathlib.Path, annolist: Sequence[Mapping]) -> None:
    for index, frame in enumerate(annolist):
        image = frame.get("image")
        if not (isinstance(image, list) and image and isinstance(image[0], dict) and "name" in image[0]):
            raise ValueError(
                f"{path}: frame {index}: 'image' must be a list of one object with 'name', got {quote(image)}"
            )
        people = frame.get("annorect")
        if not isinstance(people, list):
            raise ValueError(f"{path}: frame {index}: 'annorect' must be a list of people, got {quote(people)}")


def _check_objects(people: Sequence, where: PersonPlaces) -> None:
    for index, person in enumerate(people):
        if not isinstance(person, dict):
            raise ValueError(f"{where(index)} must be an object, got {quote(person)}")


def _points_of_person(person: Mapping, where: PersonPlaces, index: int) -> list | None:
    """Returns the points of a person; None where there is no list of points."""
    annopoints = person.get("annopoints")
    if annopoints is None or annopoints == []:
        return None
    if isinstance(annopoints, list) and isinstance(annopoints[0], dict):
        points = annopoints[0].get("point", None)
        if "point" not in annopoints[0] or isinstance(points, list):
            return points
    raise ValueError(
        f"{where(index)}: 'annopoints' must be a list of one object with a list 'point', got {quote(annopoints)}"
    )


def _point_table(points: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns joint numbers, x, y and scores, [K] float64 each."""
    numbers, x, y = (finite_numbers([point[field][0] for point in points]) for field in ("id", "x", "y"))
    scores = [point["score"][0] if point.get("score") else NO_SCORE for point in points]
    return numbers, x, y, scores_from_json(scores)


def _explain_points(points: Sequence, where: Callable[[int], str]) -> None:
    for index, point in enumerate(points):
        if not isinstance(point, dict):
            raise ValueError(f"{where(index)}: 'point' must be a list of objects, got {quote(point)}")
        for field in ("id", "x", "y"):
            value = point.get(field)
            if not (isinstance(value, list) and value and is_number(value[0])):
                raise ValueError(
                    f"{where(index)}: {field!r} of a point must be a list of one number, got {quote(value)}"
                )
        score = point.get("score", [])
        if score and not (isinstance(score, list) and is_score(score[0])):
            raise ValueError(f"{where(index)}: 'score' of a point must be a list of one number, got {quote(score)}")


def _track_id_2017(person: Mapping) -> Any:
    value = person.get("track_id", [])
    return value[0] if isinstance(value, list) and value else NO_TRACK_ID if value == [] else value


def _head_boxes_2017(people: Sequence[Mapping], where: PersonPlaces) -> np.ndarray:
    sides = ("x1", "y1", "x2", "y2")
    has_box = [all(side in person for side in sides) for person in people]
    boxes = np.full((len(people), 4), np.nan)
    holders = np.flatnonzero(has_box).tolist()

    def explain() -> None:
        for index in holders:
            for side in sides:
                value = people[index][side]
                if not (isinstance(value, list) and value and is_number(value[0])):
                    raise ValueError(f"{where(index)}: {side!r} must be a list of one number, got {quote(value)}")

    if len(holders):
        boxes[holders] = fast_or_explained(
            where.path,
            lambda: finite_numbers([people[index][side][0] for index in holders for side in sides]),
            explain,
        ).reshape(-1, 4)
    return boxes


def _regions_2017(path: pathlib.Path, annolist: Sequence[Mapping]) -> tuple[tuple[int, np.ndarray], ...]:
    regions = []
    for index, frame in enumerate(annolist):
        try:
            for region in frame.get("ignore_regions", ()):
                corners = [point[side][0] for point in region["point"] for side in ("x", "y")]
                regions.append((index, finite_numbers(corners).reshape(-1, 2)))
        except MALFORMED as error:
            raise ValueError(
                f"{path}: frame {index}: 'ignore_regions' must be polygons: lists 'point' of objects with x and y, "
                f"got {quote(frame['ignore_regions'])}"
            ) from error
    return tuple(regions)
