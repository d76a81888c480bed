"""Reads images, videos and cameras as frames.

Frames are upright, because networks were trained on people who stand: the orientation that a phone stores in an image
or video is applied (docs/pixel_convention.md).
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import pathlib
import re
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from tfpose.file_names import local_name, utf8_name
from tfpose.picture_files import is_cut_gif, picture_kind
from tfpose.prediction.decoding import Decoder, cannot_open, plausible_rate
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.frames import SourceFrame
from tfpose.prediction.opencv_decoding import OpencvDecoder
from tfpose.prediction.pictures import FoundPictures, Pictures, is_picture_file, is_picture_url
from tfpose.prediction.pyav_decoding import PyavDecoder
from tfpose.video_encoders import find_pyav

# Some cameras state the resolution of their clock as their frame rate.
_MOST_LIVE_RATE = 240.0
_PLAYLIST = b"#EXTM3U"
# A server that is silent for so long is gone.
_TIMEOUT_SECONDS = 30
# Number of frames of a stream that are compared with its first one.
_NUM_COMPARED = 8
_NOT_THERE = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)


class Video:
    """A video file, a camera or a stream.

    Attributes:
        name: Name for the results.
        address: Path, URL, or number of a camera.
        is_live: Whether it is a camera or stream, whose frames can be read only once.
        paths: Path of the video file; empty for an address or camera.
        problems: Descriptions of damage, one line each.
        notes: Descriptions of what was not read besides, one line each.
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
        self.notes: list[str] = []
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
        width, height = facts.pixel_shape
        if width != height:
            self.notes.append(f"{address}: pixels that are not square ({width}:{height}), taken as square")
        if facts.num_frames:
            self.num_frames = self._span.count(facts.num_frames) or None
            if facts.is_exact and self.num_frames is None:
                rule = f"must be below {facts.num_frames}, the number of frames of {address}"
                raise ValueError(f"--start {rule}, got {self._span.start}")

    def may_hold(self, image_ids: np.ndarray) -> np.ndarray:
        """Returns which numbers [N] can be those of selected frames, [N] bool."""
        facts = self._decoder.facts
        is_inside = (image_ids < facts.num_frames) | (not facts.is_exact) if facts.num_frames else image_ids >= 0
        return is_inside & np.array([index in self._span for index in image_ids], bool)

    def describe_ids(self) -> str:
        """Returns what the `image_id` of a frame is, in words."""
        return "counted from 0"

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the selected frames that can be decoded; `problems` tells what is damaged."""
        self.problems = []
        if self.is_live:
            yield from self._note_same_frames(self._live_frames())
            return
        for frame in self._decoder.frames(self._span, self.problems):
            yield SourceFrame(
                frame.index, self._frame_name(frame.index), frame.image, frame.index, frame.seconds, frame.file_seconds
            )
        if not self.problems and any(map(_is_cut_gif, self.paths)):
            self.problems.append(f"{self.address}: ends inside a frame, whose poses may be wrong; it is damaged")

    def _frame_name(self, index: int) -> str:
        return f"{self.name}/{index:06d}.jpg"

    def _note_same_frames(self, frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
        """Notes that the first frames are the same to the bit, as OpenCV leaves those of interlaced streams."""
        first, num_same = np.zeros(0), 0
        for number, frame in enumerate(frames):
            if number == 0:
                first = frame.image.copy()
            elif number <= _NUM_COMPARED:
                num_same += np.array_equal(frame.image, first)
                if num_same == _NUM_COMPARED:
                    text = "the first frames are all the same, as OpenCV shows those of interlaced streams"
                    self.notes.append(f"{self.address}: {text}")
            yield frame

    def _live_frames(self) -> Iterator[SourceFrame]:
        capture, self._capture = self._capture or _open_live(self.address), None
        begin = 0.0
        try:
            for index in itertools.count():
                if self._span.is_over(index) or not capture.grab():
                    return
                now = time.monotonic()
                # A camera may take seconds for its first frame.
                begin = now if index == 0 else begin
                if index not in self._span:
                    continue
                is_decoded, image = capture.retrieve()
                if not is_decoded:
                    return
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield SourceFrame(index, self._frame_name(index), image, index, now - begin)
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
    # An address with bytes that are not UTF-8 becomes a name that cannot be opened.
    with contextlib.nullcontext(address) if isinstance(address, int) else utf8_name(address) as name:
        capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        if isinstance(address, int):
            raise ValueError(f"camera {address}: cannot be opened; check its number, and that you may use it")
        raise cannot_open(address)
    return capture


def _is_cut_gif(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        is_gif = picture_kind(file.read(16)) == "GIF"
    return is_gif and is_cut_gif(path.read_bytes())


Source = Pictures | Video


def open_sources(inputs: Sequence[str], span: FrameSpan | None = None) -> list[Source]:
    """Opens the sources that the arguments of the command line name.

    Args:
        inputs: Image files, their addresses, folders of images and patterns such as 'frames/*.jpg', which together are
            one source; and videos, addresses of streams and numbers of cameras, each a source of its own.
        span: Selection of the frames of each source; None selects all.

    Raises:
        FileNotFoundError: A file does not exist, or a folder holds no image.
        ValueError: A video cannot be opened, two sources have the same name, or `span` selects no frame.
    """
    found = FoundPictures()
    videos: list[Source] = []
    for text in map(local_name, inputs):
        path = pathlib.Path(text)
        if path.is_dir():
            found.add_folder(path)
        elif path.is_file() and is_picture_file(path):
            found.add_file(path)
        elif path.is_file():
            videos.append(Video(path.stem, str(path), span))
        elif text.isdecimal():
            videos.append(Video(f"camera{text}", int(text), span, is_live=True))
        elif is_picture_url(text):
            found.add_url(text)
        elif "://" in text:
            is_live = not is_file_behind(text)
            videos.append(Video(_stream_name(text) if is_live else name_of_url(text), text, span, is_live))
        else:
            found.add_pattern(text)
    sources = [*([found.source(span)] if found.addresses else []), *videos]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"inputs must have different names, got two that are called {name!r}; give one at a time, "
                "each with an --output of its own"
            )
    return sources


def is_file_behind(url: str) -> bool:
    """Returns whether an address is that of a file, and not of a live stream: its answer has a length.

    Raises:
        ValueError: There is no server, or nothing at this address.
    """
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            # A playlist is short, and the stream that it lists may go on for ever.
            return bool(answer.headers.get("Content-Length")) and answer.read(len(_PLAYLIST)) != _PLAYLIST
    except (OSError, ValueError, http.client.HTTPException) as error:
        # FFmpeg reads some addresses that Python does not, such as those with a password.
        is_unreachable = isinstance(getattr(error, "reason", None), (ConnectionRefusedError, socket.gaierror))
        if is_unreachable or getattr(error, "code", None) in _NOT_THERE:
            raise ValueError(f"{url}: {error}") from error
        return False


def name_of_url(url: str) -> str:
    """Returns the name of the results of a file behind an address."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    return re.sub(r"[^\w.-]+", "_", pathlib.PurePosixPath(path).stem).strip("_.") or "video"


def _stream_name(url: str) -> str:
    return re.sub(r"\W+", "_", url.rsplit("/", 1)[-1].split("?")[0]).strip("_") or "stream"


def silence_opencv() -> None:
    """Silences OpenCV's and FFmpeg's own messages about damaged files, for which the programs print one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
