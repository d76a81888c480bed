"""Reads and writes person keypoint annotations in the layout of COCO. NumPy only.

The format is described at cocodataset.org/#format-data. Boxes in these files are
(x, y, width, height). The visibility of a labeled but hidden joint is 1, that of a visible joint 2.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import boxes as box_math
from tfpose.garbage import without_cycle_search
from tfpose.json_files import (
    box_array,
    distinct_ids,
    format_as_json,
    is_id,
    keypoint_columns,
    number_array,
    object_list,
    optional_object_list,
    read_json,
    sort_by_image,
)
from tfpose.messages import MOST_OF_A_VALUE, count_of, printable, quote
from tfpose.posetrack.sequences import POSETRACK_BOX_MARGIN, unit_range
from tfpose.skeletons import COCO17, Skeleton, limbs_of_coco_category, skeleton_from_coco_category

# The category of people in COCO's own files.
COCO_PERSON = 1
# An area in square pixels up to which an object with labeled joints has surely no area in the file: its OKS with any
# prediction would be 0.
_NO_AREA = 1.0
# An outline is inside its box, except for rounding and boxes that were corrected by hand.
_LARGEST_SHARE_OF_BOX = 1.5
# Characters that a message spends on the names of categories.
_MOST_OF_NAMES = 200


@dataclasses.dataclass(frozen=True)
class SkeletonChoice:
    """The user's choice of the skeleton and the categories of COCO files.

    Attributes:
        left_right_pairs: Pairs (left, right) of joint names; None pairs the names that differ only in the side.
        sigmas: J constants of the object keypoint similarity; None takes those of the COCO joints with similar names.
        categories: Names of the categories to read; empty reads all with joints, which must have equal joints.
        joints: Joint names of a category that has none; empty if each has its own.
    """

    left_right_pairs: Iterable[Sequence[str]] | None = None
    sigmas: Sequence[float] | None = None
    categories: Sequence[str] = ()
    joints: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class PersonAnnotations:
    """The people of a COCO keypoint file, sorted by image, within an image in the order of the file.

    The people of image i are rows `first_person[i]:first_person[i + 1]`.

    Attributes:
        path: Path of the file.
        skeleton: Skeleton of the category with keypoints.
        category_id: Identity of that category; of the first one if several are joined.
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
        videos: I names of the images' videos, empty for photos; () if all are photos.
        track_ids: [P] int64 identities of the people in videos, -1 where there is none; None if nobody has one.
        notes: Lines on what was left out of the file, or read otherwise than it says.
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
    videos: Sequence[str] = ()
    track_ids: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def num_images(self) -> int:
        """The number of images, I."""
        return len(self.image_ids)

    @property
    def num_people(self) -> int:
        """The number of people, P."""
        return len(self.annotation_ids)


@without_cycle_search()
def read_person_annotations(path: str | pathlib.Path, choice: SkeletonChoice | None = None) -> PersonAnnotations:
    """Reads a COCO keypoint annotation file, with any skeleton.

    It leaves out annotations of other categories and keeps images without people. A file of boxes alone, without any
    `keypoints`, gets the joints of COCO, none of them labeled.

    Args:
        path: Path of the JSON file.
        choice: What the file does not say of the skeleton and the categories; None takes all from the file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file breaks a rule; the message names the file, the entry, the field, the rule and the value.
    """
    path, choice = pathlib.Path(path), choice or SkeletonChoice()
    content = read_json(path, checks_lists=True)
    images, categories = (object_list(path, content, field) for field in ("images", "categories"))
    entries = optional_object_list(path, content, "annotations")
    has_boxes_only = not choice.joints and not any(entry.get("keypoints") for entry in (*categories, *entries))
    if has_boxes_only:
        choice = dataclasses.replace(choice, joints=COCO17.joints)
    chosen = _chosen_categories(path, categories, choice)
    skeleton = _skeleton(path, chosen, choice)
    image_ids = distinct_ids(path, "image", images)
    annotations, notes = _annotations_of(path, entries, categories, chosen)
    order, first_person = sort_by_image(path, annotations, image_ids)
    people = [annotations[position] for position in order]
    keypoints = _keypoint_array(path, people, skeleton)
    visibility = keypoints[..., 2].astype(np.int64)
    image_sizes = _image_sizes(path, images)
    boxes, box_notes = _boxes(path, people, keypoints, np.repeat(image_sizes, np.diff(first_person), axis=0))
    areas, area_notes = _areas(path, people, boxes, visibility.max(axis=1) > 0)
    return PersonAnnotations(
        path=path,
        skeleton=skeleton,
        category_id=chosen[0]["id"],
        image_ids=image_ids,
        file_names=[_text(path, "image", image, "file_name") for image in images],
        image_sizes=image_sizes,
        keypoints=keypoints[..., :2] * (visibility > 0)[..., None],
        visibility=visibility,
        boxes=boxes,
        areas=areas,
        is_crowd=_is_crowd(path, people),
        annotation_ids=distinct_ids(path, "annotation", people),
        segmentations=[_segmentation(person) for person in people],
        first_person=first_person,
        videos=_videos(path, images),
        track_ids=_track_ids(path, people),
        notes=(
            *_category_notes(chosen),
            *["there are no 'keypoints': the joints are those of COCO, and nobody has a labeled joint"]
            * has_boxes_only,
            *notes,
            *_repeated_names_note(images),
            *_keypoint_notes(people, keypoints),
            *box_notes,
            *area_notes,
        ),
    )


