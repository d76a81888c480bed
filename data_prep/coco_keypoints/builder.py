"""Reads the layout of COCO's person keypoints, with the skeleton that the annotation files define."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from data_prep.annotations import SplitAnnotations, odd_boxes_note, photo_columns
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source, digest_files
from tfpose.coco import PersonAnnotations, read_person_annotations

_PREFIX = "person_keypoints_"


def read_source(
    source: pathlib.Path,
    left_right_pairs: Iterable[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Source:
    """Reads annotations/person_keypoints_<name>.json, whose images are in <name>/ or images/<name>/.

    The split is named <name> without a year at its end: train2017 becomes the split `train`.

    Args:
        source: Folder that contains `annotations`.
        left_right_pairs: Pairs of joints that a mirror swaps; None pairs joints whose names differ only in the words
            left and right.
        sigmas: Constants of the object keypoint similarity, one per joint; None takes those of the COCO joints with
            similar names.

    Raises:
        FileNotFoundError: There are no such files, or an image folder is missing.
        ValueError: A file is not valid, or its skeleton is not that of the others.
    """
    files = sorted((source / "annotations").glob(f"{_PREFIX}?*.json"))
    if not files:
        raise FileNotFoundError(f"{source}: must contain annotations/{_PREFIX}<split>.json, got no such file")
    names = [path.stem.removeprefix(_PREFIX) for path in files]
    annotations = [read_person_annotations(path, left_right_pairs, sigmas) for path in files]
    for other in annotations[1:]:
        if other.skeleton != annotations[0].skeleton:
            raise ValueError(
                f"{other.path}: skeleton must be that of {annotations[0].path.name} "
                f"({annotations[0].skeleton.joints}), got {other.skeleton.joints}"
            )
    splits = {
        split: build_split(people, find_image_folder(source, name))
        for split, name, people in zip(split_names(names), names, annotations, strict=True)
    }
    options = {"left_right_pairs": left_right_pairs, "sigmas": sigmas}
    return Source(splits, annotations[0].skeleton, digest_files(files, options))


def split_names(names: Sequence[str]) -> list[str]:
    """Returns the names of the splits: without the year at the end, unless two names would then be equal.

    Args:
        names: The part of each file name behind `person_keypoints_`.
    """
    safe = [name.replace("-", "_") for name in names]
    short = [re.sub(r"(?<=[a-z])_?(19|20)\d\d$", "", name) for name in safe]
    return short if len(set(short)) == len(short) else safe


def find_image_folder(source: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the image folder of a split, either beside `annotations` or inside `images`.

    Raises:
        FileNotFoundError: There is neither folder.
    """
    folders = [source / name, source / "images" / name]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"{source}: images of split {name!r} must be in {folders[0]} or {folders[1]}, got neither folder"
    )


def build_split(people: PersonAnnotations, image_folder: pathlib.Path) -> SplitAnnotations:
    """Arranges annotations as records, without head boxes and tracks."""
    num_people = people.num_people
    return SplitAnnotations(
        image_paths=[image_folder / name for name in people.file_names],
        images=photo_columns(people.num_images)
        | {
            "file_name": people.file_names,
            "image_id": people.image_ids,
            "height": people.image_sizes[:, 0],
            "width": people.image_sizes[:, 1],
        },
        people={
            "keypoints": people.keypoints.astype(np.float32),
            "visibility": people.visibility,
            "box": people.boxes.astype(np.float32),
            "head_box": np.full((num_people, 4), np.nan, np.float32),
            "area": people.areas.astype(np.float32),
            "is_crowd": people.is_crowd.astype(np.int64),
            "track_id": np.full(num_people, -1, np.int64),
            "annotation_id": people.annotation_ids,
            "segmentation": people.segmentations,
        },
        first_person=people.first_person,
        notes=odd_boxes_note(people.boxes, people.image_sizes, people.first_person),
    )


class Builder(PoseDatasetBuilder):
    """COCO keypoints as records."""

    HOMEPAGE = "https://cocodataset.org/#keypoints-2017"
