"""Reads and writes files in the layout of COCO: person keypoint annotations, results and detections. NumPy only.

The format is described at cocodataset.org/#format-data and #format-results. Boxes in these files are
(x, y, width, height). The visibility of a labeled but hidden joint is 1, that of a visible joint 2.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.json_files import distinct_ids, is_number, number_array, object_list, read_json, sort_by_image, write_json
from tfpose.skeletons import Skeleton, skeleton_from_coco_category


@dataclasses.dataclass(frozen=True)
class PersonAnnotations:
    """The people of a COCO keypoint file, sorted by image, within an image in the order of the file.

    The people of image i are rows `first_person[i]:first_person[i + 1]`.

    Attributes:
        path: Path of the file.
        skeleton: Skeleton of the category with keypoints.
        category_id: Identity of that category.
        image_ids: [I] int64 identities of the images.
        file_names: I file names, relative to the image folder.
        image_sizes: [I, 2] int64 (height, width), 0 where the file lacks it.
        keypoints: [P, J, 2] float64 in image pixels, 0 where not labeled.
        visibility: [P, J] int64: 0 not labeled, 1 hidden, 2 visible.
        boxes: [P, 4] float64 xyxy as in the file, not clipped.
        areas: [P] float64 areas of the segmentations, in square pixels.
        is_crowd: [P] bool, whether the annotation covers a crowd.
        annotation_ids: [P] int64 identities of the annotations.
        segmentations: P texts: the JSON of the segmentation (polygons or run lengths), empty where there is none.
        first_person: [I + 1] int64 row of the first person of each image, then P.
    """

    path: pathlib.Path
    skeleton: Skeleton
    category_id: int
    image_ids: np.ndarray
    file_names: list[str]
    image_sizes: np.ndarray
    keypoints: np.ndarray
    visibility: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    annotation_ids: np.ndarray
    segmentations: list[str]
    first_person: np.ndarray

    @property
    def num_images(self) -> int:
        """The number of images, I."""
        return len(self.image_ids)

    @property
    def num_people(self) -> int:
        """The number of people, P."""
        return len(self.annotation_ids)


def read_person_annotations(
    path: str | pathlib.Path,
    left_right_pairs: Iterable[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> PersonAnnotations:
    """Reads a COCO keypoint annotation file, with any skeleton.

    It skips annotations of other categories and keeps images without people.

    Args:
        path: Path of the JSON file.
        left_right_pairs: Pairs (left, right) of joint names, for skeletons whose names do not tell the side.
        sigmas: J constants of the object keypoint similarity.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    path = pathlib.Path(path)
    content = read_json(path)
    images, annotations, categories = (
        object_list(path, content, field) for field in ("images", "annotations", "categories")
    )
    category = _keypoint_category(path, categories)
    try:
        skeleton = skeleton_from_coco_category(category, left_right_pairs, sigmas)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: 'categories': {error}") from error
    image_ids = distinct_ids(path, "image", images)
    annotations = [a for a in annotations if a.get("category_id") == category["id"]]
    order, first_person = sort_by_image(path, annotations, image_ids)
    people = [annotations[position] for position in order]
    keypoints = _keypoint_array(path, people, skeleton)
    visibility = keypoints[..., 2].astype(np.int64)
    return PersonAnnotations(
        path=path,
        skeleton=skeleton,
        category_id=int(category["id"]),
        image_ids=image_ids,
        file_names=[_text(path, "image", image, "file_name") for image in images],
        image_sizes=_image_sizes(path, images),
        keypoints=keypoints[..., :2] * (visibility > 0)[..., None],
        visibility=visibility,
        boxes=box_math.xyxy_from_xywh(_box_array(path, "annotation", people)),
        areas=_areas(path, people),
        is_crowd=np.array([bool(person.get("iscrowd", 0)) for person in people], bool),
        annotation_ids=distinct_ids(path, "annotation", people),
        segmentations=[_segmentation(person) for person in people],
        first_person=first_person,
    )


def _keypoint_category(path: pathlib.Path, categories: list) -> Mapping:
    with_keypoints = [c for c in categories if c.get("keypoints")]
    if len(with_keypoints) != 1:
        raise ValueError(
            f"{path}: 'categories' must have exactly one entry with 'keypoints' (joint names), "
            f"got {len(with_keypoints)} among {len(categories)}"
        )
    if not isinstance(with_keypoints[0].get("id"), int):
        raise ValueError(f"{path}: 'categories': 'id' must be a whole number, got {with_keypoints[0].get('id')!r}")
    return with_keypoints[0]


