"""Reads and writes files of PoseTrack 2018 and PoseTrack21."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.json_files import (
    BOX_COLUMNS,
    distinct_ids,
    is_id,
    is_number,
    keypoint_columns,
    null_for_nan,
    number_array,
    number_or_nan,
    object_list,
    optional_entry,
    optional_object_list,
    sort_by_image,
)
from tfpose.messages import quote
from tfpose.posetrack.sequences import (
    NO_IMAGE_ID,
    NO_SCORE,
    NO_TRACK_ID,
    Frame,
    PoseSequence,
    build_frame,
    polygon,
    sequence_name,
)
from tfpose.skeletons import POSETRACK15, POSETRACK18, Skeleton, map_joints

_VIDEO_NUMBER = re.compile(r"(\d+)_[^/]*/[^/]*$")


def joint_names(path: pathlib.Path, categories: Sequence[Mapping]) -> tuple[str, ...]:
    """Returns the names of the joints of a 2018 file, in their order.

    Raises:
        ValueError: The categories are not the one of people, or its 15 or 17 joints lack one of PoseTrack's 15.
    """
    if len(categories) != 1 or categories[0].get("name") != "person":
        found = [category.get("name") for category in categories]
        raise ValueError(f"{path}: 'categories' must be one entry named 'person', got {found}")
    names: Any = categories[0].get("keypoints")
    if not isinstance(names, list) or len(names) not in (15, 17):
        number = f"{len(names)}" if isinstance(names, list) else repr(names)
        raise ValueError(f"{path}: 'categories': 'keypoints' must be 15 or 17 joint names, got {number}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: 'categories': 'keypoints' must be names, got {quote(names)}")
    missing = [joint for joint in POSETRACK15.joints if joint not in names]
    if missing:
        unknown = [name for name in names if name not in POSETRACK18.joints]
        raise ValueError(
            f"{path}: 'categories': 'keypoints' must name {', '.join(missing)}, got {unknown or 'nothing'} instead"
        )
    return tuple(names)


def sequence_from_posetrack18(
    path: pathlib.Path,
    content: Any,
    joints: Sequence[str],
    skeleton: Skeleton,
    drop_unknown_images: bool,
) -> PoseSequence:
    """Reads the content of a 2018 file.

    Args:
        path: Path of the file, for messages and the name of the sequence.
        content: Content of the file.
        joints: Names of the joints in the order of the file's keypoints.
        skeleton: Joints to read, by name.
        drop_unknown_images: Whether to skip annotations of unlisted images instead of failing.

    Raises:
        ValueError: The content breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    images = object_list(path, content, "images")
    annotations = optional_object_list(path, content, "annotations")
    image_ids = distinct_ids(path, "image", images)
    num_annotations = len(annotations)
    if drop_unknown_images:
        known = set(image_ids.tolist())
        # An id that is no number is an error below in any case.
        annotations = [a for a in annotations if not is_id(a.get("image_id")) or a["image_id"] in known]
    order, first_person = sort_by_image(path, annotations, image_ids)
    columns = _people_2018(path, [annotations[position] for position in order], joints, skeleton)
    frames = tuple(
        build_frame(
            file_name=_file_name(path, image),
            index=index,
            image_id=int(image_ids[index]),
            is_labeled=_is_labeled(path, image, has_people=first_person[index + 1] > first_person[index]),
            image_size=_image_size(path, image),
            ignore_regions=_ignore_regions_2018(path, image),
            video=str(image.get("vid_id") or ""),
            **{name: column[first_person[index] : first_person[index + 1]] for name, column in columns.items()},
        )
        for index, image in enumerate(images)
    )
    num_unlisted = num_annotations - len(annotations)
    return PoseSequence(sequence_name(path), skeleton, frames, path, _category_id(content), num_unlisted)


def _is_labeled(path: pathlib.Path, image: Mapping, has_people: bool) -> bool:
    value = image.get("is_labeled")
    if value is not None and not is_number(value):
        raise ValueError(f"{path}: image {image['id']}: 'is_labeled' must be true or false, got {quote(value)}")
    return bool(has_people if value is None else value)


def _image_size(path: pathlib.Path, image: Mapping) -> tuple[int, int]:
    """Returns (height, width); 0 where the field is absent or null."""
    height, width = (image.get(field) or 0 for field in ("height", "width"))
    if not all(is_number(side) and side == int(side) and 0 <= side < 1 << 31 for side in (height, width)):
        raise ValueError(
            f"{path}: image {image['id']}: 'height' and 'width' must be whole numbers, got {quote((height, width))}"
        )
    return int(height), int(width)


def _category_id(content: Mapping) -> int:
    """Returns the identity of the category; 1, as in PoseTrack 2018, where the file does not say it."""
    categories = content.get("categories")
    category = categories[0] if isinstance(categories, list) and categories else None
    category_id = category.get("id") if isinstance(category, dict) else None
    return category_id if isinstance(category_id, int) and is_id(category_id) else 1


