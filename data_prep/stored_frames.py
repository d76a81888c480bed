"""Labeled frames that are no image files: frames of videos, and images inside other files.

They are written as image files into a temporary folder when the dataset is written.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.annotations import SplitAnnotations
from data_prep.pictures import encode_picture
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.sources import open_decoder


class FrameStore(Protocol):
    """A file that holds frames. Equal stores hold the same frames."""

    @property
    def path(self) -> pathlib.Path:
        """The file."""

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yields the numbers of frames and their pictures as JPEG or PNG files, in rising order.

        Raises:
            ValueError: A frame is missing or cannot be decoded; the message names the file and the frame.
        """


@dataclasses.dataclass(frozen=True)
class StoredFrame(os.PathLike):
    """A frame inside a file; as a path, it is this file.

    Attributes:
        store: The file.
        number: Number of the frame in it.
    """

    store: FrameStore
    number: int

    def __fspath__(self) -> str:
        return os.fspath(self.store.path)


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file whose frames are labeled.

    Attributes:
        path: The video.
        labels: File of the labels, for messages.
        size: (height, width) of the frames in pixels by the labels; zeros if they do not say it.
    """

    path: pathlib.Path
    labels: pathlib.Path
    size: tuple[int, int] = (0, 0)

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Decodes frames and encodes them as JPEG, see `FrameStore`."""
        decoder = open_decoder(str(self.path))
        missing, problems = set(numbers), list[str]()
        last = -1
        for frame in decoder.frames(FrameSpan(end=max(numbers) + 1), problems):
            last = frame.index
            height, width = frame.image.shape[:2]
            if self.size not in ((0, 0), (height, width)):
                raise ValueError(
                    f"{self.path}: frames must have {self.size[1]}x{self.size[0]} pixels as in {self.labels}, got "
                    f"{width}x{height}; it may be another video of this name"
                )
            if frame.index in missing:
                missing.remove(frame.index)
                yield frame.index, encode_picture(cv2.cvtColor(np.asarray(frame.image), cv2.COLOR_RGB2BGR), "JPEG")
        if missing:
            found = problems[0] if problems else f"{last + 1} frames"
            raise ValueError(
                f"{self.path}: must have frame {min(missing)} (counted from 0), which {self.labels} labels, got {found}"
            )


def write_stored_frames(splits: Mapping[str, SplitAnnotations], folder: pathlib.Path) -> dict[str, SplitAnnotations]:
    """Writes the frames that are no image files into a folder.

    Args:
        splits: Annotations by name of the split.
        folder: Folder for the image files; made if there are any.

    Returns:
        The annotations with the paths of the image files.

    Raises:
        ValueError: A frame cannot be read.
    """
    stored = {
        frame: folder for split in splits.values() for frame in split.image_paths if isinstance(frame, StoredFrame)
    }
    if not stored:
        return dict(splits)
    by_store: dict[FrameStore, list[int]] = {}
    for frame in stored:
        by_store.setdefault(frame.store, []).append(frame.number)
    with tqdm(total=len(stored), unit=" frames", desc="decoding") as progress:
        for place, (store, numbers) in enumerate(by_store.items()):
            (folder / str(place)).mkdir(parents=True)
            for number, picture in store.read(sorted(numbers)):
                path = folder / str(place) / f"{number:09d}"
                path.write_bytes(picture)
                stored[StoredFrame(store, number)] = path
                progress.update()
    return {
        name: dataclasses.replace(
            split,
            image_paths=[stored[path] if isinstance(path, StoredFrame) else path for path in split.image_paths],
        )
        for name, split in splits.items()
    }