def _text(path: pathlib.Path, kind: str, entry: Mapping, field: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{path}: {kind} {entry.get('id')}: {field!r} must be text, got {value!r}")
    return value


def _image_sizes(path: pathlib.Path, images: list) -> np.ndarray:
    sizes = [(image.get("height", 0), image.get("width", 0)) for image in images]
    for image, size in zip(images, sizes, strict=True):
        if not all(isinstance(side, int) and side >= 0 for side in size):
            raise ValueError(f"{path}: image {image['id']}: 'height' and 'width' must be whole numbers, got {size}")
    return np.array(sizes, np.int64).reshape(-1, 2)


def _keypoint_array(path: pathlib.Path, people: list, skeleton: Skeleton) -> np.ndarray:
    """Returns [P, J, 3] (x, y, visibility); zeros for an annotation without `keypoints`."""
    size = 3 * skeleton.num_joints
    rows = [person.get("keypoints", [0] * size) for person in people]
    expected = f"{size} numbers: x, y, visibility of {skeleton.num_joints} joints"
    keypoints = number_array(path, "annotation", people, "keypoints", rows, expected, size)
    keypoints = keypoints.reshape(-1, skeleton.num_joints, 3)
    is_wrong = ~np.isin(keypoints[..., 2], (0, 1, 2)).all(axis=1)
    if is_wrong.any():
        person = people[int(np.argmax(is_wrong))]
        found = sorted(set(person["keypoints"][2::3]) - {0, 1, 2})
        raise ValueError(
            f"{path}: annotation {person['id']}: visibilities in 'keypoints' must be 0, 1 or 2, got {found}"
        )
    return keypoints


def _box_array(path: pathlib.Path, kind: str, entries: list) -> np.ndarray:
    """Returns [N, 4] (x, y, width, height)."""
    rows = [entry.get("bbox") for entry in entries]
    return number_array(path, kind, entries, "bbox", rows, "4 numbers: x, y, width, height", 4)


def _areas(path: pathlib.Path, people: list) -> np.ndarray:
    """Returns [P] areas as in the file; width times height of the box where the file has none."""
    areas = [[person.get("area", person["bbox"][2] * person["bbox"][3])] for person in people]
    return number_array(path, "annotation", people, "area", areas, "a number", 1)[:, 0]


def _segmentation(person: Mapping) -> str:
    segmentation = person.get("segmentation")
    return json.dumps(segmentation, separators=(",", ":")) if segmentation else ""


def person_annotations_to_dict(annotations: PersonAnnotations) -> dict:
    """Returns the content of a COCO keypoint file, which `read_person_annotations` and pycocotools read."""
    boxes_xywh = box_math.xywh_from_xyxy(annotations.boxes).tolist()
    flat = np.concatenate([annotations.keypoints, annotations.visibility[..., None]], axis=-1)
    num_keypoints = (annotations.visibility > 0).sum(axis=1).tolist()
    image_of_person = np.repeat(annotations.image_ids, np.diff(annotations.first_person)).tolist()
    people = [
        {
            "id": int(annotations.annotation_ids[p]),
            "image_id": image_of_person[p],
            "category_id": annotations.category_id,
            "keypoints": flat[p].ravel().tolist(),
            "num_keypoints": num_keypoints[p],
            "bbox": boxes_xywh[p],
            "area": float(annotations.areas[p]),
            "iscrowd": int(annotations.is_crowd[p]),
            **_segmentation_entry(annotations.segmentations[p]),
        }
        for p in range(annotations.num_people)
    ]
    images = [
        {"id": image_id, "file_name": file_name, "height": height, "width": width}
        for image_id, file_name, (height, width) in zip(
            annotations.image_ids.tolist(),
            annotations.file_names,
            annotations.image_sizes.tolist(),
            strict=True,
        )
    ]
    category = category_from_skeleton(annotations.skeleton, annotations.category_id)
    return {"images": images, "annotations": people, "categories": [category]}


def _segmentation_entry(segmentation: str) -> dict:
    return {"segmentation": json.loads(segmentation)} if segmentation else {}


def category_from_skeleton(skeleton: Skeleton, category_id: int = 1) -> dict:
    """Returns an entry of `categories`; the inverse of `skeletons.skeleton_from_coco_category`."""
    return {
        "id": category_id,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }


def build_person_annotations(
    skeleton: Skeleton,
    image_ids: np.ndarray,
    file_names: Sequence[str],
    image_sizes: np.ndarray,
    image_of_person: np.ndarray,
    keypoints: np.ndarray,
    visibility: np.ndarray,
    **columns: Any,
) -> PersonAnnotations:
    """Builds annotations from arrays: ground truth for COCO's evaluation from any source.

    Args:
        skeleton: Skeleton of the keypoints.
        image_ids: [I] identities of the images.
        file_names: I file names.
        image_sizes: [I, 2] (height, width) of the images.
        image_of_person: [P] position of each person's image in `image_ids`, not decreasing.
        keypoints: [P, J, 2] keypoints in image pixels.
        visibility: [P, J] visibility of the joints: 0 not labeled, 1 hidden, 2 visible.
        **columns: Any of `boxes` [P, 4] (default: the extent of the joints), `areas` [P] (default: those of the boxes),
            `is_crowd` [P] (default: nobody), `annotation_ids` [P] (default: counted from 1) and `segmentations`
            (default: none).

    Raises:
        ValueError: The people are not sorted by image.
    """
    num_people = len(keypoints)
    image_of_person = np.asarray(image_of_person, np.int64)
    if np.any(np.diff(image_of_person) < 0):
        raise ValueError("image_of_person must not decrease; sort the people by image")
    boxes = columns.pop("boxes", None)
    boxes = box_math.around_keypoints(keypoints, visibility) if boxes is None else boxes
    counts = np.bincount(image_of_person, minlength=len(image_ids))
    defaults = {
        "areas": box_math.areas(np.asarray(boxes)),
        "is_crowd": np.zeros(num_people, bool),
        # COCO's evaluation reads the id 0 as "not matched".
        "annotation_ids": np.arange(1, num_people + 1),
        "segmentations": [""] * num_people,
    }
    return PersonAnnotations(
        path=pathlib.Path(),
        skeleton=skeleton,
        category_id=1,
        image_ids=np.asarray(image_ids, np.int64),
        file_names=list(file_names),
        image_sizes=np.asarray(image_sizes, np.int64).reshape(-1, 2),
        keypoints=np.asarray(keypoints, np.float64),
        visibility=np.asarray(visibility, np.int64),
        boxes=np.asarray(boxes, np.float64),
        first_person=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        **(defaults | columns),
    )


def keypoint_results(
    image_ids: np.ndarray,
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    scores: np.ndarray,
    category_id: int = 1,
) -> list[dict]:
    """Returns predicted people as COCO results, which pycocotools' `loadRes` reads.

    Args:
        image_ids: [P] identities of the people's images.
        keypoints: [P, J, 2] keypoints in image pixels.
        joint_scores: [P, J] scores of the joints; COCO's evaluation ignores them.
        scores: [P] scores of the people.
        category_id: Identity of the category of people.
    """
    triples = np.concatenate([keypoints, np.asarray(joint_scores)[..., None]], axis=-1)
    flat = triples.astype(np.float64).reshape(len(triples), 3 * triples.shape[1]).tolist()
    rows = zip(np.asarray(image_ids).tolist(), flat, np.asarray(scores).tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": score}
        for image_id, row, score in rows
    ]


def write_keypoint_results(path: str | pathlib.Path, *args: Any, **kwargs: Any) -> None:
    """Writes the result of `keypoint_results(*args, **kwargs)` to a file."""
    write_json(path, keypoint_results(*args, **kwargs))


@dataclasses.dataclass(frozen=True)
class Detections:
    """Detected boxes, in the order of the file.

    Attributes:
        image_ids: [N] int64 identities of the images.
        boxes: [N, 4] float64 xyxy in image pixels, not clipped.
        scores: [N] float64 scores of the boxes.
    """

    image_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_detections(path: str | pathlib.Path, category_id: int = 1) -> Detections:
    """Reads the boxes of a detector from a COCO results file, the format of PoseTrack's published detections too.

    Args:
        path: Path of a JSON list of {image_id, category_id, bbox, score}.
        category_id: Identity of the category of people; boxes of other categories are skipped.

    Raises:
        ValueError: The file breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    path = pathlib.Path(path)
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(
            f"{path}: must be a list of detections with image_id, category_id, bbox and score, "
            f"got a {type(content).__name__}"
        )
    entries = [entry for entry in content if entry.get("category_id", category_id) == category_id]
    for position, entry in enumerate(entries):
        if not isinstance(entry.get("image_id"), int) or not is_number(entry.get("score")):
            raise ValueError(
                f"{path}: detection {position}: must have a whole number 'image_id' and a number "
                f"'score', got {entry.get('image_id')!r} and {entry.get('score')!r}"
            )
    boxes_xywh = _box_array(path, "detection", entries)
    return Detections(
        image_ids=np.array([entry["image_id"] for entry in entries], np.int64),
        boxes=box_math.xyxy_from_xywh(boxes_xywh),
        scores=np.array([entry["score"] for entry in entries], np.float64),
    )


def detection_results(image_ids: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> list[dict]:
    """Returns boxes as COCO results, which pycocotools' `loadRes` reads; for the arguments see `write_detections`."""
    boxes_xywh = box_math.xywh_from_xyxy(boxes).tolist()
    columns = zip(np.asarray(image_ids).tolist(), boxes_xywh, np.asarray(scores).tolist(), strict=True)
    return [{"image_id": i, "category_id": 1, "bbox": box, "score": score} for i, box, score in columns]


def write_detections(path: str | pathlib.Path, image_ids: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> None:
    """Writes a COCO results file of people's boxes; `read_detections` returns float32 boxes unchanged.

    Args:
        path: Path of the file, which is written whole or not at all.
        image_ids: [N] identities of the images.
        boxes: [N, 4] xyxy boxes in image pixels.
        scores: [N] scores of the boxes.
    """
    write_json(path, detection_results(image_ids, boxes, scores))
