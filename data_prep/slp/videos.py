"""Finds the pictures of the videos that a SLEAP file names: video files, lists of images, and embedded images."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import h5py
import numpy as np

from data_prep.hdf5_files import Hdf5Reader, open_hdf5, text_of, whole_numbers
from data_prep.pictures import check_picture, encode_picture
from data_prep.stored_frames import FrameStore, StoredFrame, VideoFile
from tfpose.messages import quote
from tfpose.picture_files import decode_stored

# From this format on, files say in which order OpenCV was given the colors of embedded images.
_FIRST_FORMAT_WITH_COLOR_ORDER = 1.4
_EMBEDDED_NAME = re.compile(r"video(\d+)(?:/video)?")


@dataclasses.dataclass(frozen=True)
class SleapVideo:
    """A video of a SLEAP file.

    Attributes:
        name: File name of the video without its ending, or the folder of its images.
        store: File that holds the frames; None if they are image files.
        images: Image files of the frames; empty if there is a `store`.
        suffix: Ending of the names of frames that are in a `store`.
        files: By the names of video and image files in the SLEAP file, where they are.
    """

    name: str
    store: FrameStore | None = None
    images: tuple[pathlib.Path, ...] = ()
    suffix: str = ".jpg"
    files: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)

    def picture(self, frame: int) -> tuple[str, os.PathLike[str]]:
        """Returns the name of a frame for the records, and its picture."""
        if self.store is not None:
            return f"{self.name}/{frame:06d}{self.suffix}", StoredFrame(self.store, frame)
        return f"{self.name}/{self.images[frame].name}", self.images[frame]


@dataclasses.dataclass(frozen=True)
class EmbeddedImages:
    """The images of a video inside a SLEAP package.

    Attributes:
        path: The package.
        dataset: Name of the dataset with one encoded image in each row.
    """

    path: pathlib.Path
    dataset: str

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Reads images as they are in the file, see `stored_frames.FrameStore`."""
        with open_hdf5(self.path, "a SLEAP package") as reader:
            images = reader.dataset(self.dataset)
            rows = self._rows(reader, len(images))
            are_swapped = _are_swapped(reader, self.dataset)
            for number in numbers:
                if number not in rows:
                    raise ValueError(
                        f"{self.path}: {self.dataset!r} must hold frame {number} (counted from 0), which is labeled, "
                        f"got {len(rows)} other frames"
                    )
                place = f"{self.path}: {self.dataset}[{rows[number]}]"
                data = np.asarray(reader.row(images, rows[number]))
                if data.ndim != 1 or data.dtype.kind not in "iu" or data.dtype.itemsize != 1:
                    raise ValueError(f"{place}: must be an encoded image, got {data.dtype} of shape {data.shape}")
                # Rows of equal length are filled up with zeros; neither JPEG nor PNG ends with zeros.
                picture = data.tobytes().rstrip(b"\0")
                kind = check_picture(picture, place).kind
                yield number, _with_swapped_colors(picture, place, kind) if are_swapped else picture

    def _rows(self, reader: Hdf5Reader, count: int) -> dict[int, int]:
        """Returns the row of each frame."""
        name = f"{self.dataset.rpartition('/')[0]}/frame_numbers"
        if reader.find(name) is None:
            return {row: row for row in range(count)}
        numbers = whole_numbers(reader.array(name).reshape(-1), f"{self.path}: {name!r}", 0, 1 << 53)
        if len(numbers) != count:
            raise ValueError(f"{self.path}: {name!r} must hold {count} numbers, one for each image, got {len(numbers)}")
        return {int(number): row for row, number in enumerate(numbers)}


def _are_swapped(reader: Hdf5Reader, dataset: str) -> bool:
    """Returns whether images show red as blue: SLEAP gives OpenCV the colors in the order that OpenCV does not expect.

    Files of sleap-io say so in `channel_order`: 'BGR' if OpenCV encoded the image, 'RGB' if another library did.
    """
    order = text_of(reader.attribute(dataset, "channel_order"))
    if order is not None:
        return order == "BGR"
    return format_of(reader) < _FIRST_FORMAT_WITH_COLOR_ORDER


def format_of(reader: Hdf5Reader) -> float:
    """Returns the version of the layout of a SLEAP file; 0 for a file of before there were versions."""
    value = reader.attribute("metadata", "format_id")
    try:
        return 0.0 if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{reader.path}: 'format_id' must be a number, got {quote(value)}") from error


def _with_swapped_colors(picture: bytes, place: str, kind: str) -> bytes:
    """Returns a picture with red and blue exchanged; a gray picture as it is."""
    image = decode_stored(picture, place, cv2.IMREAD_UNCHANGED)
    if image.ndim < 3 or image.shape[2] != 3 or np.array_equal(image[..., 0], image[..., 2]):
        return picture
    return encode_picture(np.ascontiguousarray(image[..., ::-1]), kind)