def _people_2018(
    path: pathlib.Path, people: Sequence[Mapping], joints: Sequence[str], skeleton: Skeleton
) -> dict[str, np.ndarray]:
    """Returns the fields of `Frame` that have a row per person, for the people of all frames."""
    keypoints = _keypoints_2018(path, people, joints)
    # As in poseval, a joint is absent exactly when all three numbers are 0.
    visibility = np.where(keypoints[..., 2] > 0, 2, 1) * (keypoints != 0).any(axis=-1)
    scores = _joint_scores_2018(path, people, len(joints))
    return {
        "keypoints": map_joints(keypoints[..., :2], joints, skeleton.joints),
        "visibility": map_joints(visibility[..., None], joints, skeleton.joints)[..., 0],
        "joint_scores": map_joints(scores[..., None], joints, skeleton.joints, fill=NO_SCORE)[..., 0],
        "scores": _optional_numbers(path, people, "score"),
        "boxes": _boxes_2018(path, people, "bbox"),
        "head_boxes": _boxes_2018(path, people, "bbox_head"),
        "areas": _optional_numbers(path, people, "area"),
        "track_ids": _track_ids_2018(path, people),
        "annotation_ids": np.array([_annotation_id(person) for person in people], np.int64),
    }


def _keypoints_2018(path: pathlib.Path, people: Sequence[Mapping], joints: Sequence[str]) -> np.ndarray:
    """Returns [P, J, 3] (x, y, flag)."""
    columns = keypoint_columns(joints, "flag")
    expected = f"{len(columns)} numbers: x, y, flag of {len(joints)} joints"
    rows = [person.get("keypoints") or [0] * len(columns) for person in people]
    return number_array(path, "annotation", people, "keypoints", rows, expected, columns).reshape(-1, len(joints), 3)


def _joint_scores_2018(path: pathlib.Path, people: Sequence[Mapping], num_joints: int) -> np.ndarray:
    """Returns [P, J] scores; null becomes NaN."""
    rows = [person.get("scores") or [NO_SCORE] * num_joints for person in people]
    for person, row in zip(people, rows, strict=True):
        is_list = isinstance(row, list) and len(row) >= num_joints
        if not is_list or not all(value is None or isinstance(value, (int, float)) for value in row):
            raise ValueError(
                f"{path}: annotation {quote(person.get('id', ''))}: 'scores' must be {num_joints} numbers or an empty "
                f"list, got {f'{len(row)} entries' if isinstance(row, list) and not is_list else quote(row)}"
            )
    return np.array([row[:num_joints] for row in rows], np.float64).reshape(-1, num_joints)


def _optional_numbers(path: pathlib.Path, people: Sequence[Mapping], field: str) -> np.ndarray:
    """Returns [P] numbers; NaN where the field is absent or null."""
    values = [person.get(field) for person in people]
    for person, value in zip(people, values, strict=True):
        if value is not None and not isinstance(value, (int, float)):
            raise ValueError(
                f"{path}: annotation {quote(person.get('id', ''))}: {field!r} must be a number, got {quote(value)}"
            )
    return np.array([number_or_nan(value) for value in values], np.float64)


def _boxes_2018(path: pathlib.Path, people: Sequence[Mapping], field: str) -> np.ndarray:
    """Returns [P, 4] xyxy; NaN where the field is absent or empty."""
    boxes = np.full((len(people), 4), np.nan)
    rows = [(row, person) for row, person in enumerate(people) if person.get(field)]
    if rows:
        positions, holders = (list(column) for column in zip(*rows, strict=True))
        values = [person[field] for person in holders]
        expected = "4 numbers: x, y, width, height"
        boxes_xywh = number_array(path, "annotation", holders, field, values, expected, BOX_COLUMNS)
        boxes[positions] = box_math.xyxy_from_xywh(boxes_xywh)
    return boxes


def _track_ids_2018(path: pathlib.Path, people: Sequence[Mapping]) -> np.ndarray:
    ids = [NO_TRACK_ID if person.get("track_id") is None else person["track_id"] for person in people]
    for person, track_id in zip(people, ids, strict=True):
        if not is_id(track_id):
            raise ValueError(
                f"{path}: annotation {quote(person.get('id', ''))}: 'track_id' must be a whole number, "
                f"got {quote(track_id)}"
            )
    return np.array(ids, np.int64)


def _annotation_id(person: Mapping) -> int:
    value = person.get("id", -1)
    return value if is_id(value) else -1


def _file_name(path: pathlib.Path, image: Mapping) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{path}: image {image['id']}: 'file_name' must be text, got {name!r}")
    return name


