"""The annotations of one split as columns of `tfpose.data.records`, and their counts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfpose.data.records import IMAGE_FIELDS, PERSON_FIELDS
from tfpose.messages import quote

# The image itself is read when its record is written.
IMAGE_COLUMNS = tuple(name for name in IMAGE_FIELDS if name != "image")

# One value per row: an array, or a list of texts or of arrays of different lengths.
Column: TypeAlias = np.ndarray | Sequence[Any]


@dataclasses.dataclass(frozen=True)
class SplitAnnotations:
    """The records of a split without their images: I images with P people in all.

    The people of image i are rows `first_person[i]:first_person[i + 1]`.

    Attributes:
        image_paths: The I image files, or `stored_frames.StoredFrame` inside other files.
        images: I values for each of `IMAGE_COLUMNS`; height and width are 0 where the annotations do not give them.
        people: P values for each of `PERSON_FIELDS`.
        first_person: [I + 1] int, row of the first person of each image, then P.
        notes: Lines to print for the user, such as the number of frames left out.

    Raises:
        ValueError: A column is missing, unknown, or of another length, or `first_person` does not ascend from 0.
    """

    image_paths: Sequence[os.PathLike[str]]
    images: Mapping[str, Column]
    people: Mapping[str, Column]
    first_person: np.ndarray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = np.asarray(self.first_person)
        if rows.shape != (self.num_images + 1,) or rows[0] != 0 or (np.diff(rows) < 0).any():
            raise ValueError(
                f"first_person must be {self.num_images + 1} rows that ascend from 0, one for each image and the end, "
                f"got {quote(rows.tolist())}"
            )
        _check_columns("images", self.images, IMAGE_COLUMNS, len(self.image_paths))
        _check_columns("people", self.people, PERSON_FIELDS, int(self.first_person[-1]))

    @property
    def num_images(self) -> int:
        """The number of images I."""
        return len(self.image_paths)

    def size_of(self, image: int) -> tuple[int, int]:
        """Returns the annotated size (height, width) of an image; zeros if the annotations give no size."""
        return int(self.images["height"][image]), int(self.images["width"][image])

    def select(self, images: range) -> SplitAnnotations:
        """Returns the records of consecutive images."""
        first, last = self.first_person[[images.start, images.stop]]
        return dataclasses.replace(
            self,
            image_paths=self.image_paths[images.start : images.stop],
            images={name: col[images.start : images.stop] for name, col in self.images.items()},
            people={name: column[first:last] for name, column in self.people.items()},
            first_person=self.first_person[images.start : images.stop + 1] - first,
        )

    def example(self, image: int, encoded: bytes, size: tuple[int, int]) -> dict[str, Any]:
        """Returns the record of an image, in the form that tensorflow-datasets encodes.

        Args:
            image: Position of the image in the split.
            encoded: Content of the image file.
            size: (height, width) of the image.
        """
        people = slice(*self.first_person[image : image + 2])
        example: dict[str, Any] = {name: column[image] for name, column in self.images.items()}
        example |= {"image": encoded, "height": size[0], "width": size[1]}
        example["people"] = {name: column[people] for name, column in self.people.items()}
        return example


def _check_columns(table: str, columns: Mapping[str, Column], names: Iterable[str], num_rows: int) -> None:
    if set(columns) != set(names):
        raise ValueError(f"{table} must have the columns {sorted(names)}, got {sorted(columns)}")
    lengths = {name: len(column) for name, column in columns.items() if len(column) != num_rows}
    if lengths:
        raise ValueError(f"{table}: columns must have {num_rows} rows each, got {lengths}")


def photo_columns(num_images: int) -> dict[str, Column]:
    """Returns the image columns that only videos need, filled for photos: no sequence, no ignore regions."""
    return {
        "sequence": [""] * num_images,
        "frame": np.zeros(num_images, np.int64),
        "is_labeled": np.ones(num_images, np.int64),
        "ignore_points": [np.zeros(0, np.float32)] * num_images,
        "ignore_lengths": [np.zeros(0, np.int64)] * num_images,
    }


def count_split(split: SplitAnnotations) -> dict[str, int]:
    """Counts images, people and keypoints in a split, to print and to keep in the metadata of the dataset."""
    labeled_joints = np.asarray(split.people["visibility"]) > 0
    return {
        "images": split.num_images,
        "labeled images": int(np.sum(split.images["is_labeled"])),
        "images with people": int(np.sum(np.diff(split.first_person) > 0)),
        "images with keypoints": _images_with_keypoints(split, labeled_joints),
        "people": int(split.first_person[-1]),
        "people with keypoints": int(labeled_joints.any(axis=1).sum()),
        "crowd": int(np.sum(split.people["is_crowd"])),
        "labeled keypoints": int(labeled_joints.sum()),
        "tracks": _num_tracks(split),
    }


def _images_with_keypoints(split: SplitAnnotations, labeled_joints: np.ndarray) -> int:
    per_person = np.concatenate([[0], np.cumsum(labeled_joints.any(axis=1))])
    return int(np.sum(np.diff(per_person[split.first_person]) > 0))


def _num_tracks(split: SplitAnnotations) -> int:
    sequences = np.repeat(np.asarray(split.images["sequence"], object), np.diff(split.first_person))
    tracks = np.asarray(split.people["track_id"])
    return len({pair for pair in zip(sequences, tracks, strict=True) if pair[1] >= 0})


def odd_boxes_note(boxes: np.ndarray, image_sizes: np.ndarray, first_person: np.ndarray) -> tuple[str, ...]:
    """Returns a line that counts boxes that are empty or outside their image; no line if there are none.

    Args:
        boxes: [P, 4] xyxy boxes.
        image_sizes: [I, 2] sizes (height, width), 0 where unknown.
        first_person: [I + 1] int, see `SplitAnnotations`.
    """
    sizes = np.repeat(image_sizes, np.diff(first_person), axis=0)
    limits = np.where(sizes > 0, sizes, np.inf)
    is_outside = (boxes[:, 0] >= limits[:, 1]) | (boxes[:, 1] >= limits[:, 0]) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    is_empty = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    num_odd = int(np.sum(is_outside | is_empty))
    return (f"{num_odd} boxes are empty or outside their image (kept as they are)",) * (num_odd > 0)


def repeated_tracks_note(track_ids: np.ndarray, first_person: np.ndarray) -> tuple[str, ...]:
    """Returns a line that counts people with the identity of another person in their image; no line without any.

    Args:
        track_ids: [P] int identities, -1 where there is none.
        first_person: [I + 1] int, see `SplitAnnotations`.
    """
    images = np.repeat(np.arange(len(first_person) - 1), np.diff(first_person))
    pairs = np.stack([images, track_ids])[:, np.asarray(track_ids) >= 0]
    num_repeated = pairs.shape[1] - np.unique(pairs, axis=1).shape[1]
    words = "people have the track_id of another person in their image, which tracking metrics do not expect"
    return (f"{num_repeated} {words}",) * (num_repeated > 0)