def _chosen_categories(path: pathlib.Path, categories: Sequence[dict], choice: SkeletonChoice) -> list[dict]:
    """Returns the categories to read, with equal joint names."""
    ids = distinct_ids(path, "category", categories)
    names = [str(category.get("name", id_)) for category, id_ in zip(categories, ids, strict=True)]
    shown = printable(", ".join(names), MOST_OF_A_VALUE)
    unknown = [name for name in choice.categories if name not in names]
    if unknown:
        raise ValueError(f"{path}: 'categories' must hold {quote(unknown[0])} of --categories, got {shown}")
    named = [c for c, name in zip(categories, names, strict=True) if name in choice.categories]
    if choice.joints:
        if not named and len(categories) > 1:
            raise ValueError(
                f"{path}: --categories must choose among several categories without joint names, got {shown}"
            )
        candidates = named or categories
        candidates = [c if c.get("keypoints") else {**c, "keypoints": list(choice.joints)} for c in candidates]
    else:
        candidates = named or [c for c in categories if c.get("keypoints")]
    without = [c for c in candidates if not c.get("keypoints")]
    if without or not candidates:
        raise ValueError(
            f"{path}: 'categories' must have an entry with 'keypoints' (joint names), got none among "
            f"{len(candidates) or len(categories)}; --joints gives the names"
        )
    if any(c["keypoints"] != candidates[0]["keypoints"] for c in candidates):
        raise ValueError(
            f"{path}: 'categories' must have equal 'keypoints' (joint names) to be read together, got different ones "
            f"among {_names_of(candidates)}; --categories chooses"
        )
    return candidates


def _skeleton(path: pathlib.Path, chosen: Sequence[dict], choice: SkeletonChoice) -> Skeleton:
    try:
        return skeleton_from_coco_category(chosen[0], choice.left_right_pairs, choice.sigmas)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: 'categories': {error}") from error


def _category_notes(chosen: Sequence[dict]) -> list[str]:
    limbs_note = limbs_of_coco_category(chosen[0])[1]
    notes = [f"'categories': {limbs_note}"] * bool(limbs_note)
    if len(chosen) > 1:
        notes.append(
            f"{len(chosen)} categories with equal joints are joined: {_names_of(chosen)}; --categories chooses some. "
            f"Predictions get category_id {chosen[0]['id']}"
        )
    return notes


def _names_of(categories: Sequence[dict]) -> str:
    return printable(", ".join(str(category.get("name", category["id"])) for category in categories), _MOST_OF_NAMES)


