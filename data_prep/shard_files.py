"""Writes the shards of a dataset and their indexes, in copies of this process where this is faster."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import mmap
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from data_prep.annotations import SplitAnnotations
from data_prep.picture_notes import PictureNotes
from data_prep.pictures import SourcePicture, read_picture
from tfpose.data.record_encoding import RecordEncoder
from tfpose.data.record_files import FOOTER_BYTES, HEADER_BYTES, write_record
from tfpose.data.record_index import RecordPlaces, split_regions, write_annotations, write_places
from tfpose.data.records import IMAGE_FIELDS, LIST_FIELDS, PERSON_FIELDS
from tfpose.processes import MOST_ITEMS, choose_num_processes, map_forked

# Reading waits for the disk (or the network behind it), not for the processor.
_NUM_READERS = 8
# A thread reads several pictures at a time, since taking turns at the processor costs more than reading one.
_READ_TOGETHER = 8
# Starting a process takes about as long as writing so many pictures.
IMAGES_PER_PROCESS = 500
# Columns of the index that are known once the pictures were read.
_SIZE_COLUMNS = ("height", "width")

OnRecord = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class ShardContent:
    """What the records of a shard turned out to be.

    Attributes:
        sizes: [I, 2] int64 (height, width) of the images in pixels.
        lengths: [I] int64 sizes of the records in bytes.
    """

    sizes: np.ndarray
    lengths: np.ndarray


@dataclasses.dataclass(frozen=True)
class ShardExamples:
    """The records of one shard. Under Beam tensorflow-datasets calls it, in another process, and writes the records.

    Attributes:
        annotations: Annotations of the images of the shard only, since Beam sends them to its workers.
        first_image: Position of the first image of the shard in the split.
        num_joints: Number of joints of the skeleton.
        notes_file: File for the notes on the pictures of the shard.
    """

    annotations: SplitAnnotations
    first_image: int
    num_joints: int
    notes_file: pathlib.Path

    def __call__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the key and the content of each record."""
        for image, picture in self._pictures():
            yield self.first_image + image, self.annotations.example(image, picture.data, picture.size)

    def write(self, path: pathlib.Path, on_record: OnRecord) -> ShardContent:
        """Writes the same records as tensorflow-datasets would, in a fraction of the time.

        Args:
            path: TFRecord file.
            on_record: Function to call after each record, to show progress.
        """
        split = self.annotations
        encoder = RecordEncoder(split.images, split.people, split.first_person, self.num_joints)
        sizes, lengths = [], []
        with open(path, "wb") as file:
            for image, picture in self._pictures():
                lengths.append(write_record(file, encoder.encode(image, picture.data, picture.size)))
                sizes.append(picture.size)
                on_record()
        return ShardContent(np.array(sizes, np.int64), np.array(lengths, np.int64))

    def _pictures(self) -> Iterator[tuple[int, SourcePicture]]:
        """Yields the position and the picture of each image; writes the notes on all pictures in the end."""
        notes = PictureNotes()
        images = range(self.annotations.num_images)
        parts = [images[first : first + _READ_TOGETHER] for first in images[::_READ_TOGETHER]]
        with concurrent.futures.ThreadPoolExecutor(_NUM_READERS) as pool:
            for part, pictures in _map_ahead(pool, self._read, parts):
                for image, picture in zip(part, pictures, strict=True):
                    yield image, picture
                    notes.add(picture.notes, self.annotations.images["file_name"][image])
        notes.write(self.notes_file)

    def _read(self, images: range) -> list[SourcePicture]:
        paths = self.annotations.image_paths
        return [read_picture(paths[image], self.annotations.size_of(image)) for image in images]


