"""The people of all frames of a file in a few arrays: what scoring reads, at about the cost of parsing the JSON.

`read_posetrack` makes objects per frame and keeps everything a file holds; scoring needs a few fields of many files,
and must refuse exactly what the official evaluators refuse. Sections refer to poseval
(github.com/leonid-pishchulin/poseval) and to the evaluator of PoseTrack21 (github.com/anDoer/PoseTrack21).
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.json_files import distinct_ids, is_number, object_list
from tfpose.posetrack.format_2018 import joint_names
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_IMAGE_ID, NO_SCORE, NO_TRACK_ID, PoseSequence, sequence_name
from tfpose.skeletons import POSETRACK18, joint_mapping

# poseval refuses track numbers and frame numbers from here on.
TRACK_ID_LIMIT = 10000
_FRAME_NUMBER_LIMIT = 10000
_IMAGE_NAME = re.compile(r"(?:.*/)?(\d+)_(?:mpii|bonn|mpiinew)(?:_[^/]*)?/(\d+)\.jpg", re.ASCII | re.DOTALL)
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


@dataclasses.dataclass(frozen=True)
class PersonColumns:
    """N people of one file, by frame and within a frame in the order of the file, with K points.

    Joints are numbered as in `JOINTS_BY_NUMBER`. Points are sorted by person; a joint may have several, of which the
    first counts.

    Attributes:
        path: of the file, for messages.
        name: of the sequence.
        frame_names: F image names.
        image_ids: [F] int64; NO_IMAGE_ID in 2017 files.
        is_labeled: [F] bool; false where the file does not say.
        frames: [N] int64 position of the frame, not decreasing.
        track_ids: [N] int64; NO_TRACK_ID where there is none.
        head_boxes: [N, 4] float64 xyxy in image pixels; NaN where there is none, and in predictions.
        has_points: [N] bool: a list of points is there, be it empty.
        point_people: [K] int64 position of the person, not decreasing.
        point_joints: [K] int64; -1 for numbers that are no joint.
        points: [K, 2] float64 (x, y) in image pixels.
        point_scores: [K] float64; NO_SCORE where there is none, NaN where the file says null.
        regions: pairs of a frame's position and a polygon [n, 2] to be ignored there; none in predictions.
    """

    path: pathlib.Path
    name: str
    frame_names: Sequence[str]
    image_ids: np.ndarray
    is_labeled: np.ndarray
    frames: np.ndarray
    track_ids: np.ndarray
    head_boxes: np.ndarray
    has_points: np.ndarray
    point_people: np.ndarray
    point_joints: np.ndarray
    points: np.ndarray
    point_scores: np.ndarray
    regions: tuple[tuple[int, np.ndarray], ...]

    @property
    def num_frames(self) -> int:
        return len(self.frame_names)

    @property
    def num_people(self) -> int:
        return len(self.frames)

    def where(self, person: int) -> str:
        """File, frame and person, for messages; people are counted from 0 in their frame."""
        frame = int(self.frames[person])
        number = person - int(np.searchsorted(self.frames, frame))
        return f"{self.path}: frame {frame} ({self.frame_names[frame]!r}): person {number}"


def columns_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads what poseval reads of a file of PoseTrack 2017 or 2018; a key `annolist` means 2017.

    Args:
        path: of the file, for messages and the sequence's name.
        content: of the file.
        is_ground_truth: read head boxes and ignore regions, which evaluators take from the ground truth only.

    Raises:
        ValueError: where poseval fails; names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        columns = _columns_2017(path, content, is_ground_truth)
    else:
        names = joint_names(path, object_list(path, content, "categories"))
        columns = _columns_2018(path, content, names, is_ground_truth, is_posetrack21=False)
    _check_track_limit(columns)
    if not is_ground_truth:
        _check_track_ids_are_distinct(columns)
    return columns


def columns21_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads what PoseTrack21's evaluator reads: 2018 files with 17 joints in one fixed order.

    `categories` is not looked at, and a joint is there if x and y are both above 0.

    Raises:
        ValueError: where that evaluator fails; names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        raise ValueError(f"{path}: PoseTrack21's figures need files of the 2018 or 2021 format, found 'annolist' (2017)")
    columns = _columns_2018(path, content, POSETRACK18.joints, is_ground_truth, is_posetrack21=True)
    _check_track_ids_are_distinct(columns)
    return columns


def columns_from_sequence(sequence: PoseSequence, is_ground_truth: bool) -> PersonColumns:
    """The columns of a sequence in memory, such as a tracker's result, as if it had been written and read.

    Raises:
        ValueError: where poseval would refuse the file.
    """
    frames = sequence.frames
    numbers = joint_mapping(JOINTS_BY_NUMBER, sequence.skeleton.joints)
    rows = [_points_of_frame(frame, numbers) for frame in frames]
    offsets = np.cumsum([0] + [frame.num_people for frame in frames])
    people, joints, points, scores = (
        np.concatenate([row[i] + (offsets[f] if i == 0 else 0) for f, row in enumerate(rows)] or [_EMPTY[i]])
        for i in range(4)
    )
    num_people = int(offsets[-1])
    columns = PersonColumns(
        path=sequence.path,
        name=sequence.name,
        frame_names=[frame.file_name for frame in frames],
        image_ids=np.array([frame.image_id for frame in frames], np.int64),
        is_labeled=np.array([frame.is_labeled for frame in frames], bool),
        frames=np.repeat(np.arange(len(frames)), np.diff(offsets)),
        track_ids=_join([frame.track_ids for frame in frames], np.int64),
        head_boxes=_join([frame.head_boxes for frame in frames], np.float64).reshape(num_people, 4),
        has_points=_join([frame.has_points for frame in frames], bool),
        point_people=people,
        point_joints=joints,
        points=points,
        point_scores=scores,
        regions=tuple((f, region) for f, frame in enumerate(frames) for region in frame.ignore_regions)
        if is_ground_truth
        else (),
    )
    _check_track_limit(columns)
    if not is_ground_truth:
        _check_track_ids_are_distinct(columns)
    return columns


_EMPTY = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))


def _join(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)


def _points_of_frame(frame: Any, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Person, joint number, (x, y) and score of each point of a frame; surplus ones after the first of each joint."""
    surplus = frame.surplus
    people, joints = np.nonzero((frame.visibility > 0) & (numbers >= 0))
    surplus_joints = np.where(surplus.joints >= 0, numbers[np.maximum(surplus.joints, 0)], -1)
    all_people = np.concatenate([people, surplus.people])
    order = np.argsort(all_people, kind="stable")
    return (
        all_people[order],
        np.concatenate([numbers[joints], surplus_joints])[order],
        np.concatenate([frame.keypoints[people, joints], surplus.keypoints])[order],
        np.concatenate([frame.joint_scores[people, joints], surplus.scores])[order],
    )


