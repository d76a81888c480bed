"""The pictures and videos that a teacher labels, as sources of frames and as images of records."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import cv2

from data_prep.pictures import encode_picture, read_picture
from data_prep.stored_frames import StoredFrame, VideoFile
from tfpose.picture_files import decode_upright, picture_kind
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.pictures import PICTURE_SUFFIXES, Pictures
from tfpose.prediction.sources import Source, open_sources, silence_opencv

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
# Files that records hold as they are.
_COPIED_KINDS = ("JPEG", "PNG")


def choose_splits(names: Sequence[str], val_share: float) -> list[str]:
    """Returns the split of each image or video, train or val. The names decide, and no random number.

    Raises:
        ValueError: There are too few images and videos for two splits.
    """
    if not val_share:
        return ["train"] * len(names)
    if len(names) < 2:
        raise ValueError(f"--val_share must be 0 for a single image or video, got {val_share}")
    count = min(max(round(val_share * len(names)), 1), len(names) - 1)
    order = sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest())
    chosen = set(order[:count])
    return ["val" if row in chosen else "train" for row in range(len(names))]


def open_inputs(path: pathlib.Path, every: int) -> list[Source]:
    """Opens a folder of images and videos, or one file.

    Args:
        path: Value of --source.
        every: Step between the frames of videos that are taken. All images are taken.

    Raises:
        FileNotFoundError: The folder holds neither images nor videos.
        ValueError: A video cannot be opened, or two sources have the same name.
    """
    silence_opencv()
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    videos = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()]
    has_pictures = any(entry.suffix.lower() in PICTURE_SUFFIXES for entry in entries)
    sources = open_sources([str(path)], FrameSpan()) if has_pictures or not videos else []
    for video in videos:
        sources += open_sources([str(video)], FrameSpan(every=every))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--source: images and videos must have different names, got two called {name!r}")
    return sources


@dataclasses.dataclass(frozen=True)
class OtherPicture:
    """An image file of a kind that records cannot hold, as a file of one frame, see `stored_frames.FrameStore`."""

    path: pathlib.Path

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yields the image as a JPEG file."""
        image = decode_upright(self.path.read_bytes(), self.path)
        for number in numbers:
            yield number, encode_picture(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "JPEG")


def files_of_images(source: Source) -> dict[str, pathlib.Path]:
    """Returns the files of the images of a source by their names; none for a video."""
    return dict(zip(source.names, source.paths, strict=True)) if isinstance(source, Pictures) else {}


def image_of_record(
    source: Source, frame: SourceFrame, files: Mapping[str, pathlib.Path], teacher: str
) -> os.PathLike[str]:
    """Returns where the builder finds the image of a frame.

    Args:
        source: Source of the frame.
        frame: The frame.
        files: Result of `files_of_images`.
        teacher: Name of the teacher, for messages.

    Raises:
        ValueError: The image file is cut short: the prediction takes what is there, records do not.
    """
    if frame.name not in files:
        return StoredFrame(VideoFile(source.paths[0], pathlib.Path(teacher)), frame.index)
    path = files[frame.name]
    with path.open("rb") as file:
        is_copied = picture_kind(file.read(16)) in _COPIED_KINDS
    if not is_copied:
        return StoredFrame(OtherPicture(path), 0)
    height, width = frame.image.shape[:2]
    read_picture(path, (height, width))
    return path
