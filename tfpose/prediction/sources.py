"""Reads images, videos and cameras as frames.

Frames are upright, because networks were trained on people who stand: the orientation that a phone stores in an image
or video is applied. `data.pictures` ignores it, as the annotations of COCO and PoseTrack do.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import pathlib
import re
import time
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from tfpose.file_names import utf8_name

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# Frame rate of a video that states none, or one that is above the largest plausible rate.
DEFAULT_RATE = 25.0
_MOST_RATE = 240.0
# Some headers derive the number of frames from duration and frame rate, and are wrong by a few frames.
_SHARE_OF_PROMISED_FRAMES = 0.9


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """A decoded frame.

    Attributes:
        index: Index of the image, or of the frame in the video, from 0.
        name: Name of the image file, or a name made from the video's name and the index.
        image: Pixels [H, W, 3] uint8 RGB.
        seconds: Time since the start of the video; 0 for images.
    """

    index: int
    name: str
    image: np.ndarray
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class FrameSpan:
    """Selection of frames, counted from 0.

    Attributes:
        start: Index of the first frame.
        end: Index after the last frame; None selects all frames from `start` on.
        every: Step between frames; 2 selects every other frame.

    Raises:
        ValueError: A value is out of its range; the message names the flag.
    """

    start: int = 0
    end: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"--start must be at least 0, got {self.start}")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"--end must be above --start={self.start}, got {self.end}")
        if self.every < 1:
            raise ValueError(f"--every must be at least 1, got {self.every}")

    def __contains__(self, index: int) -> bool:
        return self.start <= index and not self.is_over(index) and (index - self.start) % self.every == 0

    def is_over(self, index: int) -> bool:
        """Returns whether neither this frame nor a later one is selected."""
        return self.end is not None and index >= self.end

    def count(self, num_frames: int) -> int:
        """Returns how many of `num_frames` frames are selected."""
        stop = num_frames if self.end is None else min(self.end, num_frames)
        return len(range(self.start, stop, self.every))


class Pictures:
    """Image files, in the order of the numbers in their names.

    Attributes:
        name: Name for the results.
        paths: Paths of the selected files, in order.
        problems: Descriptions of files that could not be decoded, one line each.
    """

    is_video = is_live = False
    frames_per_second = DEFAULT_RATE

    def __init__(self, name: str, paths: Sequence[pathlib.Path], span: FrameSpan | None = None) -> None:
        """Sorts the files.

        Args:
            name: Name for the results.
            paths: Paths of the files.
            span: Selection of the files; None selects all.

        Raises:
            ValueError: No file is selected.
        """
        span = span or FrameSpan()
        ordered = sorted(paths, key=lambda path: _natural_key(str(path)))
        self.name = name
        self.paths = [path for index, path in enumerate(ordered) if index in span]
        if not self.paths:
            raise ValueError(f"--start must be below {len(ordered)}, the number of images, got {span.start}")
        self._root = pathlib.Path(os.path.commonpath([path.resolve().parent for path in self.paths]))
        self.problems: list[str] = []

    @property
    def num_frames(self) -> int:
        """The number of images."""
        return len(self.paths)

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the images. Those that cannot be decoded are left out and named in `problems`."""
        self.problems = []
        for index, path in enumerate(self.paths):
            name = path.resolve().relative_to(self._root).as_posix()
            try:
                yield SourceFrame(index, name, read_picture(path))
            except (OSError, ValueError) as error:
                self.problems.append(str(error))


