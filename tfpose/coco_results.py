"""Reads and writes COCO results: predicted poses and detected boxes. NumPy only.

The format is described at cocodataset.org/#format-results. Boxes in these files are (x, y, width, height).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.coco import COCO_PERSON
from tfpose.json_files import (
    box_array,
    is_id,
    is_number,
    keypoint_columns,
    number_array,
    optional_entry,
    read_json,
    write_json,
)
from tfpose.messages import quote
from tfpose.poses import NO_TRACK_ID
from tfpose.skeletons import Skeleton

# A box of fewer square pixels holds nobody.
_NO_AREA = 1.0


def keypoint_results(
    image_ids: np.ndarray,
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    scores: np.ndarray,
    category_id: int = 1,
    track_ids: np.ndarray | None = None,
) -> list[dict]:
    """Returns predicted people as COCO results, which pycocotools' `loadRes` reads.

    Args:
        image_ids: [P] identities of the people's images.
        keypoints: [P, J, 2] keypoints in image pixels.
        joint_scores: [P, J] scores of the joints, which COCO's evaluation ignores. A joint with a score of 0 or less is
            not there: its three numbers are 0.
        scores: [P] scores of the people.
        category_id: Identity of the category of people.
        track_ids: [P] identities of the people, -1 where there is none; None for photos.
    """
    triples = np.concatenate([keypoints, np.asarray(joint_scores)[..., None]], axis=-1)
    triples = np.where(np.asarray(joint_scores)[..., None] > 0, triples, 0.0)
    flat = triples.astype(np.float64).reshape(len(triples), 3 * triples.shape[1]).tolist()
    ids = [-1] * len(flat) if track_ids is None else np.asarray(track_ids).tolist()
    rows = zip(np.asarray(image_ids).tolist(), flat, np.asarray(scores).tolist(), ids, strict=True)
    return [
        {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": score}
        | optional_entry("track_id", track_id, track_id >= 0)
        for image_id, row, score, track_id in rows
    ]


def write_keypoint_results(path: str | pathlib.Path, *args: Any, **kwargs: Any) -> None:
    """Writes the result of `keypoint_results(*args, **kwargs)` to a file."""
    write_json(path, keypoint_results(*args, **kwargs))


@dataclasses.dataclass(frozen=True)
class KeypointResults:
    """Predicted people, in the order of the file.

    Attributes:
        image_ids: [P] int64 identities of the images.
        keypoints: [P, J, 3] float64 (x, y in image pixels, score); a joint with a score of 0 or less is not there.
        scores: [P] float64 scores of the people.
        track_ids: [P] int64 identities of the people, `NO_TRACK_ID` where there is none or -1.
        categories: The values of `category_id` in the file, as text.
    """

    image_ids: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    track_ids: np.ndarray
    categories: tuple[str, ...]


def read_keypoint_results(path: str | pathlib.Path, skeleton: Skeleton) -> KeypointResults:
    """Reads people from a file of COCO keypoint results, which may have a `track_id`.

    Args:
        path: Path of a JSON list of {image_id, keypoints, score}.
        skeleton: Joints of the keypoints, in their order.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    path = pathlib.Path(path)
    entries = _result_list(path, "people", "image_id, keypoints and score")
    # Trackers write -1 for people whom they do not follow.
    track_ids = [NO_TRACK_ID if entry.get("track_id") in (None, -1) else entry["track_id"] for entry in entries]
    for position, track_id in enumerate(track_ids):
        if not is_id(track_id):
            raise ValueError(f"{path}: result {position}: 'track_id' must be a whole number, got {quote(track_id)}")
    image_ids, scores = _ids_and_scores(path, "result", entries)
    columns = keypoint_columns(skeleton.joints, "score")
    expected = f"{len(columns)} numbers: x, y, score of the {skeleton.num_joints} joints of {skeleton.name}"
    rows = [entry.get("keypoints") for entry in entries]
    # Results have no ids; their positions stand for them in messages.
    places = [{"id": position} for position in range(len(entries))]
    keypoints = number_array(path, "result", places, "keypoints", rows, expected, columns)
    keypoints = keypoints.reshape(-1, skeleton.num_joints, 3)
    if keypoints[..., :2].any() and not (keypoints[..., 2] > 0).any():
        raise ValueError(f"{path}: the score of a joint that is there must be above 0, got none above 0 in 'keypoints'")
    categories = tuple(sorted({quote(entry.get("category_id")) for entry in entries}))
    return KeypointResults(image_ids, keypoints, scores, np.array(track_ids, np.int64), categories)


def _result_list(path: pathlib.Path, what: str, fields: str) -> list[dict]:
    """Returns the content of a file of COCO results."""
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(f"{path}: must be a list of {what} with {fields}, got a {type(content).__name__}")
    return content


