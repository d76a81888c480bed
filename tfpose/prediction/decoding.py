"""The interface of video decoders: each frame keeps its number and time, even after a part that cannot be decoded."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from tfpose.messages import count_of
from tfpose.prediction.frame_span import FrameSpan

# Frame rate of a video that states none.
DEFAULT_RATE = 25.0
# Number of frames at the start of a video whose times tell the frame rate.
NUM_TIMED_FRAMES = 40
# Failures in a row after which nothing more is expected from a file or connection.
MOST_FAILURES = 1000
# Some headers are wrong by a few frames.
SHARE_OF_PROMISED_FRAMES = 0.9
# A file may end this much earlier than its header says.
_MISSING_SHARE, _MISSING_SECONDS = 0.1, 1.0
# A stated frame rate that differs by more from the times of the first frames is not believed.
_RATE_TOLERANCE = 0.05
# Number of damaged parts that a message lists.
_MOST_RANGES = 5


@dataclasses.dataclass(frozen=True)
class VideoFacts:
    """The content of the header and of the first frames of a video.

    Attributes:
        frames_per_second: Frame rate; that of the first frames if it varies.
        num_frames: Number of frames; None if it is not known.
        is_exact: Whether the file stores the number, which is estimated from the duration otherwise.
        pixel_shape: Width and height of a pixel by the header, in any unit; equal where the header has none.
    """

    frames_per_second: float
    num_frames: int | None
    is_exact: bool
    pixel_shape: tuple[int, int] = (1, 1)


@dataclasses.dataclass(frozen=True)
class DecodedFrame:
    """A frame of a video.

    Attributes:
        index: Number of the frame, from 0. Frames that cannot be decoded count too.
        seconds: Time at which it is shown, counted from the first frame.
        file_seconds: The same time on the clock of the file, which is also that of the sound.
        image: Pixels [H, W, 3] uint8 RGB, upright.
    """

    index: int
    seconds: float
    file_seconds: float
    image: np.ndarray


class Decoder(Protocol):
    """Decodes a video."""

    facts: VideoFacts

    def frames(self, span: FrameSpan, problems: list[str]) -> Iterator[DecodedFrame]:
        """Yields the selected frames that can be decoded, in order; adds what is wrong with the file to `problems`."""


def cannot_open(address: str) -> ValueError:
    """Returns the error of a file that is no video."""
    return ValueError(f"{address}: cannot be opened as a video (damaged, or of an unknown format)")


def has_no_frame(address: str, hint: str = "") -> ValueError:
    """Returns the error of a file of which nothing can be decoded, with a hint if the reason is known."""
    # Many MP4 files have their index at the end, which such servers send last.
    hint = hint or ("; if its server sends no parts of files, save the file first" if "://" in address else "")
    return ValueError(f"{address}: must be a video, got no frame that can be decoded{hint}")


def ends_early(address: str, count: int, promised: int) -> str:
    """Describes a file that is cut."""
    return f"{address}: ends after {count} of {promised} frames; it is damaged"


def ends_before(address: str, end: float, duration: float) -> list[str]:
    """Describes a file that ends earlier than the duration in its header; nothing if it does not."""
    # The last frame of a file may be shown for long.
    if duration - end <= max(_MISSING_SHARE * duration, _MISSING_SECONDS):
        return []
    return [f"{address}: ends at {end:.1f} of {duration:.1f} seconds; it is damaged"]


def absolute(address: str) -> str:
    """Makes a path absolute: FFmpeg takes a relative path with a colon for an address."""
    return address if "://" in address else os.path.abspath(address)


def plausible_rate(stated: float, times: Sequence[float]) -> float:
    """Chooses between the frame rate of a header and that of the times of the first frames.

    Headers state the mean of a variable rate, or the resolution of their clock.

    Args:
        stated: Frame rate of the header; 0 or NaN if there is none.
        times: Times of the first frames in seconds, in order; they may be unusable.

    Returns:
        The stated rate if the times agree or are unusable, otherwise the rate of most of the frames.
    """
    is_stated = math.isfinite(stated) and stated > 0
    steps = np.diff(np.asarray(times, np.float64))
    if not len(steps) or not (steps > 0).all():
        return stated if is_stated else DEFAULT_RATE
    mean, median = 1 / float(steps.mean()), 1 / float(np.median(steps))
    is_steady = abs(mean / median - 1) < _RATE_TOLERANCE
    if is_stated and abs(stated / median - 1) < _RATE_TOLERANCE:
        return stated
    return mean if is_steady else median


class MissingFrames:
    """Frames that could not be decoded, as text."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ranges: list[tuple[int, int]] = []

    def add(self, start: int, count: int) -> None:
        """Notes `count` frames from number `start` on."""
        if count < 1:
            return
        end = start + count - 1
        if self._ranges and self._ranges[-1][1] + 1 == start:
            start = self._ranges.pop()[0]
        self._ranges.append((start, end))

    def describe(self) -> list[str]:
        """Returns one line, or nothing if no frame is missing."""
        if not self._ranges:
            return []
        shown = [f"{first}-{last}" if last > first else str(first) for first, last in self._ranges[:_MOST_RANGES]]
        more = f" and {len(self._ranges) - _MOST_RANGES} more parts" if len(self._ranges) > _MOST_RANGES else ""
        count = sum(last - first + 1 for first, last in self._ranges)
        return [
            f"{self._address}: {count_of(count, 'frame')} cannot be decoded: {', '.join(shown)}{more}; the "
            "file is damaged there"
        ]