def _map_ahead(
    pool: concurrent.futures.Executor, function: Callable[[range], Any], items: Sequence[range]
) -> Iterator[tuple[range, Any]]:
    """Yields (item, function(item)) in order, with a bounded number of calls in progress."""
    remaining = iter(items)
    first = itertools.islice(remaining, _NUM_READERS)
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


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """The files of a split to write.

    Attributes:
        annotations: Annotations of all images.
        shards: The records of each shard.
        paths: The TFRecord file of each shard.
        index: File of the index.
    """

    annotations: SplitAnnotations
    shards: Sequence[ShardExamples]
    paths: Sequence[pathlib.Path]
    index: pathlib.Path

    def begin_index(self) -> None:
        """Writes what the index says of the annotations."""
        columns = self.annotations.images
        images: dict[str, Any] = {
            name: columns[name] if kind == "bytes" else np.array(columns[name], np.int64)
            for name, kind in IMAGE_FIELDS.items()
            if name not in ("image", *_SIZE_COLUMNS, *LIST_FIELDS)
        }
        images["ignore_regions"] = list(map(split_regions, columns["ignore_points"], columns["ignore_lengths"]))
        dtypes = {"bytes": object, "int": np.int64, "float": np.float32}
        people = {
            name: np.asarray(self.annotations.people[name], dtypes[kind]) for name, (kind, _) in PERSON_FIELDS.items()
        }
        write_annotations(self.index, images, people, self.annotations.first_person)

    def complete_index(self, contents: Sequence[ShardContent]) -> None:
        """Adds to the index what the records turned out to be."""
        places = RecordPlaces(
            shard=np.repeat(np.arange(len(contents)), [len(content.lengths) for content in contents]),
            offset=np.concatenate([_offsets(content.lengths) for content in contents]),
            length=np.concatenate([content.lengths for content in contents]),
        )
        sizes = np.concatenate([content.sizes for content in contents])
        write_places(self.index, self.paths, places, dict(zip(_SIZE_COLUMNS, sizes.T, strict=True)))


def _offsets(lengths: np.ndarray) -> np.ndarray:
    """Returns the byte at which the data of each record begin, [I], from the sizes of the data [I]."""
    ends = np.cumsum(lengths + HEADER_BYTES + FOOTER_BYTES)
    return ends - lengths - FOOTER_BYTES


def write_splits(splits: Sequence[SplitFiles], on_record: OnRecord) -> None:
    """Writes the shards and the indexes of splits.

    Copies of this process write them if there are several cores, enough images and several shards. The files do not
    depend on that.

    Args:
        splits: Files to write.
        on_record: Function to call after each record, to show progress.

    Raises:
        ValueError: An image is not valid.
        OSError: An image cannot be read, or a file cannot be written.
    """
    jobs: list[_Job] = [functools.partial(_begin_index, split) for split in splits]
    jobs += [
        functools.partial(shard.write, path)
        for split in splits
        for shard, path in zip(split.shards, split.paths, strict=True)
    ]
    num_images = sum(split.annotations.num_images for split in splits)
    contents = iter(_run(jobs, num_images, on_record)[len(splits) :])
    for split in splits:
        split.complete_index(list(itertools.islice(contents, len(split.shards))))


_Job = Callable[[OnRecord], Any]


def _begin_index(split: SplitFiles, _: OnRecord) -> None:
    split.begin_index()


def _run(jobs: Sequence[_Job], num_images: int, on_record: OnRecord) -> list[Any]:
    """Returns the results of jobs that write so many records in all."""
    most_useful = min(len(jobs), num_images // IMAGES_PER_PROCESS) if len(jobs) <= MOST_ITEMS else 1
    num_processes = choose_num_processes(None, most_useful)
    if num_processes == 1:
        return [job(on_record) for job in jobs]
    # Memory that the copies share: the records that each job has written.
    counts = np.frombuffer(mmap.mmap(-1, len(jobs) * 8), np.int64)
    num_shown = 0

    def work(position: int) -> Any:
        def count() -> None:
            counts[position] += 1

        return jobs[position](count)

    def show() -> None:
        nonlocal num_shown
        for _ in range(int(counts.sum()) - num_shown):
            num_shown += 1
            on_record()

    results = list(map_forked(work, range(len(jobs)), num_processes, show))
    show()
    return results
