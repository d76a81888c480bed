"""Decodes videos with OpenCV."""

from __future__ import annotations

import math
import os
import pathlib
import struct
import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from tfpose.file_names import utf8_name
from tfpose.prediction.decoding import (
    MOST_FAILURES,
    NUM_TIMED_FRAMES,
    SHARE_OF_PROMISED_FRAMES,
    DecodedFrame,
    MissingFrames,
    VideoFacts,
    absolute,
    cannot_open,
    ends_before,
    ends_early,
    has_no_frame,
    plausible_rate,
)
from tfpose.prediction.frame_span import FrameSpan

# Containers that store the number of frames, by bytes at their start; of others OpenCV estimates the number.
_AVI, _MP4 = b"RIFF", (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
# OpenCV's wheels have no decoder for it that runs on a CPU.
_AV1, _AV1_HINT = cv2.VideoWriter.fourcc(*"AV01"), "; OpenCV cannot decode AV1, which pip install 'tfpose[video]' reads"
# Share of the first frames that must be later than the frame before, if the times are to be believed.
_LEAST_ORDERED = 0.8
_LATE_SECONDS = 1.0
# Steps between frames of a steady rate are at most this many times the usual one.
_STEADY = 1.5
# Number of frames that are compared with the frame before.
_NUM_COMPARED = 8
_READ_FRAMES = "import cv2, sys; video = cv2.VideoCapture(sys.argv[1]); [video.read() for _ in range(int(sys.argv[2]))]"


class OpencvDecoder:
    """Decodes a video with OpenCV. Behind damage, the numbers of frames follow from their times and the frame rate.

    Attributes:
        facts: What the header and the first frames tell.
    """

    def __init__(self, address: str) -> None:
        """Reads the header and decodes the first frames.

        Args:
            address: Path or URL.

        Raises:
            ValueError: It cannot be opened, has no frame that can be decoded, or is interlaced.
        """
        self._address = address
        capture = self._open()
        try:
            times, may_be_stale = _first_times(capture)
            stated, count = (capture.get(name) for name in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
            codec = int(capture.get(cv2.CAP_PROP_FOURCC))
            width, height = (int(capture.get(name)) for name in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        finally:
            capture.release()
        if not times:
            raise has_no_frame(address, _AV1_HINT if codec == _AV1 else "")
        if may_be_stale and self._is_unconverted():
            raise ValueError(
                f"{address}: must not be interlaced, because OpenCV cannot convert its frames; pip install "
                "'tfpose[video]' reads it"
            )
        steps = np.diff(times)
        self._has_times = len(times) < 2 or float((steps > 0).mean()) > _LEAST_ORDERED
        self._is_steady = len(times) > 1 and float((steps < _STEADY * np.median(steps)).mean()) > _LEAST_ORDERED
        self._duration = count / stated if stated > 0 else 0.0
        rate = plausible_rate(stated, times)
        shape = (width, height) if width > 0 and height > 0 else (1, 1)
        self.facts = VideoFacts(rate, int(count) if 0 < count < 1 << 40 else None, _stores_number(address), shape)

    def _open(self) -> cv2.VideoCapture:
        with utf8_name(absolute(self._address)) as name:
            capture = cv2.VideoCapture(name)
        if not capture.isOpened():
            raise cannot_open(self._address)
        return capture

    def _is_unconverted(self) -> bool:
        """Returns whether frames keep the pixels of an earlier one, maybe of another video, which only a log tells."""
        environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "16"}
        with utf8_name(absolute(self._address)) as name:
            # Modules of the current folder are none of this program.
            command = [sys.executable, "-P", "-c", _READ_FRAMES, name, str(_NUM_COMPARED)]
            try:
                read = subprocess.run(command, capture_output=True, env=environment, check=False)
            except OSError:  # Python is embedded in another program.
                return False
        return b"interlaced" in read.stdout + read.stderr

    def frames(self, span: FrameSpan, problems: list[str]) -> Iterator[DecodedFrame]:
        """Yields the decoded frames, see `Decoder`."""
        missing, index = MissingFrames(self._address), -1
        capture = self._open()
        failures = _Failures()
        try:
            before = first = start = 0.0
            for time in _grabbed_times(capture, failures):
                if failures.has_any and self._has_times and before - _LATE_SECONDS < time <= before:
                    continue  # Behind damage, a decoder lets some frames out too late; they count as missing.
                num_missing = 0
                if self._has_times and index >= 0:
                    # Failures come earlier than the gaps in time, because frames are stored in another order.
                    gap = round((time - before) * self.facts.frames_per_second) - 1
                    num_missing = max(0, gap if failures.has_any and self._is_steady else min(gap, failures.count))
                    failures.count = max(0, failures.count - num_missing)
                    # Some files give their last frames no time.
                    time = time if time > before else before + 1 / self.facts.frames_per_second
                elif index < 0:
                    first, start = time, _file_seconds(capture)
                missing.add(index + 1, num_missing)
                index, before = index + 1 + num_missing, time
                if span.is_over(index):
                    return
                if index in span:
                    is_decoded, image = capture.retrieve()
                    if is_decoded:
                        seconds = time - first if self._has_times else index / self.facts.frames_per_second
                        yield DecodedFrame(index, seconds, start + seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                    else:
                        missing.add(index, 1)
            problems += self._ends_early(index + 1, before, start - first)
        finally:
            problems += missing.describe()
            capture.release()

    def _ends_early(self, num_frames: int, end: float, offset: float) -> list[str]:
        if not self.facts.is_exact:
            return ends_before(self._address, end + offset, self._duration) if self._has_times else []
        # An AVI file counts frames that repeat the one before, and holds none for them.
        if self._has_times and end >= SHARE_OF_PROMISED_FRAMES * self._duration:
            return []
        promised = self.facts.num_frames or 0
        # An MP4 file that a phone has trimmed counts the frames that it hides.
        most = min(promised, _movie_seconds(self._address) * self.facts.frames_per_second)
        is_cut = num_frames < SHARE_OF_PROMISED_FRAMES * most
        return [ends_early(self._address, num_frames, promised)] if is_cut else []


class _Failures:
    """Number of frames that OpenCV could not decode and whose place is not known yet."""

    count = 0
    has_any = False


def _grabbed_times(capture: cv2.VideoCapture, failures: _Failures | None = None) -> Iterator[float]:
    """Yields the time in seconds of each frame that is grabbed. OpenCV tells damage and the end in the same way."""
    num_failed = 0
    while num_failed < MOST_FAILURES:
        if not capture.grab():
            num_failed += 1
            continue
        if failures is not None and num_failed:
            failures.count += num_failed
            failures.has_any = True
        num_failed = 0
        yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


def _file_seconds(capture: cv2.VideoCapture) -> float:
    """Returns when the grabbed frame is shown on the clock of the file, to half a frame; 0 if that is unknown."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return max(0.0, capture.get(cv2.CAP_PROP_PTS) / rate) if rate > 0 else 0.0


def _first_times(capture: cv2.VideoCapture) -> tuple[list[float], bool]:
    """Returns the times of the first frames, and whether a frame cannot be told from the one before."""
    times: list[float] = []
    before: np.ndarray | None = None
    is_repeated = False
    for time, number in zip(_grabbed_times(capture), range(NUM_TIMED_FRAMES), strict=False):
        times.append(time)
        if number < _NUM_COMPARED:
            image = capture.retrieve()[1]
            is_repeated |= before is not None and np.array_equal(image, before)
            before = image
    return times, is_repeated or len(times) == 1


def _stores_number(address: str) -> bool:
    if "://" in address:
        return False
    with pathlib.Path(address).open("rb") as file:
        start = file.read(8)
    return start[:4] == _AVI or start[4:] in _MP4


def _movie_seconds(address: str) -> float:
    """Returns how long an MP4 file is shown (ISO/IEC 14496-12, section 8.2.2); infinity if it does not say so."""
    with open(address, "rb") as file:
        end, start = os.fstat(file.fileno()).st_size, 0
        while len(head := file.read(16)) == 16 and head[4:8] != b"moov":
            size, wide_size = struct.unpack(">I4xQ", head)
            start = min(start + max(wide_size if size == 1 else size, 8), end)
            file.seek(start)
        file.seek(start + 8)
        header = file.read(48)
    if header[4:8] != b"mvhd" or len(header) < 48:
        return math.inf
    ticks, length = struct.unpack_from(">IQ" if header[8] else ">II", header, 28 if header[8] else 20)
    return length / ticks if length and ticks else math.inf
