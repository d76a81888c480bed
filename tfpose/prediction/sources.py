"""Pictures, videos and cameras as frames.

Frames are upright: unlike the annotations of COCO and PoseTrack, which `data.pictures` goes by, the orientation that a
phone has stored in a picture or video is applied, since networks know people who stand.
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

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# Of a file that states none, or one that no camera has.
DEFAULT_RATE = 25.0
_MOST_RATE = 240.0
# Headers that count frames by duration and rate are off by a few.
_SHARE_OF_PROMISED_FRAMES = 0.9


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """A decoded frame.

    Attributes:
        index: of the picture, or of the frame in the video, from 0.
        name: of its file; those of videos are made up.
        image: [H, W, 3] uint8 RGB.
        seconds: since the start of the video; 0 for pictures.
    """

    index: int
    name: str
    image: np.ndarray
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class FrameSpan:
    """Which frames are wanted, counted from 0.

    Attributes:
        start: the first.
        end: the one after the last; None for all.
        every: 2 takes every other one.

    Raises:
        ValueError: naming the flag, its rule and the value.
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
        """Whether neither this frame nor a later one is wanted."""
        return self.end is not None and index >= self.end

    def count(self, num_frames: int) -> int:
        """How many of so many frames are wanted."""
        stop = num_frames if self.end is None else min(self.end, num_frames)
        return len(range(self.start, stop, self.every))


class Pictures:
    """Picture files, in the order of the numbers in their names."""

    is_video = is_live = False
    frames_per_second = DEFAULT_RATE

    def __init__(self, name: str, paths: Sequence[pathlib.Path], span: FrameSpan | None = None) -> None:
        """Sorts the files.

        Args:
            name: for the results.
            paths: of the files.
            span: which of them.

        Raises:
            ValueError: none is wanted.
        """
        span = span or FrameSpan()
        ordered = sorted(paths, key=lambda path: _natural_key(str(path)))
        self.name = name
        self.paths = [path for index, path in enumerate(ordered) if index in span]
        if not self.paths:
            raise ValueError(f"--start={span.start}: there are only {len(ordered)} pictures")
        self._root = pathlib.Path(os.path.commonpath([path.resolve().parent for path in self.paths]))
        self.problems: list[str] = []

    @property
    def num_frames(self) -> int:
        """How many pictures there are."""
        return len(self.paths)

    def frames(self) -> Iterator[SourceFrame]:
        """The pictures; those that cannot be decoded are left out and named in `problems`."""
        self.problems = []
        for index, path in enumerate(self.paths):
            name = path.resolve().relative_to(self._root).as_posix()
            try:
                yield SourceFrame(index, name, read_picture(path))
            except (OSError, ValueError) as error:
                self.problems.append(str(error))


def read_picture(path: pathlib.Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB of a picture file, upright.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no picture, or a truncated or corrupt one.
    """
    image = None
    if data := path.read_bytes():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # More pixels than OpenCV takes.
            image = None
    if image is None:
        raise ValueError(f"{path}: cannot be decoded as a picture (truncated, corrupt or of another format)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class Video:
    """A video file, a camera or a stream."""

    is_video = True

    def __init__(self, name: str, address: str | int, span: FrameSpan | None = None, is_live: bool = False) -> None:
        """Opens it.

        Args:
            name: for the results.
            address: path or URL, or the number of a camera.
            span: which frames.
            is_live: frames come in their own time, and once only.

        Raises:
            ValueError: it cannot be opened, or has no frame, or none at `span.start`.
        """
        self.name, self.is_live = name, is_live
        self.paths = [] if is_live else [pathlib.Path(address)]
        self._address, self._span = address, span or FrameSpan()
        self.problems: list[str] = []
        self._capture: cv2.VideoCapture | None = self._open()
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.source_rate = float(rate) if 0 < rate <= _MOST_RATE else DEFAULT_RATE
        self.frames_per_second = self.source_rate / self._span.every
        self._promised = 0 if is_live else max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        if not is_live:
            self._check_frames()

    @property
    def num_frames(self) -> int | None:
        """How many frames are wanted; None where nobody knows."""
        return self._span.count(self._promised) or None

    @property
    def start_seconds(self) -> float:
        """When the first wanted frame is shown."""
        return self._span.start / self.source_rate

    def frames(self) -> Iterator[SourceFrame]:
        """The wanted frames; if there are fewer than the file says, `problems` tells."""
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
        capture = cv2.VideoCapture(self._address)
        if not capture.isOpened():
            if isinstance(self._address, int):
                raise ValueError(f"camera {self._address}: cannot be opened; is there one, and may you use it?")
            raise ValueError(f"{self._address}: cannot be opened as a video (damaged, or no format of OpenCV)")
        return capture

    def _check_frames(self) -> None:
        """Looks for the first frame, before anything slow begins; headers promise what is not there."""
        has_frame = self._capture.read()[0]
        self._capture.release()
        self._capture = None
        if not has_frame:
            raise ValueError(f"{self._address}: should hold a video, found no frame that can be decoded")
        if self._promised and not self._span.count(self._promised):
            raise ValueError(f"--start={self._span.start}: {self._address} has only {self._promised} frames")


Source = Pictures | Video


def open_sources(inputs: Sequence[str], span: FrameSpan | None = None) -> list[Source]:
    """What the arguments of the command line name.

    Args:
        inputs: picture files, folders of them or patterns such as 'frames/*.jpg', which together are one source;
            videos, addresses of streams and numbers of cameras, which are one each.
        span: which frames of each.

    Raises:
        FileNotFoundError: there is no such file, or no picture in a folder.
        ValueError: a video cannot be opened, two have the same name, or `span` asks for none.
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
            raise ValueError(f"two inputs are called {name!r}, and so would be their results; give one at a time")
    return sources


def _pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise FileNotFoundError(f"{folder}: should hold pictures ({', '.join(PICTURE_SUFFIXES)}), found none")
    return pictures


def _matching_pictures(pattern: str) -> list[pathlib.Path]:
    if not glob.has_magic(pattern):
        raise FileNotFoundError(f"{pattern}: there is no such file or folder")
    found = (pathlib.Path(match) for match in glob.glob(os.path.expanduser(pattern), recursive=True))
    pictures = [path for path in found if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise FileNotFoundError(f"{pattern}: should match pictures ({', '.join(PICTURE_SUFFIXES)}), found none")
    return pictures


def _pictures_name(pictures: Sequence[pathlib.Path], folders: Sequence[pathlib.Path]) -> str:
    if len(pictures) == 1 and not folders:
        return pictures[0].stem
    parents = {path.resolve().parent for path in pictures}
    return (parents.pop().name if len(parents) == 1 else "") or "pictures"


def _stream_name(url: str) -> str:
    return re.sub(r"\W+", "_", url.rsplit("/", 1)[-1].split("?")[0]).strip("_") or "stream"


def _natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sorts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]


def silence_opencv() -> None:
    """Keeps what OpenCV and FFmpeg print about damaged files off the terminal; the programs say it in one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