def _check_track_limit(columns: PersonColumns) -> None:
    is_wrong = columns.track_ids >= TRACK_ID_LIMIT
    if is_wrong.any():
        person = int(np.argmax(is_wrong))
        raise ValueError(
            f"{columns.where(person)}: 'track_id' should be below {TRACK_ID_LIMIT}, found {columns.track_ids[person]}"
        )


def _check_track_ids_are_distinct(columns: PersonColumns) -> None:
    with_id = np.flatnonzero(columns.track_ids != NO_TRACK_ID)
    order = with_id[np.lexsort((columns.track_ids[with_id], columns.frames[with_id]))]
    frames, ids = columns.frames[order], columns.track_ids[order]
    is_repeated = (frames[1:] == frames[:-1]) & (ids[1:] == ids[:-1])
    if is_repeated.any():
        first = int(np.argmax(is_repeated))
        raise ValueError(
            f"{columns.where(int(order[first + 1]))}: 'track_id' should occur once in a frame, found {ids[first]} twice"
        )


# The format of 2017.


def _columns_2017(path: pathlib.Path, content: Mapping, is_ground_truth: bool) -> PersonColumns:
    annolist = object_list(path, content, "annolist")
    names = _fast_or_explained(
        lambda: [str(frame["image"][0]["name"]) for frame in annolist], lambda: _explain_frames_2017(path, annolist)
    )
    people_of_frame = [frame.get("annorect") for frame in annolist]
    _explain_frames_2017(path, annolist) if not all(isinstance(p, list) for p in people_of_frame) else None
    frames = np.repeat(np.arange(len(annolist)), [len(people) for people in people_of_frame])
    people = [person for in_frame in people_of_frame for person in in_frame]

    def where(person: int) -> str:
        frame = int(frames[person])
        number = person - int(np.searchsorted(frames, frame))
        return f"{path}: frame {frame} ({names[frame]!r}): person {number}"

    _check_objects(people, where)
    lists = [_points_of_person(person, where, index) for index, person in enumerate(people)]
    points = [point for in_person in lists if in_person for point in in_person]
    point_people = np.repeat(np.arange(len(people)), [len(in_person or ()) for in_person in lists])
    table = _fast_or_explained(
        lambda: _point_table(points), lambda: _explain_points(points, lambda index: where(int(point_people[index])))
    )
    joints = np.where(np.isin(table[0], np.arange(len(JOINTS_BY_NUMBER))), table[0], -1).astype(np.int64)
    return PersonColumns(
        path=path,
        name=sequence_name(path),
        frame_names=names,
        image_ids=np.full(len(annolist), NO_IMAGE_ID),
        is_labeled=np.zeros(len(annolist), bool),
        frames=frames,
        track_ids=_whole_numbers([_track_id_2017(person) for person in people], where),
        head_boxes=_head_boxes_2017(people, where) if is_ground_truth else np.full((len(people), 4), np.nan),
        has_points=np.array([in_person is not None for in_person in lists], bool),
        point_people=point_people,
        point_joints=joints,
        points=np.stack(table[1:3], axis=-1),
        point_scores=table[3],
        regions=_regions_2017(path, annolist) if is_ground_truth else (),
    )