def _annotations_of(
    path: pathlib.Path, annotations: Sequence[dict], categories: Sequence[dict], chosen: Sequence[dict]
) -> tuple[list[dict], list[str]]:
    """Returns the annotations of the chosen categories, and a line that counts the others."""
    ids = {category["id"] for category in chosen}
    names = {category["id"]: str(category.get("name", category["id"])) for category in categories}
    kept, left_out = [], collections.Counter[str]()
    for annotation in annotations:
        category_id = annotation.get("category_id")
        if is_id(category_id) and category_id in ids:
            kept.append(annotation)
        else:
            is_listed = is_id(category_id) and category_id in names
            left_out[names[category_id] if is_listed else f"category_id {quote(category_id)}, not listed"] += 1
    if not left_out:
        return kept, []
    others = printable("; ".join(f"{name}: {count}" for name, count in left_out.most_common(5)), _MOST_OF_NAMES)
    if not kept:
        wanted = printable(", ".join(f"{id_} ({names[id_]})" for id_ in sorted(ids)), MOST_OF_A_VALUE)
        raise ValueError(
            f"{path}: 'category_id' of the annotations must be {wanted}, got other ones in all "
            f"{len(annotations)} ({others})"
        )
    return kept, [f"{count_of(left_out.total(), 'annotation')} of other categories left out ({others})"]