def _ids_and_scores(path: pathlib.Path, kind: str, entries: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `image_id` [N] int64 and the `score` [N] float64 of results."""
    for position, entry in enumerate(entries):
        if not is_id(entry.get("image_id")) or not is_number(entry.get("score")):
            raise ValueError(
                f"{path}: {kind} {position}: must have a whole number 'image_id' and a number 'score', "
                f"got {quote(entry.get('image_id'))} and {quote(entry.get('score'))}"
            )
    return (
        np.array([entry["image_id"] for entry in entries], np.int64),
        np.array([entry["score"] for entry in entries], np.float64),
    )


@dataclasses.dataclass(frozen=True)
class Detections:
    """Detected boxes, in the order of the file.

    Attributes:
        image_ids: [N] int64 identities of the images.
        boxes: [N, 4] float64 xyxy in image pixels, not clipped.
        scores: [N] float64 scores of the boxes.
        notes: Lines for the user, such as the number of boxes left out.
    """

    image_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    notes: tuple[str, ...] = ()


def read_detections(path: str | pathlib.Path, category_id: int | None = 1) -> Detections:
    """Reads the boxes of a detector from a COCO results file, the format of PoseTrack's published detections too.

    Args:
        path: Path of a JSON list of {image_id, category_id, bbox, score}.
        category_id: Identity of the category of people; boxes without a category are people too. Boxes of other
            categories are skipped and counted. In a file without boxes of this category, 1 is people as in COCO. None
            stands for 1, or for the only category of the file.

    Raises:
        ValueError: No box is of the category, or the file breaks a rule; the message names the file, the entry, the
            field, the rule and the value.
    """
    path = pathlib.Path(path)
    detections = _result_list(path, "detections", "image_id, category_id, bbox and score")
    entries, notes = _detections_of_people(path, detections, category_id)
    image_ids, scores = _ids_and_scores(path, "detection", entries)
    # Detections have no ids; their positions stand for them in messages.
    places = [{"id": position, "bbox": entry.get("bbox")} for position, entry in enumerate(entries)]
    boxes = box_math.xyxy_from_xywh(box_array(path, "detection", places))
    return Detections(image_ids, boxes, scores, (*notes, *_small_boxes_note(path, places, boxes)))


def _small_boxes_note(path: pathlib.Path, entries: Sequence[Mapping], boxes: np.ndarray) -> list[str]:
    """Returns a line if boxes [N, 4] have no extent, as those with a negative width or in parts of the image have."""
    is_small = box_math.areas(boxes) < _NO_AREA
    if not is_small.any():
        return []
    first = entries[int(np.argmax(is_small))]["bbox"]
    return [
        f"{path}: {int(is_small.sum())} of {len(boxes)} boxes have less than {_NO_AREA:g} square pixel (first: "
        f"{quote(first)}); 'bbox' must be x, y, width, height in pixels"
    ]


def _detections_of_people(
    path: pathlib.Path, detections: list[dict], category_id: int | None
) -> tuple[list[dict], tuple[str, ...]]:
    if category_id is None:
        category_id, only = COCO_PERSON, _only_category(detections)
        if only not in (None, category_id):
            return detections, (f"{path}: all boxes have category_id {only}, and not {category_id}, people in COCO",)
    for wanted in dict.fromkeys((category_id, COCO_PERSON)):
        people = [entry for entry in detections if entry.get("category_id", wanted) == wanted]
        if people or not detections:
            break
    else:
        found = sorted({quote(entry.get("category_id")) for entry in detections})
        raise ValueError(
            f"{path}: category_id must be {category_id}, the category of people in the dataset, "
            f"got {', '.join(found[:5])}"
        )
    notes = []
    if wanted != category_id:
        notes.append(
            f"{path}: no box has category_id {category_id}, the category of people in the dataset; the boxes with "
            f"{wanted}, people in COCO, are used"
        )
    if len(people) < len(detections):
        notes.append(
            f"{path}: {len(detections) - len(people)} of {len(detections)} boxes are left out: "
            f"their category_id is not {wanted}"
        )
    return people, tuple(notes)


def _only_category(detections: list[dict]) -> int | None:
    """Returns the category that all boxes have; None if they have several, or it is no number."""
    found = detections[0].get("category_id") if detections else None
    is_only = is_id(found) and all(entry.get("category_id") == found for entry in detections)
    return found if is_only else None


def detection_results(image_ids: np.ndarray, boxes: np.ndarray, scores: np.ndarray, category_id: int = 1) -> list[dict]:
    """Returns boxes as COCO results, which pycocotools' `loadRes` reads; for the arguments see `write_detections`."""
    boxes_xywh = box_math.xywh_from_xyxy(boxes).tolist()
    columns = zip(np.asarray(image_ids).tolist(), boxes_xywh, np.asarray(scores).tolist(), strict=True)
    return [{"image_id": i, "category_id": category_id, "bbox": box, "score": score} for i, box, score in columns]


def write_detections(
    path: str | pathlib.Path, image_ids: np.ndarray, boxes: np.ndarray, scores: np.ndarray, category_id: int = 1
) -> None:
    """Writes a COCO results file of people's boxes; `read_detections` returns float32 boxes unchanged.

    Args:
        path: Path of the file, which is written whole or not at all.
        image_ids: [N] identities of the images.
        boxes: [N, 4] xyxy boxes in image pixels.
        scores: [N] scores of the boxes.
        category_id: Identity of the category of people.
    """
    write_json(path, detection_results(image_ids, boxes, scores, category_id))
