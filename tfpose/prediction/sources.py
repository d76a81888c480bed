"""Reads images, videos and cameras as frames.

Frames are upright, because networks were trained on people who stand: the orientation that a phone stores in an image
or video is applied. `data.pictures` ignores it, as the annotations of COCO and PoseTrack do.
"""

from __future__ import annotations

import dataclasses
import glob
import http.client
import itertools
import os
import pathlib
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from tfpose.prediction.decoding import DEFAULT_RATE, Decoder, cannot_open, plausible_rate
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.opencv_decoding import OpencvDecoder
from tfpose.prediction.pyav_decoding import PyavDecoder
from tfpose.video_encoders import find_pyav

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# Some cameras state the resolution of their clock as their frame rate.
_MOST_LIVE_RATE = 240.0
_PLAYLIST = b"#EXTM3U"
# A server that is silent for so long is gone.
_TIMEOUT_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """A decoded frame.

    Attributes:
        index: Index of the image, or of the frame in the video, from 0.
        name: Name of the image file, or a name made from the video's name and the index.
        image: Pixels [H, W, 3] uint8 RGB.
        seconds: Time since the first frame of the video; 0 for images.
        file_seconds: The same time on the clock of the video file, which is also that of its sound.
    """

    index: int
    name: str
    image: np.ndarray
    seconds: float = 0.0
    file_seconds: float = 0.0


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
        address: Path, URL, or number of a camera.
        is_live: Whether it is a camera or stream, whose frames can be read only once.
        paths: Path of the video file; empty for an address or camera.
        problems: Descriptions of damage, one line each.
        frames_per_second: Frame rate of the selected frames; that of the first frames if it varies.
        num_frames: Number of selected frames; None if it is not known.
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
        self.name, self.address, self.is_live = name, address, is_live
        self.paths = [] if is_live or "://" in str(address) else [pathlib.Path(str(address))]
        self._span = span or FrameSpan()
        self.problems: list[str] = []
        self.num_frames: int | None = None
        if is_live:
            # A camera stays open until its frames are read.
            self._capture: cv2.VideoCapture | None = _open_live(address)
            rate = self._capture.get(cv2.CAP_PROP_FPS)
            self.frames_per_second = plausible_rate(rate if rate <= _MOST_LIVE_RATE else 0, []) / self._span.every
            return
        self._decoder: Decoder = open_decoder(str(address))
        facts = self._decoder.facts
        self.frames_per_second = facts.frames_per_second / self._span.every
        if facts.num_frames:
            self.num_frames = self._span.count(facts.num_frames) or None
            if facts.is_exact and self.num_frames is None:
                rule = f"must be below {facts.num_frames}, the number of frames of {address}"
                raise ValueError(f"--start {rule}, got {self._span.start}")

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the selected frames that can be decoded; `problems` tells what is damaged."""
        self.problems = []
        if self.is_live:
            yield from self._live_frames()
            return
        for frame in self._decoder.frames(self._span, self.problems):
            yield SourceFrame(
                frame.index, self._frame_name(frame.index), frame.image, frame.seconds, frame.file_seconds
            )

    def _frame_name(self, index: int) -> str:
        return f"{self.name}/{index:06d}.jpg"

    def _live_frames(self) -> Iterator[SourceFrame]:
        capture, self._capture = self._capture or _open_live(self.address), None
        begin = time.monotonic()
        try:
            for index in itertools.count():
                if self._span.is_over(index) or not capture.grab():
                    return
                if index not in self._span:
                    continue
                is_decoded, image = capture.retrieve()
                if not is_decoded:
                    return
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield SourceFrame(index, self._frame_name(index), image, time.monotonic() - begin)
        finally:
            capture.release()


def open_decoder(address: str) -> Decoder:
    """Opens a video file with PyAV where it is installed, otherwise with OpenCV.

    Args:
        address: Path or URL.

    Raises:
        ValueError: It cannot be opened, or has no frame that can be decoded.
    """
    return PyavDecoder(address) if find_pyav() is not None else OpencvDecoder(address)


def _open_live(address: str | int) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(address)
    if not capture.isOpened():
        if isinstance(address, int):
            raise ValueError(f"camera {address}: cannot be opened; check its number, and that you may use it")
        raise cannot_open(address)
    return capture


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
            is_live = not is_file_behind(text)
            videos.append(Video(_stream_name(text) if is_live else _file_name(text), text, span, is_live))
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


def is_file_behind(url: str) -> bool:
    """Returns whether an address is that of a file, and not of a live stream: its answer has a length."""
    if url.startswith("file:"):
        return True
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            # A playlist is short, and the stream that it lists may go on for ever.
            return bool(answer.headers.get("Content-Length")) and answer.read(len(_PLAYLIST)) != _PLAYLIST
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _file_name(url: str) -> str:
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    return re.sub(r"[^\w.-]+", "_", pathlib.PurePosixPath(path).stem).strip("_.") or "video"


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
