"""The dataset builder that all datasets share: writes records as shards with tensorflow-datasets."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_prep.annotations import SplitAnnotations
from data_prep.shard_files import ShardExamples, SplitFiles, write_splits
from data_prep.writing import NOTES_FOLDER, image_bytes
from tfpose.data.record_index import index_path
from tfpose.data.records import IMAGE_FIELDS, LIST_FIELDS, PERSON_FIELDS
from tfpose.skeletons import Skeleton

SHARD_BYTES = 128 << 20


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
    if name in LIST_FIELDS:
        return tfds.features.Tensor(shape=(None,), dtype=_DTYPES[kind])
    return tfds.features.Text() if kind == "bytes" else tfds.features.Scalar(_DTYPES[kind])


def _person_feature(kind: str, shape: Sequence, num_joints: int) -> tfds.features.FeatureConnector:
    sides = tuple(num_joints if size == "joints" else size for size in shape)
    return tfds.features.Tensor(shape=(None, *sides), dtype=_DTYPES[kind])


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


class _LocalInfo(tfds.core.DatasetInfo):
    """Facts about a dataset that nobody published: they are looked for on no server."""

    def initialize_from_bucket(self) -> None:
        """Does nothing; tensorflow-datasets would leave an empty temporary folder."""


class PoseDatasetBuilder(  # type: ignore[call-arg]  # tensorflow-datasets has no types.
    tfds.core.ShardBasedBuilder, skip_registration=True
):
    """Writes splits that were read before, so that datasets differ only in how they are read.

    A dataset derives a class `Builder` from this one in a module `<dataset>/builder.py`. The name of the folder is the
    name of the dataset, and README.md and CITATIONS.bib beside the module become its description and citation.

    Records keep the order of their annotation files, so the frames of a video are adjacent; training shuffles them.
    Shards are written without an intermediate copy of all images, in several processes or under Beam.

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
        on_record: Callable[[], Any] = lambda: None,
    ) -> None:
        """Prepares the builder; `data_prep.writing.write_dataset` makes and runs it.

        Args:
            splits: Annotations by name of the split; no split is empty.
            skeleton: Skeleton of all keypoints.
            metadata: Further entries of metadata.json.
            data_dir: Folder to write <name>/<version> into.
            on_record: Function to call after each record, but not under Beam.
        """
        self._splits = dict(splits)
        self._skeleton = skeleton
        self._metadata = dict(metadata)
        self._on_record = on_record
        self._notes_folder = pathlib.Path(data_dir) / NOTES_FOLDER
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = {"dataset": self.name, "skeleton": self._skeleton.to_dict(), **self._metadata}
        published = self.get_metadata()
        return _LocalInfo(
            builder=self,
            description=published.description,
            citation=published.citation,
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
                    self._skeleton.num_joints,
                    self._notes_folder / name / f"{images.start:09d}.json",
                )
                for images in shard_ranges(image_bytes(split), SHARD_BYTES)
            ]
            for name, split in self._splits.items()
        }

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        """Writes the records; tensorflow-datasets calls it, and describes the splits in files of its own."""
        if download_config is not None and download_config.beam_runner is not None:
            super()._download_and_prepare(dl_manager, download_config)
            return
        shards = self._shard_iterators_per_split(dl_manager)
        splits = {name: self._split_files(name, shards[name]) for name in shards}
        write_splits(list(splits.values()), self._on_record)
        infos = [
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=[shard.annotations.num_images for shard in files.shards],
                num_bytes=sum(path.stat().st_size for path in files.paths),
                filename_template=self._template(name),
            )
            for name, files in splits.items()
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))

    def _split_files(self, name: str, shards: Sequence[ShardExamples]) -> SplitFiles:
        paths = [pathlib.Path(path) for path in self._template(name).sharded_filepaths(len(shards))]
        return SplitFiles(self._splits[name], shards, paths, index_path(paths, name))

    def _template(self, split: str) -> tfds.core.ShardedFileTemplate:
        return tfds.core.ShardedFileTemplate(
            data_dir=self.data_path, dataset_name=self.name, split=split, filetype_suffix="tfrecord"
        )