def _ignore_regions_2018(path: pathlib.Path, image: Mapping) -> tuple[np.ndarray, ...]:
    """Returns the polygons; none unless both coordinates are there, as in poseval."""
    columns, rows = image.get("ignore_regions_x"), image.get("ignore_regions_y")
    if columns is None or rows is None:
        return ()
    try:
        return tuple(polygon(list(zip(x, y, strict=True))) for x, y in zip(columns, rows, strict=True))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: image {image['id']}: 'ignore_regions_x' and 'ignore_regions_y' must be equally long lists of "
            "equally long lists of numbers, got others"
        ) from error


def image_id_of(file_name: str, index: int) -> int:
    """Returns the id of a frame in PoseTrack 2018: a 1, the number of the video (6 digits), the index (4 digits)."""
    match = _VIDEO_NUMBER.search(file_name)
    return (10**6 + int(match[1]) if match else 10**6) * 10**4 + index


def posetrack18_from_sequence(sequence: PoseSequence) -> dict:
    """Returns a sequence as the content of a 2018 file: joints, and tracks, scores and boxes where there are any.

    The file has the 17 joints of PoseTrack 2018. A skeleton with other joints keeps its own, in the same layout.

    The flag is 1 for visible and 0 for hidden joints; evaluators count both. It is 1 for every joint at the origin,
    since three zeros mean that there is no joint. The format has no surplus points.
    """
    # Here and not above, since scoring reads files and writes none.
    from tfpose.coco import category_from_skeleton

    images, annotations = [], []
    for frame in sequence.frames:
        image_id = image_id_of(frame.file_name, frame.index) if frame.image_id == NO_IMAGE_ID else frame.image_id
        images.append(_image_2018(frame, image_id, len(sequence.frames)))
        annotations += _annotations_2018(frame, image_id, sequence)
    category = category_from_skeleton(_file_skeleton(sequence), sequence.category_id)
    return {"images": images, "annotations": annotations, "categories": [category]}


def _file_skeleton(sequence: PoseSequence) -> Skeleton:
    is_posetrack = set(sequence.skeleton.joints) <= set(POSETRACK18.joints)
    return POSETRACK18 if is_posetrack else sequence.skeleton


def _image_2018(frame: Frame, image_id: int, num_frames: int) -> dict:
    match = _VIDEO_NUMBER.search(frame.file_name)
    size = {"height": frame.image_size[0], "width": frame.image_size[1]} if any(frame.image_size) else {}
    return {
        "file_name": frame.file_name,
        "id": image_id,
        "frame_id": image_id,
        "vid_id": match[1] if match else "",
        "nframes": num_frames,
        "is_labeled": frame.is_labeled,
        "ignore_regions_x": [region[:, 0].tolist() for region in frame.ignore_regions],
        "ignore_regions_y": [region[:, 1].tolist() for region in frame.ignore_regions],
        **size,
    }


def _annotations_2018(frame: Frame, image_id: int, sequence: PoseSequence) -> list[dict]:
    skeleton, of_file = sequence.skeleton, _file_skeleton(sequence)
    is_at_origin = (frame.keypoints == 0).all(axis=-1) & (frame.visibility > 0)
    flags = ((frame.visibility == 2) | is_at_origin).astype(np.float64)
    triples = np.concatenate([frame.keypoints, flags[..., None]], axis=-1)
    triples = map_joints(triples, skeleton.joints, of_file.joints)
    triples = triples.reshape(frame.num_people, 3 * of_file.num_joints)
    scores = map_joints(frame.joint_scores[..., None], skeleton.joints, of_file.joints)[..., 0]
    has_scores = (frame.joint_scores != NO_SCORE).any(axis=-1)
    boxes, head_boxes = box_math.xywh_from_xyxy(frame.boxes), box_math.xywh_from_xyxy(frame.head_boxes)
    return [
        {
            "id": _known_id(frame, person, image_id),
            "image_id": image_id,
            "category_id": sequence.category_id,
            "keypoints": triples[person].tolist(),
            "scores": null_for_nan(scores[person]) if has_scores[person] else [],
            **optional_entry("track_id", int(frame.track_ids[person]), frame.track_ids[person] != NO_TRACK_ID),
            **optional_entry("score", float(frame.scores[person]), np.isfinite(frame.scores[person])),
            **optional_entry("area", float(frame.areas[person]), np.isfinite(frame.areas[person])),
            **optional_entry("bbox", boxes[person].tolist(), np.isfinite(boxes[person]).all()),
            **optional_entry("bbox_head", head_boxes[person].tolist(), np.isfinite(head_boxes[person]).all()),
        }
        for person in range(frame.num_people)
    ]


def _known_id(frame: Frame, person: int, image_id: int) -> int:
    """Returns the id in the file, or else one as in PoseTrack 2018: the id of the image with two more digits."""
    known = int(frame.annotation_ids[person])
    return known if known >= 0 else image_id * 100 + person
