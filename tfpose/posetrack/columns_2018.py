"""Reads the columns of files of PoseTrack 2018 and PoseTrack21."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.json_files import distinct_ids, is_number, keypoint_columns, object_list
from tfpose.messages import quote
from tfpose.posetrack.columns import PersonColumns
from tfpose.posetrack.json_columns import (
    MALFORMED,
    PersonPlaces,
    fast_or_explained,
    finite_numbers,
    finite_rows,
    is_score,
    score_rows,
    whole_numbers,
)
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_SCORE, NO_TRACK_ID, sequence_name

# Poseval refuses this frame number and greater ones.
_FRAME_NUMBER_LIMIT = 10000
_IMAGE_NAME = re.compile(r"(?:.*/)?(\d+)_(?:mpii|bonn|mpiinew)(?:_[^/]*)?/(\d+)\.jpg", re.ASCII | re.DOTALL)


def columns_from_2018(
    path: pathlib.Path, content: Any, joints: Sequence[str], is_ground_truth: bool, is_posetrack21: bool
) -> PersonColumns:
    """Reads the content of a 2018 or 2021 file.

    Args:
        path: Path of the file, for messages and the name of the sequence.
        content: Content of the file.
        joints: Names of the joints in the order of the file's keypoints.
        is_ground_truth: Whether to read head boxes and ignore regions.
        is_posetrack21: Whether to read as PoseTrack21's evaluator does; otherwise as poseval does.

    Raises:
        ValueError: The content breaks a rule; the message names the file, frame, person and field.
    """
    all_images = object_list(path, content, "images")
    annotations = object_list(path, content, "annotations")
    images, notes = (all_images, []) if is_posetrack21 else _images_of_first_video(path, all_images)
    image_ids = distinct_ids(path, "image", images)
    people, frames = _people_by_frame(path, annotations, image_ids, keeps_unknown=is_posetrack21)
    names = [str(image.get("file_name", "")) for image in images]
    where = PersonPlaces(path, names, frames, people)
    order = [list(joints).index(joint) for joint in JOINTS_BY_NUMBER]
    keypoints = _keypoints_2018(people, joints, where)[:, order]
    scores = _scores_2018(people, len(joints), where)[:, order]
    is_joint = (keypoints[..., :2] > 0).all(axis=-1) if is_posetrack21 else (keypoints != 0).any(axis=-1)
    point_people, point_joints = np.nonzero(is_joint)
    return PersonColumns(
        path=path,
        name=sequence_name(path),
        frame_names=names,
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
        # Where everybody is in a frame, nobody's frame is unlisted.
        notes=(*notes, *(_unlisted_note(annotations, all_images) if len(people) < len(annotations) else ())),
    )


def _unlisted_note(annotations: Sequence[Mapping], images: Sequence[Mapping]) -> list[str]:
    """Returns a line that counts the annotations of images that the file does not list, which poseval skips."""
    listed = {image.get("id") for image in images}
    count = sum(annotation.get("image_id") not in listed for annotation in annotations)
    return [f"{count} of {len(annotations)} annotations are left out: their image_id is in no image"] * (count > 0)


def video_number(file_name: str) -> int | None:
    """Returns the number of the video that poseval reads from the name of an image; None for a name that it refuses."""
    match = _IMAGE_NAME.fullmatch(file_name)
    if match is None or len(match[1]) > 18 or len(match[2]) > 18 or int(match[2]) >= _FRAME_NUMBER_LIMIT:
        return None
    return int(match[1])


def _images_of_first_video(path: pathlib.Path, images: Sequence[Mapping]) -> tuple[list[Mapping], list[str]]:
    """Returns the images that poseval silently keeps, those whose folder has the same leading number as the first.

    Poseval refuses files with other names. Here all their images are kept.

    Returns:
        The images, and lines for the user.
    """
    numbers = []
    for index, image in enumerate(images):
        name = image.get("file_name")
        if not isinstance(name, str):
            raise ValueError(f"{path}: frame {index}: 'file_name' must be text, got {quote(name)}")
        number = video_number(name)
        if number is None:
            return list(images), [
                "poseval would refuse the file: the names of its images do not end with "
                f"<number>_<mpii, bonn or mpiinew>/<number below {_FRAME_NUMBER_LIMIT}>.jpg, such as {quote(name)}"
            ]
        numbers.append(number)
    kept = [image for image, number in zip(images, numbers, strict=True) if number == numbers[0]]
    if len(kept) == len(images):
        return kept, []
    return kept, [
        f"{len(images) - len(kept)} of {len(images)} frames are left out: poseval evaluates only the first of the "
        f"{len(set(numbers))} videos in a file"
    ]


def _people_by_frame(
    path: pathlib.Path, annotations: Sequence[Mapping], image_ids: np.ndarray, keeps_unknown: bool
) -> tuple[list[Mapping], np.ndarray]:
    """Returns the annotations sorted by frame, and the frame of each [N]."""
    position = {image_id: index for index, image_id in enumerate(image_ids.tolist())}
    try:
        found = [position.get(annotation["image_id"], -1) for annotation in annotations]
    except MALFORMED as error:
        wrong = next(a for a in annotations if not isinstance(a.get("image_id"), (int, float, str)))
        raise ValueError(
            f"{path}: annotation {quote(wrong.get('id', ''))}: 'image_id' must be a whole number, "
            f"got {quote(wrong.get('image_id'))}"
        ) from error
    frames = np.array(found, np.int64)
    if keeps_unknown and (frames < 0).any():
        wrong = annotations[int(np.argmax(frames < 0))]
        raise ValueError(
            f"{path}: annotation {quote(wrong.get('id', ''))}: 'image_id' must be one of the {len(image_ids)} ids in "
            f"'images', got {quote(wrong['image_id'])}"
        )
    order = np.argsort(frames, kind="stable")
    order = order[np.count_nonzero(frames < 0) :]
    return [annotations[index] for index in order.tolist()], frames[order]


def _keypoints_2018(people: Sequence[Mapping], joints: Sequence[str], where: PersonPlaces) -> np.ndarray:
    """Returns [N, J, 3] (x, y, flag)."""
    columns = keypoint_columns(joints, "flag")
    size = len(columns)

    def read() -> np.ndarray:
        return finite_rows([person["keypoints"] for person in people], size)

    def explain() -> None:
        for index, person in enumerate(people):
            row = person.get("keypoints")
            if not isinstance(row, list) or len(row) != size or not all(is_number(value) for value in row):
                found = f"{len(row)}: {quote(row)}" if isinstance(row, list) else quote(row)
                if isinstance(row, list) and len(row) == size:
                    wrong = next(column for column, value in enumerate(row) if not is_number(value))
                    found = f"{quote(row[wrong])} for {columns[wrong]}"
                raise ValueError(
                    f"{where(index)}: 'keypoints' must be {size} numbers (x, y, flag of each joint), got {found}"
                )

    return fast_or_explained(where.path, read, explain).reshape(-1, len(joints), 3)


def _scores_2018(people: Sequence[Mapping], num_joints: int, where: PersonPlaces) -> np.ndarray:
    """Returns [N, J] scores of the joints."""
    lists = [person.get("scores", ()) for person in people]
    holders = [index for index, row in enumerate(lists) if row or row is None]
    scores = np.full((len(people), num_joints), NO_SCORE)

    def read() -> np.ndarray:
        return score_rows([lists[index][:num_joints] for index in holders], num_joints)

    def explain() -> None:
        for index in holders:
            row = lists[index]
            if not isinstance(row, list) or len(row) < num_joints or not all(map(is_score, row[:num_joints])):
                found = f"{len(row)}: {quote(row)}" if isinstance(row, list) else quote(row)
                raise ValueError(f"{where(index)}: 'scores' must be {num_joints} numbers or an empty list, got {found}")

    if holders:
        scores[holders] = fast_or_explained(where.path, read, explain)
    return scores


def _track_ids_2018(people: Sequence[Mapping], where: PersonPlaces) -> np.ndarray:
    ids = [person.get("track_id") for person in people]
    return whole_numbers([NO_TRACK_ID if track_id is None else track_id for track_id in ids], where)


def _head_boxes_2018(people: Sequence[Mapping], where: PersonPlaces) -> np.ndarray:
    """Returns [N, 4] xyxy; NaN where the field is absent or empty."""
    holders = [index for index, person in enumerate(people) if person.get("bbox_head", []) != []]
    boxes = np.full((len(people), 4), np.nan)

    def read() -> np.ndarray:
        return finite_rows([people[index]["bbox_head"] for index in holders], 4)

    def explain() -> None:
        for index in holders:
            row = people[index]["bbox_head"]
            if not isinstance(row, list) or len(row) != 4 or not all(is_number(value) for value in row):
                raise ValueError(
                    f"{where(index)}: 'bbox_head' must be 4 numbers: x, y, width, height, got {quote(row)}"
                )

    if holders:
        boxes[holders] = box_math.xyxy_from_xywh(fast_or_explained(where.path, read, explain))
    return boxes


def _is_labeled(path: pathlib.Path, images: Iterable[Mapping], is_required: bool) -> np.ndarray:
    for index, image in enumerate(images) if is_required else ():
        if "is_labeled" not in image:
            raise ValueError(
                f"{path}: frame {index}: 'is_labeled' must be true or false, got nothing; PoseTrack21's metrics (hota) "
                "require it"
            )
    return np.array([bool(image.get("is_labeled")) for image in images], bool)


def _regions_2018(
    path: pathlib.Path, images: Sequence[Mapping], is_required: bool
) -> tuple[tuple[int, np.ndarray], ...]:
    """Returns the polygons; a frame has none unless both coordinates are there."""
    pairs: list[tuple[int, Sequence, Sequence]] = []
    for index, image in enumerate(images):
        if "ignore_regions_x" in image and "ignore_regions_y" in image:
            pairs += _polygons_of_frame(path, index, image)
        elif is_required:
            raise ValueError(
                f"{path}: frame {index}: 'ignore_regions_x' and 'ignore_regions_y' must be lists, got one or none; "
                "PoseTrack21's metrics (hota) require them, as empty lists where nothing is ignored"
            )
    coordinates = fast_or_explained(
        path,
        lambda: finite_numbers([value for _, *lists in pairs for values in lists for value in values]),
        lambda: _explain_regions(path, pairs),
    )
    ends = np.cumsum([2 * len(x) for _, x, _ in pairs]).tolist()
    return tuple(
        (index, coordinates[end - 2 * len(x) : end].reshape(2, -1).T)
        for (index, x, _), end in zip(pairs, ends, strict=True)
    )


def _polygons_of_frame(path: pathlib.Path, index: int, image: Mapping) -> list[tuple[int, Sequence, Sequence]]:
    """Returns the position of the frame, the list of x and the list of y of each polygon."""
    columns, rows = image["ignore_regions_x"], image["ignore_regions_y"]
    try:
        pairs = [(index, x, y) for x, y in zip(columns, rows, strict=True)]
        if all(len(x) == len(y) for _, x, y in pairs):
            return pairs
    except MALFORMED:
        pass
    raise ValueError(
        f"{path}: frame {index}: 'ignore_regions_x' and 'ignore_regions_y' must be equally long lists of "
        f"equally long lists of numbers, got {quote(columns)} and {quote(rows)}"
    )


def _explain_regions(path: pathlib.Path, pairs: Sequence[tuple[int, Sequence, Sequence]]) -> None:
    for index, *lists in pairs:
        for side, values in zip("xy", lists, strict=True):
            if not isinstance(values, list) or not all(is_number(value) for value in values):
                raise ValueError(
                    f"{path}: frame {index}: 'ignore_regions_{side}' must be lists of numbers, got {quote(values)}"
                )
