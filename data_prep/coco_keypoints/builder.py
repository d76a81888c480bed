"""Reads the layout of COCO's person keypoints, with the skeleton that the annotation files define."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from data_prep.annotations import SplitAnnotations, odd_boxes_note, photo_columns, repeated_tracks_note
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source, digest_files, find_image, images_outside_note
from tfpose.coco import PersonAnnotations, SkeletonChoice, read_person_annotations
from tfpose.json_files import files_by_name
from tfpose.posetrack.videos import in_frame_order

_PREFIX = "person_keypoints_"
_MOST_SHOWN = 3


def read_source(source: pathlib.Path, choice: SkeletonChoice | None = None) -> Source:
    """Reads annotations/person_keypoints_<name>.json, or .json.gz, whose images are in <name>/ or images/<name>/.

    The split is named <name> without a year at its end: train2017 becomes the split `train`.

    Args:
        source: Folder that contains `annotations`.
        choice: What the files do not say of the skeleton and the categories; None takes all from the files.

    Raises:
        FileNotFoundError: There are no such files, or an image folder is missing.
        ValueError: A file is not valid, or its skeleton or category is not that of the others.
    """
    choice = choice or SkeletonChoice()
    files = list(files_by_name((source / "annotations").glob(f"{_PREFIX}?*.json*")).values())
    if not files:
        found = _other_files(source / "annotations")
        raise FileNotFoundError(f"{source}: must contain annotations/{_PREFIX}<split>.json, got {found}")
    names = [path.name.removesuffix(".gz").removesuffix(".json").removeprefix(_PREFIX) for path in files]
    annotations = [read_person_annotations(path, choice) for path in files]
    first, notes = annotations[0], []
    for other in annotations[1:]:
        if other.skeleton.joints != first.skeleton.joints:
            raise ValueError(
                f"{other.path}: skeleton must be that of {first.path.name} "
                f"({first.skeleton.joints}), got {other.skeleton.joints}"
            )
        if other.skeleton != first.skeleton:
            notes.append(f"{other.path.name}: the name and the limbs of {first.path.name} are used, which differ")
        if other.category_id != first.category_id:
            raise ValueError(
                f"{other.path}: 'id' of the category must be {first.category_id} as in {first.path.name}, "
                f"got {other.category_id}"
            )
    splits = {
        split: build_split(people, find_image_folder(source, name), source)
        for split, name, people in zip(split_names(names), names, annotations, strict=True)
    }
    digest = digest_files(files, dataclasses.asdict(choice))
    return Source(splits, first.skeleton, digest, first.category_id, tuple(notes))


def _other_files(folder: pathlib.Path) -> str:
    """Describes the JSON files of a folder that have none of the expected names."""
    names = sorted(path.name for suffix in (".json", ".json.gz") for path in folder.glob(f"*{suffix}"))
    if not names:
        return "no such file"
    shown = ", ".join(names[:_MOST_SHOWN]) + (f" and {len(names) - _MOST_SHOWN} more" if names[_MOST_SHOWN:] else "")
    return f"{shown}; rename them, for example to {_PREFIX}train.json"


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


def build_split(people: PersonAnnotations, image_folder: pathlib.Path, source: pathlib.Path) -> SplitAnnotations:
    """Arranges annotations as records, without head boxes.

    Images of one video are its frames, in the order of the numbers in their names.

    Args:
        people: Annotations of the split.
        image_folder: Folder of the images.
        source: Folder of the dataset.
    """
    num_people = people.num_people
    image_paths = [_find_image(image_folder, source, name) for name in people.file_names]
    videos = list(people.videos) or [""] * people.num_images
    tracks = np.full(num_people, -1, np.int64) if people.track_ids is None else people.track_ids
    frames, order_notes = _number_frames(videos, people.file_names)
    is_in_video = np.repeat([bool(name) for name in videos], np.diff(people.first_person))
    tracks = np.where(is_in_video, tracks, -1)
    return SplitAnnotations(
        image_paths=image_paths,
        images=photo_columns(people.num_images)
        | {
            "file_name": people.file_names,
            "image_id": people.image_ids,
            "height": people.image_sizes[:, 0],
            "width": people.image_sizes[:, 1],
            "sequence": videos,
            "frame": frames,
        },
        people={
            "keypoints": people.keypoints.astype(np.float32),
            "visibility": people.visibility,
            "box": people.boxes.astype(np.float32),
            "head_box": np.full((num_people, 4), np.nan, np.float32),
            "area": people.areas.astype(np.float32),
            "is_crowd": people.is_crowd.astype(np.int64),
            "track_id": tracks,
            "annotation_id": people.annotation_ids,
            "segmentation": people.segmentations,
        },
        first_person=people.first_person,
        notes=(
            *people.notes,
            *order_notes,
            *odd_boxes_note(people.boxes, people.image_sizes, people.first_person),
            *repeated_tracks_note(tracks, people.first_person),
            *images_outside_note(image_paths, source),
        ),
    )


def _find_image(image_folder: pathlib.Path, source: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the file of an image, whose name is relative to the folder of its split or to that of the dataset."""
    path = find_image(image_folder, name)
    if not path.is_file() and (of_dataset := find_image(source, name)).is_file():
        return of_dataset
    return path


def _number_frames(videos: Sequence[str], file_names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Returns the place of each image in its video, [I], counted from 0, and lines for the user; 0 for photos."""
    positions: dict[str, list[int]] = {}
    for row, name in enumerate(videos):
        positions.setdefault(name, []).append(row)
    frames = np.zeros(len(videos), np.int64)
    notes = []
    for name in positions.keys() - {""}:
        order = in_frame_order(file_names, positions[name])
        frames[order] = np.arange(len(order))
        if order != positions[name]:
            notes.append(
                f"video {name}: the frames are not in the order of the numbers in their names, which is their order in "
                "the video"
            )
    return frames, sorted(notes)


class Builder(PoseDatasetBuilder):
    """COCO keypoints as records."""

    HOMEPAGE = "https://cocodataset.org/#keypoints-2017"