def _fast_or_explained(read: Callable[[], Any], explain: Callable[[], None]) -> Any:
    """What `read` returns; where it fails on malformed input, `explain` finds the place and raises."""
    try:
        return read()
    except _MALFORMED as error:
        explain()
        raise ValueError(f"malformed content: {error!r}") from error


def _explain_frames_2017(path: pathlib.Path, annolist: Sequence[Mapping]) -> None:
    for index, frame in enumerate(annolist):
        image = frame.get("image")
        if not (isinstance(image, list) and image and isinstance(image[0], dict) and "name" in image[0]):
            raise ValueError(f"{path}: frame {index}: 'image' should be a list of one object with 'name', found {image!r:.60}")
        people = frame.get("annorect")
        if not isinstance(people, list):
            raise ValueError(f"{path}: frame {index}: 'annorect' should be a list of people, found {people!r:.60}")


def _check_objects(people: Sequence, where: Callable[[int], str]) -> None:
    for index, person in enumerate(people):
        if not isinstance(person, dict):
            raise ValueError(f"{where(index)} should be an object, found {person!r:.60}")


def _points_of_person(person: Mapping, where: Callable[[int], str], index: int) -> list | None:
    """The points of a person; None where there is no list of them."""
    annopoints = person.get("annopoints")
    if annopoints is None or annopoints == []:
        return None
    if isinstance(annopoints, list) and isinstance(annopoints[0], dict):
        points = annopoints[0].get("point", None)
        if "point" not in annopoints[0] or isinstance(points, list):
            return points
    raise ValueError(f"{where(index)}: 'annopoints' should be a list of one object with a list 'point', found {annopoints!r:.60}")


