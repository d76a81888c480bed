"""The dataset builder that all datasets share: writes records as shards with tensorflow-datasets."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_prep.annotations import SplitAnnotations
from data_prep.pictures import SourcePicture, read_picture
from data_prep.writing import NOTES_FOLDER, PictureNotes, image_bytes
from tfpose.data.records import IMAGE_FIELDS, PERSON_FIELDS
from tfpose.skeletons import Skeleton

SHARD_BYTES = 128 << 20
# Reading waits for the disk (or the network behind it), not for the processor.
_NUM_READERS = 8
_READ_AHEAD = 64
_LIST_FIELDS = ("ignore_points", "ignore_lengths")


def features_from_schema(num_joints: int) -> tfds.features.FeaturesDict:
    """Converts the schema of `tfpose.data.records` to features of tensorflow-datasets.

    Each field of the people is a tensor whose first axis has an unknown length. It is stored as one flat list, as the
    schema demands; `tfds.features.Sequence` stores the same list but walks over every number in Python.
    """
    features = {name: _image_feature(name, kind) for name, kind in IMAGE_FIELDS.items()}
    people = {name: _person_feature(kind, shape, num_joints) for name, (kind, shape) in PERSON_FIELDS.items()}
    return tfds.features.FeaturesDict(features | {"people": tfds.features.FeaturesDict(people)})


_DTYPES = {"bytes": np.str_, "int": np.int64, "float": np.float32}


def _image_feature(name: str, kind: str) -> tfds.features.FeatureConnector:
    if name == "image":
        return tfds.features.Image(shape=(None, None, 3))
    if name in _LIST_FIELDS:
        return tfds.features.Tensor(shape=(None,), dtype=_DTYPES[kind])
    return tfds.features.Text() if kind == "bytes" else tfds.features.Scalar(_DTYPES[kind])


def _person_feature(kind: str, shape: Sequence, num_joints: int) -> tfds.features.FeatureConnector:
    sides = tuple(num_joints if size == "joints" else size for size in shape)
    return tfds.features.Tensor(shape=(None, *sides), dtype=_DTYPES[kind])


@dataclasses.dataclass(frozen=True)
class ShardExamples:
    """The records of one shard; tensorflow-datasets calls it, under Beam in another process.

    Attributes:
        annotations: Annotations of the images of the shard only, since Beam sends them to its workers.
        first_image: Position of the first image of the shard in the split.
        notes_file: File for the notes on the pictures of the shard.
        on_record: Function to call after each record, to show progress; None under Beam.
    """

    annotations: SplitAnnotations
    first_image: int
    notes_file: pathlib.Path
    on_record: Callable[[], Any] | None = None

    def __call__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the key and the content of each record."""
        notes = PictureNotes()
        with concurrent.futures.ThreadPoolExecutor(_NUM_READERS) as pool:
            images = range(self.annotations.num_images)
            for image, picture in _map_ahead(pool, self._read, images):
                yield self.first_image + image, self.annotations.example(image, picture.data, picture.size)
                notes.add(picture.notes, self.annotations.images["file_name"][image])
                if self.on_record is not None:
                    self.on_record()
        notes.write(self.notes_file)

    def _read(self, image: int) -> SourcePicture:
        return read_picture(self.annotations.image_paths[image], self.annotations.size_of(image))


def _map_ahead(
    pool: concurrent.futures.Executor, function: Callable[[int], Any], items: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Yields (item, function(item)) in order, with a bounded number of calls in progress."""
    remaining = iter(items)
    first = itertools.islice(remaining, _READ_AHEAD)
    waiting = collections.deque((item, pool.submit(function, item)) for item in first)
    try:
        while waiting:
            item, future = waiting.popleft()
            yield item, future.result()
            for following in itertools.islice(remaining, 1):
                waiting.append((following, pool.submit(function, following)))
    finally:
        for _, future in waiting:
            future.cancel()


def shard_ranges(num_bytes: np.ndarray, shard_bytes: int) -> list[range]:
    """Cuts a split into consecutive shards of about equal size, each with at least one image.

    Args:
        num_bytes: [I] sizes of the image files.
        shard_bytes: Desired size of a shard.
    """
    num_images = len(num_bytes)
    ends = np.cumsum(num_bytes)
    num_shards = min(num_images, max(1, int(np.ceil(ends[-1] / shard_bytes))))
    targets = ends[-1] * np.arange(1, num_shards) / num_shards
    cuts = np.searchsorted(ends, targets, side="left") + 1
    # Keeps every shard non-empty, even where a single image is larger than a shard.
    cuts = np.maximum.accumulate(np.maximum(cuts, np.arange(1, num_shards)) - np.arange(num_shards - 1))
    cuts = np.minimum(cuts + np.arange(num_shards - 1), num_images - np.arange(num_shards - 1, 0, -1))
    return [range(a, b) for a, b in itertools.pairwise([0, *cuts.tolist(), num_images])]


class PoseDatasetBuilder(  # type: ignore[call-arg]  # tensorflow-datasets has no types.
    tfds.core.ShardBasedBuilder, skip_registration=True
):
    """Writes splits that were read before, so that datasets differ only in how they are read.

    A dataset derives a class `Builder` from this one in a module `<dataset>/builder.py`. The name of the folder is the
    name of the dataset, and README.md and CITATIONS.bib beside the module become its description and citation.

    Records keep the order of their annotation files, so the frames of a video are adjacent; training shuffles them.
    Shards are written without an intermediate copy of all images, one at a time or under Beam.

    Attributes:
        HOMEPAGE: Address of the website of the dataset.
        VERSION: Version of the dataset; a new one is due when the same source gives other records.
        RELEASE_NOTES: What each version changed.
    """

    HOMEPAGE: ClassVar[str] = ""
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First layout."}
    # Nothing is downloaded. Without this tensorflow-datasets would look for a list of downloads by means of a package
    # that it does not install.
    url_infos: ClassVar[dict] = {}

    def __init__(
        self,
        *,
        splits: Mapping[str, SplitAnnotations],
        skeleton: Skeleton,
        metadata: Mapping[str, Any],
        data_dir: str | pathlib.Path,
        on_record: Callable[[], Any] | None = None,
    ) -> None:
        """Prepares the builder; `data_prep.writing.write_dataset` makes and runs it.

        Args:
            splits: Annotations by name of the split; no split is empty.
            skeleton: Skeleton of all keypoints.
            metadata: Further entries of metadata.json.
            data_dir: Folder to write <name>/<version> into.
            on_record: Function to call after each record.
        """
        self._splits = dict(splits)
        self._skeleton = skeleton
        self._metadata = dict(metadata)
        self._on_record = on_record
        self._notes_folder = pathlib.Path(data_dir) / NOTES_FOLDER
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = {"dataset": self.name, "skeleton": self._skeleton.to_dict(), **self._metadata}
        return self.dataset_info_from_configs(
            features=features_from_schema(self._skeleton.num_joints),
            metadata=tfds.core.MetadataDict(metadata),
            homepage=self.HOMEPAGE,
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[ShardExamples]]:
        return {
            name: [
                ShardExamples(
                    split.select(images),
                    images.start,
                    self._notes_folder / name / f"{images.start:09d}.json",
                    self._on_record,
                )
                for images in shard_ranges(image_bytes(split), SHARD_BYTES)
            ]
            for name, split in self._splits.items()
        }