def video_id(video: Any, position: int) -> int:
    """Returns the number by which the table `frames` names a video: that of its embedded images, or else its place."""
    backend = video.get("backend") if isinstance(video, dict) else None
    dataset = backend.get("dataset") if isinstance(backend, dict) else None
    match = _EMBEDDED_NAME.fullmatch(dataset) if isinstance(dataset, str) else None
    return int(match[1]) if match else position


def find_video(reader: Hdf5Reader, video: Any, position: int) -> SleapVideo:
    """Finds a video by its description in a SLEAP file.

    The path in the file is often that of another computer. Then the end of the path is looked for beside the SLEAP
    file: `videos/clip.mp4` and `clip.mp4` for `/home/somebody/videos/clip.mp4`.

    Args:
        reader: The SLEAP file.
        video: Description of the video.
        position: Position of the video in the file, for messages.

    Raises:
        FileNotFoundError: The video or an image is not found.
        ValueError: The description is not valid, or the video is of a kind that cannot be read.
    """
    where = f"{reader.path}: video {position}"
    backend = video.get("backend", video) if isinstance(video, dict) else None
    if not isinstance(backend, dict):
        raise ValueError(f"{where} must be an object with a 'backend', got {quote(video)}")
    names = backend.get("filenames") or backend.get("filename", video.get("filename"))
    if isinstance(names, list):
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"{where}: 'filenames' must be a list of names, got {quote(names)}")
        images = tuple(_find_file(reader.path, name, where) for name in names)
        files = dict(zip(names, images, strict=True))
        return SleapVideo(images[0].parent.name or "images", images=images, files=files)
    if not isinstance(names, str) or not names:
        raise ValueError(f"{where}: 'filename' must be a name, got {quote(names)}")
    path = reader.path if names == "." else _find_file(reader.path, names, where)
    dataset = backend.get("dataset")
    if dataset and isinstance(dataset, str):
        return _embedded_video(reader, path, dataset, where)
    if h5py.is_hdf5(path):
        raise ValueError(f"{where} must be a video file or hold images, got {path} without a 'dataset' in it")
    return SleapVideo(path.stem, VideoFile(path, reader.path, _size_of(backend)), files={names: path})


def _size_of(backend: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the (height, width) of the frames of a video; zeros if the file does not say it."""
    shape = backend.get("shape")
    if not (isinstance(shape, list) and len(shape) == 4 and all(type(side) is int and side > 0 for side in shape)):
        return 0, 0
    return shape[1], shape[2]


def check_files_are_distinct(labels: pathlib.Path, videos: Iterable[SleapVideo]) -> None:
    """Checks that no file stands for two files of another computer, such as a/clip.mp4 and b/clip.mp4.

    Raises:
        ValueError: One does; its frames would be those of the wrong video.
    """
    names: dict[pathlib.Path, str] = {}
    for video in videos:
        for name, path in video.files.items():
            if (other := names.setdefault(path, name)) != name:
                raise ValueError(
                    f"{labels}: {quote(other)} and {quote(name)} must be different files, got {path} for both; put "
                    f"each into its folder beside {labels.name}"
                )


def _embedded_video(reader: Hdf5Reader, path: pathlib.Path, dataset: str, where: str) -> SleapVideo:
    """Returns the video of a dataset in the SLEAP file or in another one."""
    if path != reader.path:
        with open_hdf5(path, "a SLEAP package") as other:
            return _embedded_video(other, path, dataset, where)
    name = dataset if dataset.endswith("/video") or reader.find(f"{dataset}/video") is None else f"{dataset}/video"
    images = reader.dataset(name)
    if images.ndim > 2:
        raise ValueError(
            f"{where}: {name!r} in {path} must hold encoded images, got raw pixels of shape {images.shape}; save the "
            "labels with images as a package (.pkg.slp)"
        )
    source = text_of(reader.attribute(f"{name.rpartition('/')[0]}/source_video", "json")) or ""
    match = re.search(r'"filename": ?"((?:[^"\\]|\\.)+)"', source)
    stem = pathlib.PurePath(match[1].replace("\\\\", "/")).stem if match else ""
    suffix = ".png" if text_of(reader.attribute(name, "format")) == "png" else ".jpg"
    return SleapVideo(stem or name.split("/")[0], EmbeddedImages(path, name), suffix=suffix)


def _find_file(labels: pathlib.Path, name: str, where: str) -> pathlib.Path:
    """Returns the path of a file by its path in a SLEAP file."""
    parts = name.replace("\\", "/").split("/")
    places = [
        labels.parent / name,
        *(labels.parent.joinpath(*parts[first:]) for first in range(len(parts)) if parts[first]),
    ]
    try:
        for place in places:
            if place.is_file():
                return place
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: must be the name of a file, got {quote(name)}") from error
    raise FileNotFoundError(
        f"{where}: file not found: {name}; put {parts[-1]} into the folder of {labels.name}, or save the labels with "
        "images as a package (.pkg.slp)"
    )