def _point_table(points: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, x, y and scores, [K] float64 each."""
    fields = (_finite_numbers([point[field][0] for point in points]) for field in ("id", "x", "y"))
    return (*fields, _scores([point["score"][0] if point.get("score") else NO_SCORE for point in points]))


def _explain_points(points: Sequence, where: Callable[[int], str]) -> None:
    for index, point in enumerate(points):
        if not isinstance(point, dict):
            raise ValueError(f"{where(index)}: 'point' should be a list of objects, found {point!r:.60}")
        for field in ("id", "x", "y"):
            value = point.get(field)
            if not (isinstance(value, list) and value and is_number(value[0])):
                raise ValueError(f"{where(index)}: {field!r} of a point should be a list of one number, found {value!r:.60}")
        score = point.get("score", [])
        if score and not (isinstance(score, list) and _is_score(score[0])):
            raise ValueError(f"{where(index)}: 'score' of a point should be a list of one number, found {score!r:.60}")


def _numbers(values: Sequence) -> np.ndarray:
    """float64 of the shape of (nested) lists of numbers; raises on anything else, text that looks like one included."""
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        if array.size:
            raise TypeError("expected numbers")
        array = array.astype(np.float64)
    return array.astype(np.float64, copy=False)


def _finite_numbers(values: Sequence) -> np.ndarray:
    array = _numbers(values)
    if not (np.abs(array) < 1e30).all():
        raise ValueError("expected finite numbers")
    return array


def _is_score(value: Any) -> bool:
    """Numbers, not-a-number and null: evaluators sort all of them."""
    return value is None or (isinstance(value, (int, float)) and (isinstance(value, float) or abs(value) < 1e300))


def _scores(values: Sequence) -> np.ndarray:
    try:
        return _numbers(values)
    except _MALFORMED:
        flat = values if not values or not isinstance(values[0], list) else [v for row in values for v in row]
        if not all(_is_score(value) for value in flat):
            raise
        return np.array(values, np.float64)


def _track_id_2017(person: Mapping) -> Any:
    value = person.get("track_id", [])
    return value[0] if isinstance(value, list) and value else NO_TRACK_ID if value == [] else value


def _whole_numbers(values: Sequence, where: Callable[[int], str]) -> np.ndarray:
    """[N] int64 track numbers."""
    try:
        array = np.array(values)
    except _MALFORMED:
        array = np.array([None])
    if array.dtype.kind == "i" and array.ndim == 1 or not len(values):
        return array.astype(np.int64)
    for index, value in enumerate(values):
        is_id = isinstance(value, int) and value == NO_TRACK_ID
        if not (is_id or (is_number(value) and value == int(value) and abs(value) < 2**62)):
            raise ValueError(f"{where(index)}: 'track_id' should be a whole number, found {value!r:.60}")
    return np.array([int(value) for value in values], np.int64)


def _head_boxes_2017(people: Sequence[Mapping], where: Callable[[int], str]) -> np.ndarray:
    sides = ("x1", "y1", "x2", "y2")
    has_box = [all(side in person for side in sides) for person in people]
    boxes = np.full((len(people), 4), np.nan)
    holders = np.flatnonzero(has_box)

    def explain() -> None:
        for index in holders:
            for side in sides:
                value = people[index][side]
                if not (isinstance(value, list) and value and is_number(value[0])):
                    raise ValueError(f"{where(index)}: {side!r} should be a list of one number, found {value!r:.60}")

    if len(holders):
        boxes[holders] = _fast_or_explained(
            lambda: _finite_numbers([[people[index][side][0] for side in sides] for index in holders]), explain
        )
    return boxes


def _regions_2017(path: pathlib.Path, annolist: Sequence[Mapping]) -> tuple[tuple[int, np.ndarray], ...]:
    regions = []
    for index, frame in enumerate(annolist):
        for region in frame.get("ignore_regions") or ():
            try:
                polygon = _finite_numbers([(point["x"][0], point["y"][0]) for point in region["point"]]).reshape(-1, 2)
            except _MALFORMED as error:
                raise ValueError(
                    f"{path}: frame {index}: 'ignore_regions' should be polygons: 'point' lists of x and y, "
                    f"found {region!r:.60}"
                ) from error
            regions.append((index, polygon))
    return tuple(regions)


# The formats of 2018 and 2021.


def _columns_2018(
    path: pathlib.Path, content: Any, joints: Sequence[str], is_ground_truth: bool, is_posetrack21: bool
) -> PersonColumns:
    all_images = object_list(path, content, "images")
    annotations = object_list(path, content, "annotations")
    images = all_images if is_posetrack21 else _images_of_first_video(path, all_images)
    image_ids = distinct_ids(path, "image", images)
    people, frames = _people_by_frame(path, annotations, image_ids, keeps_unknown=is_posetrack21)

    def where(person: int) -> str:
        frame = int(frames[person])
        number = person - int(np.searchsorted(frames, frame))
        name = images[frame].get("file_name", "")
        return f"{path}: frame {frame} ({name!r}): person {number} (annotation {people[person].get('id', '')!r})"

    order = [list(joints).index(joint) for joint in JOINTS_BY_NUMBER]
    keypoints = _keypoints_2018(people, len(joints), where)[:, order]
    scores = _scores_2018(people, len(joints), where)[:, order]
    is_joint = (keypoints[..., :2] > 0).all(axis=-1) if is_posetrack21 else (keypoints != 0).any(axis=-1)
    point_people, point_joints = np.nonzero(is_joint)
    return PersonColumns(
        path=path,
        name=sequence_name(path),
        frame_names=[str(image.get("file_name", "")) for image in images],
        image_ids=image_ids,
        is_labeled=_is_labeled(path, images, is_required=is_posetrack21 and is_ground_truth),
        frames=frames,
        track_ids=_track_ids_2018(people, where),
        head_boxes=_head_boxes_2018(people, where) if is_ground_truth else np.full((len(people), 4), np.nan),
        has_points=np.ones(len(people), bool),
        point_people=point_people,
        point_joints=point_joints,
        points=keypoints[point_people, point_joints, :2],
        point_scores=scores[point_people, point_joints],
        regions=_regions_2018(path, images, is_required=is_posetrack21) if is_ground_truth else (),
    )


def _images_of_first_video(path: pathlib.Path, images: Sequence[Mapping]) -> list[Mapping]:
    """poseval keeps the images whose folder has the same leading number as the first one, without notice."""
    numbers = []
    for index, image in enumerate(images):
        name = image.get("file_name")
        match = _IMAGE_NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None or len(match[1]) > 18 or len(match[2]) > 18 or int(match[2]) >= _FRAME_NUMBER_LIMIT:
            raise ValueError(
                f"{path}: frame {index}: 'file_name' should end with <number>_<mpii, bonn or mpiinew>/"
                f"<number below {_FRAME_NUMBER_LIMIT}>.jpg, found {name!r:.100}"
            )
        numbers.append(int(match[1]))
    return [image for image, number in zip(images, numbers, strict=True) if number == numbers[0]]


def _people_by_frame(
    path: pathlib.Path, annotations: Sequence[Mapping], image_ids: np.ndarray, keeps_unknown: bool
) -> tuple[list[Mapping], np.ndarray]:
    """The annotations sorted by frame, and the frame of each [N]."""
    position = {image_id: index for index, image_id in enumerate(image_ids.tolist())}
    try:
        found = [position.get(annotation["image_id"], -1) for annotation in annotations]
    except _MALFORMED as error:
        wrong = next(a for a in annotations if not isinstance(a.get("image_id"), (int, float, str)))
        raise ValueError(
            f"{path}: annotation {wrong.get('id', '')!r}: 'image_id' should be a whole number, "
            f"found {wrong.get('image_id')!r:.60}"
        ) from error
    frames = np.array(found, np.int64)
    if keeps_unknown and (frames < 0).any():
        wrong = annotations[int(np.argmax(frames < 0))]
        raise ValueError(
            f"{path}: annotation {wrong.get('id', '')!r}: 'image_id' should be one of the {len(image_ids)} ids in "
            f"'images', found {wrong['image_id']!r:.60}"
        )
    order = np.argsort(frames, kind="stable")
    order = order[np.count_nonzero(frames < 0) :]
    return [annotations[index] for index in order.tolist()], frames[order]


def _keypoints_2018(people: Sequence[Mapping], num_joints: int, where: Callable[[int], str]) -> np.ndarray:
    """[N, J, 3] (x, y, flag)"""
    size = 3 * num_joints

    def read() -> np.ndarray:
        return _finite_numbers([person["keypoints"] for person in people]).reshape(-1, size)

    def explain() -> None:
        for index, person in enumerate(people):
            row = person.get("keypoints")
            if not isinstance(row, list) or len(row) != size or not all(is_number(value) for value in row):
                found = f"{len(row)}: {row!r:.60}" if isinstance(row, list) else f"{row!r:.60}"
                raise ValueError(f"{where(index)}: 'keypoints' should be {size} numbers (x, y, flag of {num_joints} joints), found {found}")

    keypoints = _fast_or_explained(read, explain)
    if len(keypoints) != len(people):
        explain()
    return keypoints.reshape(-1, num_joints, 3)


def _scores_2018(people: Sequence[Mapping], num_joints: int, where: Callable[[int], str]) -> np.ndarray:
    """[N, J]"""
    lists = [person.get("scores", ()) for person in people]
    holders = [index for index, row in enumerate(lists) if row or row is None]
    scores = np.full((len(people), num_joints), NO_SCORE)

    def read() -> np.ndarray:
        values = _scores([lists[index][:num_joints] for index in holders])
        if values.shape != (len(holders), num_joints):
            raise ValueError("expected a score per joint")
        return values

    def explain() -> None:
        for index in holders:
            row = lists[index]
            if not isinstance(row, list) or len(row) < num_joints or not all(map(_is_score, row[:num_joints])):
                found = f"{len(row)}: {row!r:.60}" if isinstance(row, list) else f"{row!r:.60}"
                raise ValueError(f"{where(index)}: 'scores' should be {num_joints} numbers or an empty list, found {found}")

    if holders:
        scores[holders] = _fast_or_explained(read, explain)
    return scores


def _track_ids_2018(people: Sequence[Mapping], where: Callable[[int], str]) -> np.ndarray:
    return _whole_numbers([person.get("track_id") for person in people], where)


def _head_boxes_2018(people: Sequence[Mapping], where: Callable[[int], str]) -> np.ndarray:
    """[N, 4] xyxy; NaN where the field is absent or empty."""
    holders = [index for index, person in enumerate(people) if person.get("bbox_head", []) != []]
    boxes = np.full((len(people), 4), np.nan)

    def read() -> np.ndarray:
        return _finite_numbers([people[index]["bbox_head"] for index in holders]).reshape(len(holders), 4)

    def explain() -> None:
        for index in holders:
            row = people[index]["bbox_head"]
            if not isinstance(row, list) or len(row) != 4 or not all(is_number(value) for value in row):
                raise ValueError(f"{where(index)}: 'bbox_head' should be 4 numbers: x, y, width, height, found {row!r:.80}")

    if holders:
        boxes[holders] = box_math.xyxy_from_xywh(_fast_or_explained(read, explain))
    return boxes


def _is_labeled(path: pathlib.Path, images: Iterable[Mapping], is_required: bool) -> np.ndarray:
    for index, image in enumerate(images) if is_required else ():
        if "is_labeled" not in image:
            raise ValueError(f"{path}: frame {index}: 'is_labeled' should be true or false, found nothing")
    return np.array([bool(image.get("is_labeled")) for image in images], bool)


def _regions_2018(
    path: pathlib.Path, images: Sequence[Mapping], is_required: bool
) -> tuple[tuple[int, np.ndarray], ...]:
    """Polygons; a frame has none unless both coordinates are there."""
    regions = []
    for index, image in enumerate(images):
        columns, rows = image.get("ignore_regions_x"), image.get("ignore_regions_y")
        if "ignore_regions_x" not in image or "ignore_regions_y" not in image:
            if is_required:
                raise ValueError(f"{path}: frame {index}: 'ignore_regions_x' and 'ignore_regions_y' should be there")
            continue
        try:
            polygons = [_finite_numbers([x, y]).reshape(2, -1).T for x, y in zip(columns, rows, strict=True)]
        except _MALFORMED as error:
            raise ValueError(
                f"{path}: frame {index}: 'ignore_regions_x' and 'ignore_regions_y' should be equally long lists of "
                f"equally long lists of numbers, found {columns!r:.60} and {rows!r:.60}"
            ) from error
        regions.extend((index, polygon) for polygon in polygons)
    return tuple(regions)