def read_picture(path: pathlib.Path) -> np.ndarray:
    """Reads an image file as upright pixels [H, W, 3] uint8 RGB.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is no image, or a truncated or corrupt one.
    """
    image = None
    if data := path.read_bytes():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # The image has more pixels than OpenCV accepts.
            image = None
    if image is None:
        raise ValueError(f"{path}: cannot be decoded as an image (truncated, corrupt or of another format)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class Video:
    """A video file, a camera or a stream.

    Attributes:
        name: Name for the results.
        is_live: Whether it is a camera or stream, whose frames can be read only once.
        paths: Path of the video file; empty for a camera or stream.
        problems: Descriptions of damage, one line each.
        source_rate: Frame rate of the video.
        frames_per_second: Frame rate of the selected frames.
    """

    is_video = True

    def __init__(self, name: str, address: str | int, span: FrameSpan | None = None, is_live: bool = False) -> None:
        """Opens the video.

        Args:
            name: Name for the results.
            address: Path, URL, or number of a camera.
            span: Selection of the frames; None selects all.
            is_live: Whether it is a camera or stream, whose frames can be read only once.

        Raises:
            ValueError: It cannot be opened, has no frame, or ends before `span.start`.
        """
        self.name, self.is_live = name, is_live
        self.paths = [] if is_live else [pathlib.Path(str(address))]
        self._address, self._span = address, span or FrameSpan()
        self.problems: list[str] = []
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.source_rate = float(rate) if 0 < rate <= _MOST_RATE else DEFAULT_RATE
        self.frames_per_second = self.source_rate / self._span.every
        self._promised = 0 if is_live else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        # A camera stays open until its frames are read.
        self._capture = capture if is_live else None
        if not is_live:
            self._check_frames(capture)

    @property
    def num_frames(self) -> int | None:
        """The number of selected frames; None if it is not known."""
        return self._span.count(self._promised) or None

    @property
    def start_seconds(self) -> float:
        """The time of the first selected frame in the video."""
        return self._span.start / self.source_rate

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the selected frames. If the file has fewer frames than it claims, `problems` tells."""
        capture, self._capture = self._capture or self._open(), None
        self.problems = []
        begin = time.monotonic()
        try:
            for index in itertools.count():
                if self._span.is_over(index):
                    return
                if not capture.grab():
                    break
                if index not in self._span:
                    continue
                is_decoded, image = capture.retrieve()
                if not is_decoded:
                    break
                seconds = time.monotonic() - begin if self.is_live else index / self.source_rate
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield SourceFrame(index, f"{self.name}/{index:06d}.jpg", image, seconds)
            if index < _SHARE_OF_PROMISED_FRAMES * self._promised:
                self.problems.append(f"{self._address}: ends after {index} of {self._promised} frames; it is damaged")
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self._address, int):
            capture = cv2.VideoCapture(self._address)
        else:
            with utf8_name(self._address) as name:
                capture = cv2.VideoCapture(name)
        if not capture.isOpened():
            if isinstance(self._address, int):
                raise ValueError(f"camera {self._address}: cannot be opened; check its number, and that you may use it")
            raise ValueError(f"{self._address}: cannot be opened as a video (damaged, or a format unknown to OpenCV)")
        return capture

    def _check_frames(self, capture: cv2.VideoCapture) -> None:
        """Checks that there is a first frame, and that `span` selects frames; a header alone proves nothing."""
        has_frame = capture.read()[0]
        capture.release()
        if not has_frame:
            raise ValueError(f"{self._address}: must be a video, got no frame that can be decoded")
        if self._promised and not self._span.count(self._promised):
            rule = f"must be below {self._promised}, the number of frames of {self._address}"
            raise ValueError(f"--start {rule}, got {self._span.start}")


Source = Pictures | Video


def open_sources(inputs: Sequence[str], span: FrameSpan | None = None) -> list[Source]:
    """Opens the sources that the arguments of the command line name.

    Args:
        inputs: Image files, folders of images and patterns such as 'frames/*.jpg', which together are one source; and
            videos, addresses of streams and numbers of cameras, each a source of its own.
        span: Selection of the frames of each source; None selects all.

    Raises:
        FileNotFoundError: A file does not exist, or a folder holds no image.
        ValueError: A video cannot be opened, two sources have the same name, or `span` selects no frame.
    """
    pictures: list[pathlib.Path] = []
    videos: list[Source] = []
    folders: list[pathlib.Path] = []
    for text in inputs:
        path = pathlib.Path(text).expanduser()
        if path.is_dir():
            folders.append(path)
            pictures += _pictures_in(path)
        elif path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
            pictures.append(path)
        elif path.is_file():
            videos.append(Video(path.stem, str(path), span))
        elif text.isdecimal():
            videos.append(Video(f"camera{text}", int(text), span, is_live=True))
        elif "://" in text:
            videos.append(Video(_stream_name(text), text, span, is_live=True))
        else:
            pictures += _matching_pictures(text)
    name = _pictures_name(pictures, folders)
    sources = [*([Pictures(name, list(dict.fromkeys(pictures)), span)] if pictures else []), *videos]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"inputs must have different names, got two that are called {name!r}; give one at a time")
    return sources


def _pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise FileNotFoundError(f"{folder}: must hold images ({', '.join(PICTURE_SUFFIXES)}), got none")
    return pictures


def _matching_pictures(pattern: str) -> list[pathlib.Path]:
    if not glob.has_magic(pattern):
        raise FileNotFoundError(f"{pattern}: there is no such file or folder")
    found = (pathlib.Path(match) for match in glob.glob(os.path.expanduser(pattern), recursive=True))
    pictures = [path for path in found if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise FileNotFoundError(f"{pattern}: must match images ({', '.join(PICTURE_SUFFIXES)}), got none")
    return pictures


def _pictures_name(pictures: Sequence[pathlib.Path], folders: Sequence[pathlib.Path]) -> str:
    if len(pictures) == 1 and not folders:
        return pictures[0].stem
    parents = {path.resolve().parent for path in pictures}
    return (parents.pop().name if len(parents) == 1 else "") or "pictures"


def _stream_name(url: str) -> str:
    return re.sub(r"\W+", "_", url.rsplit("/", 1)[-1].split("?")[0]).strip("_") or "stream"


def _natural_key(text: str) -> list[tuple[int, int, str]]:
    """Returns a key that sorts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]


def silence_opencv() -> None:
    """Silences OpenCV's and FFmpeg's own messages about damaged files, for which the programs print one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