def _text(path: pathlib.Path, kind: str, entry: Mapping, field: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{path}: {kind} {entry.get('id')}: {field!r} must be text, got {quote(value)}")
    return value


def _videos(path: pathlib.Path, images: Sequence[Mapping]) -> list[str]:
    """Returns the name of each image's video, from PoseTrack's field `vid_id`; empty for photos."""
    values = [image.get("vid_id") for image in images]
    for image, value in zip(images, values, strict=True):
        if value is not None and not isinstance(value, str) and not is_id(value):
            raise ValueError(
                f"{path}: image {image['id']}: 'vid_id' must be text or a whole number, got {quote(value)}"
            )
    return ["" if value is None else str(value) for value in values]


def _track_ids(path: pathlib.Path, people: Sequence[Mapping]) -> np.ndarray:
    """Returns the identities [P] of the people in videos, -1 where there is none."""
    ids = [-1 if person.get("track_id") is None else person["track_id"] for person in people]
    for person, track_id in zip(people, ids, strict=True):
        if track_id != -1 and not (is_id(track_id) and track_id >= 0):
            raise ValueError(
                f"{path}: annotation {person['id']}: 'track_id' must be a whole number of at least 0, "
                f"got {quote(track_id)}"
            )
    return np.array(ids, np.int64)


def _image_sizes(path: pathlib.Path, images: list) -> np.ndarray:
    sizes = [(image.get("height") or 0, image.get("width") or 0) for image in images]
    for image, size in zip(images, sizes, strict=True):
        if not all(isinstance(side, int) and 0 <= side < 1 << 31 for side in size):
            raise ValueError(
                f"{path}: image {image['id']}: 'height' and 'width' must be whole numbers, got {quote(size)}"
            )
    return np.array(sizes, np.int64).reshape(-1, 2)


def _keypoint_array(path: pathlib.Path, people: list, skeleton: Skeleton) -> np.ndarray:
    """Returns [P, J, 3] (x, y, visibility); zeros for an annotation without `keypoints`."""
    columns = keypoint_columns(skeleton.joints, "visibility")
    rows = [_not_empty(person.get("keypoints"), [0] * len(columns)) for person in people]
    expected = f"{len(columns)} numbers: x, y, visibility of {skeleton.num_joints} joints"
    keypoints = number_array(path, "annotation", people, "keypoints", rows, expected, columns)
    keypoints = keypoints.reshape(-1, skeleton.num_joints, 3)
    is_wrong = ~np.isin(keypoints[..., 2], (0, 1, 2))
    if is_wrong.any():
        row, joint = np.argwhere(is_wrong)[0]
        raise ValueError(
            f"{path}: annotation {people[row].get('id')}: visibilities in 'keypoints' must be 0, 1 or 2, "
            f"got {keypoints[row, joint, 2]:g} for {skeleton.joints[joint]!r}"
        )
    return keypoints


def _not_empty(value: Any, default: Any) -> Any:
    """Returns a value, or `default` if the value is None or an empty list."""
    return default if value is None or value == [] else value


def _keypoint_notes(people: Sequence[Mapping], keypoints: np.ndarray) -> list[str]:
    """Returns lines on odd joints [P, J, 3]."""
    return [
        *_empty_keypoints_note(people),
        *_joint_counts_note(people, keypoints[..., 2]),
        *_odd_flags_notes(people, keypoints),
        *_unit_note("keypoints", keypoints[keypoints[..., 2] > 0][:, :2]),
    ]


def _empty_keypoints_note(people: Sequence[Mapping]) -> list[str]:
    ids = [person["id"] for person in people if person.get("keypoints") == []]
    if not ids:
        return []
    return [
        f"{count_of(len(ids), 'annotation')} with an empty list 'keypoints' "
        f"(first: annotation {ids[0]}): no labeled joints"
    ]


def _repeated_names_note(images: Sequence[Mapping]) -> list[str]:
    """Returns a line if several images have one file name, as in files that list an image for each annotation."""
    counts = collections.Counter(image["file_name"] for image in images)
    if len(counts) == len(images):
        return []
    return [
        f"{count_of(len(images) - len(counts), 'image')} with the file name of an earlier image (such as "
        f"{quote(counts.most_common(1)[0][0])}): each is an image of its own, with its own people"
    ]


def _joint_counts_note(people: Sequence[Mapping], visibility: np.ndarray) -> list[str]:
    """Returns a line if `num_keypoints`, by which pycocotools leaves people out, disagrees with the joints [P, J]."""
    counts = (visibility > 0).sum(axis=1).tolist()
    wrong = [
        (person["id"], person["num_keypoints"], count)
        for person, count in zip(people, counts, strict=True)
        if person.get("num_keypoints") not in (None, count)
    ]
    if not wrong:
        return []
    first, found, count = wrong[0]
    return [
        f"{count_of(len(wrong), 'annotation')} with another 'num_keypoints' than joints with a visibility above 0 "
        f"(first: annotation {first}, {quote(found)} and {count}): the joints count"
    ]


def _odd_flags_notes(people: Sequence[Mapping], keypoints: np.ndarray) -> list[str]:
    """Returns lines on joints [P, J, 3] whose visibility does not suit their place, as in files with other flags."""
    is_labeled, is_at_zero = keypoints[..., 2] > 0, (keypoints[..., :2] == 0).all(axis=-1)
    odd = {
        "joints have coordinates and the visibility 0, not labeled": ~is_labeled & ~is_at_zero,
        "joints with a visibility above 0 are at 0, 0, and are labeled there": is_labeled & is_at_zero,
    }
    return [
        f"{int(is_odd.sum())} {words} (first: annotation {people[int(np.argmax(is_odd.any(axis=1)))]['id']})"
        for words, is_odd in odd.items()
        if is_odd.any()
    ]


def _unit_note(field: str, values: np.ndarray) -> list[str]:
    """Returns a line if all values of a field lie within one pixel, as coordinates from 0 to 1 do."""
    found = unit_range(values)
    return [f"all {field!r} must be in pixels, got values {found}"] if found else []


def _boxes(
    path: pathlib.Path, people: list[dict], keypoints: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Returns [P, 4] xyxy boxes as in the file, and lines on those that are not as in the file, or look wrong.

    The box is that around the joints [P, J, 3] where the file has one without an extent, which would be cropped at a
    place where nobody is.
    """
    boxes_xywh = box_array(path, "annotation", people)
    boxes = box_math.xyxy_from_xywh(boxes_xywh)
    notes = [*corners_note(boxes_xywh, boxes, sizes[:, ::-1]), *_unit_note("bbox", boxes_xywh)]
    is_joint = keypoints[..., 2] > 0
    is_wrong = is_joint.any(axis=1) & (box_math.areas(boxes) <= _NO_AREA)
    if not is_wrong.any():
        return boxes, notes
    first = people[int(np.argmax(is_wrong))]
    notes.append(
        f"{count_of(int(is_wrong.sum()), 'annotation')} with joints and a 'bbox' of at most {_NO_AREA:g} square pixel "
        f"(first: annotation {first.get('id')}, {quote(first['bbox'])}): the box around the joints is used"
    )
    around = box_math.around_keypoints(keypoints[..., :2], is_joint, POSETRACK_BOX_MARGIN)
    return np.where(is_wrong[:, None], around, boxes), notes


def corners_note(boxes_xywh: np.ndarray, boxes: np.ndarray, ends: np.ndarray) -> list[str]:
    """Returns a line if boxes look like two corners in place of a corner and a size.

    Args:
        boxes_xywh: [P, 4] boxes as in the file.
        boxes: [P, 4] xyxy boxes.
        ends: [P, 2] (width, height) of the image of each box, 0 where the file lacks it.
    """
    is_known = ends.all(axis=1)
    corners, last = boxes_xywh[is_known], ends[is_known] + 1
    are_corners = (corners[:, 2:] > corners[:, :2]).all() and (corners[:, 2:] <= last).all()
    num_beyond = int((boxes[is_known, 2:] > last).any(axis=1).sum())
    if not are_corners or 2 * num_beyond <= len(corners):
        return []
    return [
        f"{num_beyond} of {len(corners)} boxes reach beyond their image: 'bbox' must be x, y, width, height, got what "
        "looks like two corners"
    ]


def _areas(
    path: pathlib.Path, people: Sequence[Mapping], boxes: np.ndarray, has_joints: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Returns [P] areas as in the file, and lines on those that are not as in the file, or look wrong.

    The area is that of the box where the file has none, and where it would make the object keypoint similarity with any
    prediction 0.
    """
    of_boxes = box_math.areas(boxes)
    rows = [[_not_empty(person.get("area"), area)] for person, area in zip(people, of_boxes.tolist(), strict=True)]
    areas = number_array(path, "annotation", people, "area", rows, "a number", ("the area",))[:, 0]
    is_wrong = has_joints & (areas <= _NO_AREA) & (of_boxes > _NO_AREA)
    is_large = has_joints & (areas > _LARGEST_SHARE_OF_BOX * np.maximum(of_boxes, _NO_AREA))
    notes = []
    if is_large.any():
        first = int(np.argmax(is_large))
        notes.append(
            f"{count_of(int(is_large.sum()), 'annotation')} with joints and an 'area' that is larger than the box "
            f"(first: annotation {people[first].get('id')}, {areas[first]:g} and {of_boxes[first]:g} square pixels), "
            "which makes the scores of their poses too high"
        )
    if not is_wrong.any():
        return areas, notes
    first = int(np.argmax(is_wrong))
    notes.append(
        f"{count_of(int(is_wrong.sum()), 'annotation')} with joints and an 'area' of at most {_NO_AREA:g} square pixel "
        f"(first: annotation {people[first].get('id')}, area {areas[first]:g}): the area of the box is used"
    )
    return np.where(is_wrong, of_boxes, areas), notes


def _is_crowd(path: pathlib.Path, people: Sequence[Mapping]) -> np.ndarray:
    flags = [person.get("iscrowd") or 0 for person in people]
    for person, flag in zip(people, flags, strict=True):
        if flag not in (0, 1):
            raise ValueError(f"{path}: annotation {person.get('id')}: 'iscrowd' must be 0 or 1, got {quote(flag)}")
    return np.array(flags, bool)


def _segmentation(person: Mapping) -> str:
    segmentation = person.get("segmentation")
    if isinstance(segmentation, dict) and set(segmentation) == {"counts", "size"}:
        return "{" + ",".join(f'"{name}":{format_as_json(value)}' for name, value in segmentation.items()) + "}"
    return format_as_json(segmentation) if segmentation else ""


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
            `is_crowd` [P] (default: nobody), `annotation_ids` [P] (default: counted from 1), `segmentations`
            (default: none) and `category_id` (default: 1).

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
        "category_id": 1,
    }
    return PersonAnnotations(
        path=pathlib.Path(),
        skeleton=skeleton,
        image_ids=np.asarray(image_ids, np.int64),
        file_names=list(file_names),
        image_sizes=np.asarray(image_sizes, np.int64).reshape(-1, 2),
        keypoints=np.asarray(keypoints, np.float64),
        visibility=np.asarray(visibility, np.int64),
        boxes=np.asarray(boxes, np.float64),
        first_person=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        **(defaults | columns),
    )
