"""The record of one image: written by data_prep, read by every input pipeline.

A dataset is a folder in the layout of tensorflow-datasets: TFRecord shards `<name>-<split>.tfrecord-00000-of-00001`,
`dataset_info.json` and `features.json`, and in `metadata.json` the skeleton. Each record is one image as a
`tf.train.Example`; the shards are memory for pictures, while all annotations of a split fit into a `RecordTable`.

Records are found by their offset in the file, so that any step of any epoch can be read without replaying the ones
before it.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfpose.data.record_files import iterate_records, read_record
from tfpose.data.record_index import (
    RecordPlaces,
    index_path,
    read_index,
    split_regions,
    write_annotations,
    write_places,
)
from tfpose.file_names import whole_file
from tfpose.json_files import is_id, object_list, read_json
from tfpose.messages import describe_error, quote
from tfpose.skeletons import Skeleton, map_joints, skeleton_from_dict

METADATA_FILE = "metadata.json"
INFO_FILE = "dataset_info.json"
# Entry of the metadata: the model whose poses the labels are.
TEACHER_FIELD = "teacher"
# Per image: name in the record, how it is stored.
IMAGE_FIELDS = {
    "image": "bytes",  # the encoded picture as it was found
    "file_name": "bytes",  # relative to the image folder of the source
    "image_id": "int",
    "height": "int",
    "width": "int",
    "sequence": "bytes",  # empty for single photos
    "frame": "int",  # position in the sequence, from 0
    "is_labeled": "int",
    "ignore_points": "float",  # [N * 2] corners of all ignore regions (x, y)
    "ignore_lengths": "int",  # corners per region
}
# Those of `IMAGE_FIELDS` that hold a list of numbers.
LIST_FIELDS = ("ignore_points", "ignore_lengths")
# Per person of an image, concatenated over people: name, how it is stored, shape for one person.
PERSON_FIELDS = {
    "keypoints": ("float", ("joints", 2)),  # image pixels
    "visibility": ("int", ("joints",)),  # 0 not annotated, 1 hidden, 2 visible
    "box": ("float", (4,)),  # xyxy
    "head_box": ("float", (4,)),  # xyxy, NaN where there is none
    "area": ("float", ()),
    "is_crowd": ("int", ()),
    "track_id": ("int", ()),  # -1 where there is none
    "annotation_id": ("int", ()),
    "segmentation": ("bytes", ()),  # JSON of the COCO segmentation, empty where there is none
}

# Ids that no annotation file has, so that boxes of a file with other ids are taken for no image.
FIRST_OWN_IMAGE_ID = 10**12


@dataclasses.dataclass(frozen=True)
class RecordTable:
    """All annotations of a split, image by image.

    The people of image i are rows `first_person[i]:first_person[i + 1]` of the person arrays.

    Attributes:
        skeleton: Skeleton of the keypoints.
        shards: Paths of the TFRecord files.
        shard: [I] int, offset: [I] int64, length: [I] int64: where the record of an image lies.
        images: [I] arrays of `IMAGE_FIELDS` without the picture; ignore regions are lists of [N, 2] arrays.
        people: [P, ...] arrays of `PERSON_FIELDS`.
        first_person: [I + 1] int.
        category_id: Identity of the category of people in the annotation files, for files of predictions.
        teacher: Name of the model whose poses the labels are; '' if people labeled the images.
    """

    skeleton: Skeleton
    shards: tuple[pathlib.Path, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    images: dict[str, Any]
    people: dict[str, np.ndarray]
    first_person: np.ndarray
    category_id: int = 1
    teacher: str = ""

    @property
    def num_images(self) -> int:
        """The number of images."""
        return len(self.shard)

    @property
    def num_people(self) -> int:
        """The number of people in all images."""
        return int(self.first_person[-1])

    @property
    def image_of_person(self) -> np.ndarray:
        """The row of the image of each person, [P] int."""
        return np.repeat(np.arange(self.num_images), np.diff(self.first_person))

    @functools.cached_property
    def image_ids(self) -> np.ndarray:
        """The identities of the images in files of boxes and COCO results, and for COCO's metrics, [I] int64.

        They are those of the annotations, unless two images have the same, as where each video counts its own images.
        """
        ids = np.asarray(self.images["image_id"], np.int64)
        if len(np.unique(ids)) == len(ids):
            return ids
        return np.arange(FIRST_OWN_IMAGE_ID, FIRST_OWN_IMAGE_ID + len(ids))

    def sizes(self, images: np.ndarray | int | slice) -> np.ndarray:
        """Returns the (height, width) [..., 2] of images [...] in pixels."""
        return np.stack([self.images["height"][images], self.images["width"][images]], axis=-1)

    def people_of(self, image: int) -> range:
        """Returns the rows of the people of an image."""
        return range(*self.first_person[image : image + 2].tolist())

    def labeled_keypoints(self, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        """Returns the people's keypoints in the joints of another skeleton, matched by name.

        Args:
            skeleton: Skeleton of the J joints to return.

        Returns:
            Keypoints [P, J, 2] in image pixels, and [P, J] bool, whether a joint is labeled; False for a joint that the
            records lack.
        """
        joints = self.skeleton.joints
        keypoints = map_joints(self.people["keypoints"], joints, skeleton.joints)
        visibility = map_joints(self.people["visibility"][..., None], joints, skeleton.joints)
        return keypoints, visibility[..., 0] > 0

    def digest(self) -> str:
        """Returns text that differs for other records: numbers of images and people, and digits of all that is known.

        The pictures themselves are not read.
        """
        digits = 0
        for values in (self.shard, self.offset, self.length, *self.people.values()):
            digits = zlib.crc32(np.ascontiguousarray(values).tobytes(), digits)
        return f"{self.num_images} images, {self.num_people} people ({digits:08x})"

    def read_image_bytes(self, image: int) -> bytes:
        """Reads the encoded picture of an image.

        Raises:
            ValueError: if the record is damaged, naming the file and the byte.
        """
        path, offset = self.shards[self.shard[image]], int(self.offset[image])
        picture = _parse(read_record(path, offset), path, offset).features.feature["image"].bytes_list.value
        if len(picture) != 1:
            raise ValueError(f"{path}: the record at byte {offset} must hold one image, got {len(picture)}")
        return picture[0]

    def describe(self, image: int) -> str:
        """Describes an image in words, for messages."""
        return f"{self.images['file_name'][image]} (in {self.shards[self.shard[image]].name})"


def resolve_dataset_dir(directory: str | pathlib.Path) -> pathlib.Path:
    """Finds the folder with the shards: `directory`, or the only such folder one or two levels below `directory`.

    tfpose build writes to OUTPUT/DATASET/VERSION. The folder OUTPUT is enough if it holds only one dataset.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if there are several; names them.
    """
    directory = pathlib.Path(directory)
    if (directory / METADATA_FILE).is_file():
        return directory
    below = [path.parent for pattern in ("*", "*/*") for path in sorted(directory.glob(f"{pattern}/{METADATA_FILE}"))]
    found = [path for path in below if not any(part.startswith(".") for part in path.relative_to(directory).parts)]
    if not found:
        raise FileNotFoundError(
            f"{directory}: must be the folder of a dataset that tfpose build wrote, got no {METADATA_FILE} in it"
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(directory)) for path in found)
        raise ValueError(f"{directory}: must be the folder of one dataset, got {names}")
    return found[0]


def _read_metadata(directory: str | pathlib.Path) -> tuple[pathlib.Path, dict]:
    path = resolve_dataset_dir(directory) / METADATA_FILE
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be an object, got {quote(content)}")
    return path, content


def _category_id_of(path: pathlib.Path, metadata: dict) -> int:
    """Returns the category id of people in the files that the dataset was built from; 1 if it is not named."""
    category_id = metadata.get("category_id", 1)
    if not is_id(category_id):
        raise ValueError(f"{path}: 'category_id' must be a whole number, got {quote(category_id)}")
    return category_id


def _teacher_of(path: pathlib.Path, metadata: dict) -> str:
    """Returns the name of the model whose poses the labels are; '' if there is none."""
    teacher = metadata.get(TEACHER_FIELD)
    if teacher is None:
        return ""
    if not (isinstance(teacher, dict) and isinstance(teacher.get("name"), str) and teacher["name"]):
        raise ValueError(f"{path}: 'teacher' must be an object with a name, got {quote(teacher)}")
    return teacher["name"]


def read_skeleton(directory: str | pathlib.Path) -> Skeleton:
    """Reads the skeleton of a dataset folder."""
    return _skeleton_of(*_read_metadata(directory))


def _skeleton_of(path: pathlib.Path, metadata: dict) -> Skeleton:
    try:
        return skeleton_from_dict(metadata.get("skeleton"))
    except ValueError as error:
        raise ValueError(f"{path}: 'skeleton' is not valid: {error}") from error


def find_shards(directory: str | pathlib.Path, split: str) -> tuple[pathlib.Path, ...]:
    """Finds the TFRecord files of a split, in order.

    Raises:
        FileNotFoundError: if the folder, the split or one of its shards is missing; names the splits that are there.
    """
    directory = resolve_dataset_dir(directory)
    pattern = re.compile(r".*-(?P<split>[^-]+)\.tfrecord-\d+-of-\d+$")
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(directory.glob("*.tfrecord-*")):
        match = pattern.match(path.name)
        if match:
            found.setdefault(match["split"], []).append(path)
    if split not in found:
        raise FileNotFoundError(
            f"{directory}: no TFRecord files of split {split!r}; the splits are {sorted(found) or 'missing'}"
        )
    shards = found[split]
    count = int(shards[0].name.rpartition("-")[2])
    if len(shards) != count:
        raise FileNotFoundError(f"{directory}: split {split!r} must have {count} shards, got {len(shards)}")
    return tuple(shards)


def read_table(directory: str | pathlib.Path, split: str) -> RecordTable:
    """Reads all annotations of a split: from its index, or from the records if the index is missing or outdated."""
    shards = find_shards(directory, split)
    metadata = _read_metadata(shards[0].parent)
    skeleton = _skeleton_of(*metadata)
    rows = read_index(shards, split) or _read_rows(shards, skeleton.num_joints)
    _check_counts(shards, split, np.bincount(rows["shard"], minlength=len(shards)))
    category_id, teacher = _category_id_of(*metadata), _teacher_of(*metadata)
    return RecordTable(skeleton=skeleton, shards=shards, category_id=category_id, teacher=teacher, **rows)


def _check_counts(shards: Sequence[pathlib.Path], split: str, counts: np.ndarray) -> None:
    """Compares the number of records in each shard with the one that the builder wrote down; datasets may lack it."""
    path = shards[0].parent / INFO_FILE
    if not path.is_file():
        return
    content = read_json(path)
    for entry in object_list(path, content, "splits"):
        if entry.get("name") == split:
            expected = entry.get("shardLengths")
            if not isinstance(expected, list) or len(expected) != len(shards):
                raise ValueError(
                    f"{path}: shardLengths of split {split!r} must be {len(shards)} counts, got {quote(expected)}"
                )
            for shard, count, found in zip(shards, expected, counts.tolist(), strict=True):
                if str(count) != str(found):
                    raise ValueError(
                        f"{shard}: must have {quote(count)} records, as {INFO_FILE} says, got {found}; build again"
                    )
            return
    raise ValueError(f"{path}: must describe split {split!r}, got none of this name")


def write_index(directory: str | pathlib.Path, split: str) -> pathlib.Path:
    """Writes the index of a split from its records."""
    shards = find_shards(directory, split)
    rows = _read_rows(shards, read_skeleton(shards[0].parent).num_joints)
    path = index_path(shards, split)
    with whole_file(path) as temporary:
        write_annotations(temporary, rows["images"], rows["people"], rows["first_person"])
        write_places(temporary, shards, RecordPlaces(rows["shard"], rows["offset"], rows["length"]), {})
    return path


def _read_rows(shards: Sequence[pathlib.Path], num_joints: int) -> dict:
    """Reads the columns of the table from the records themselves."""
    places, features = [], []
    for shard, path in enumerate(shards):
        for offset, length, data in iterate_records(path):
            places.append((shard, offset, length))
            example = _parse(data, path, offset)
            # Only annotations stay in memory; a message keeps that of a removed field, its copy does not.
            del example.features.feature["image"]
            features.append(_parse(example.SerializeToString(), path, offset).features.feature)
    try:
        columns = _columns(features, num_joints)
    except (IndexError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{shards[0].parent}: records must have the fields that `tfpose build` writes and {num_joints} joints, got "
            f"others ({describe_error(error)})"
        ) from error
    shard_of_image, offsets, lengths = np.array(places, np.int64).reshape(-1, 3).T
    return {"shard": shard_of_image, "offset": offsets, "length": lengths} | columns


def _columns(features: list, num_joints: int) -> dict:
    counts = [len(feature["people/track_id"].int64_list.value) for feature in features]
    people = {
        name: _read_people(features, name, kind, shape, num_joints) for name, (kind, shape) in PERSON_FIELDS.items()
    }
    first_person = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if any(len(values) != first_person[-1] for values in people.values()):
        raise ValueError("fields of people have different lengths")
    return {"images": _read_images(features), "people": people, "first_person": first_person}


def _parse(data: bytes, path: pathlib.Path, offset: int) -> Any:
    import tensorflow as tf

    try:
        return tf.train.Example.FromString(data)
    except Exception as error:  # protobuf's DecodeError is not exported
        raise ValueError(f"{path}: the record at byte {offset} is not a tf.train.Example") from error


def _values(feature: Any, kind: str) -> Any:
    return {
        "bytes": feature.bytes_list.value,
        "int": feature.int64_list.value,
        "float": feature.float_list.value,
    }[kind]


def _read_images(features: list) -> dict[str, np.ndarray | list]:
    images: dict[str, np.ndarray | list] = {}
    for name in ("image_id", "height", "width", "frame", "is_labeled"):
        images[name] = np.array([f[name].int64_list.value[0] for f in features], np.int64)
    for name in ("file_name", "sequence"):
        images[name] = [f[name].bytes_list.value[0].decode() for f in features]
    images["ignore_regions"] = [
        split_regions(f["ignore_points"].float_list.value, f["ignore_lengths"].int64_list.value) for f in features
    ]
    return images


def _read_people(features: list, name: str, kind: str, shape: tuple, num_joints: int) -> np.ndarray:
    values = [_values(feature[f"people/{name}"], kind) for feature in features]
    if kind == "bytes":
        return np.array([text.decode() for value in values for text in value], object)
    dtype = np.int64 if kind == "int" else np.float32
    flat = np.concatenate([np.array(value, dtype) for value in values] or [np.zeros(0, dtype)])
    return flat.reshape(-1, *(num_joints if size == "joints" else size for size in shape))
