"""Encodes videos: H.264 and VP8 by PyAV where it is installed, otherwise MPEG-4, VP8 and Motion JPEG by OpenCV."""

from __future__ import annotations

import contextlib
import fractions
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from tfpose.file_names import utf8_name
from tfpose.stderr_filter import held_back
from tfpose.video_sound import Sound, SoundTrack

# Codecs that OpenCV's wheels can encode.
OPENCV_CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}
# Every browser plays H.264 and VP8. The settings are the fastest ones: the network waits for the same processor.
_PYAV_CODECS = {
    ".mp4": ("libx264", {"preset": "ultrafast", "crf": "23"}),
    ".webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "4M"}),
}
# What browsers play.
_PIXEL_FORMAT = "yuv420p"
# FFmpeg's numbers of the colors below.
_BT601, _LIMITED_RANGE = 6, 1
# Cb and Cr of a pixel from its red, green and blue, by ITU-R BT.601 with limited range, as the codecs take them.
_BLUE_DIFFERENCE = np.array([[-0.148223, -0.290993, 0.439216, 128]])
_RED_DIFFERENCE = np.array([[0.439216, -0.367788, -0.071427, 128]])
# Codec of sound that the container cannot hold as it is.
_SOUND_CODECS = {".mp4": "aac", ".webm": "libopus"}
# Times in a file are multiples of this part of a second, in which the usual frame rates are whole numbers.
_TICKS_PER_SECOND = 90_000
# MPEG-4 stores the frame rate as a fraction of 16-bit numbers, and OpenCV takes a power of ten for the lower one.
_MOST_RATE_TICKS = 65_535
_NOT_FOR_BROWSERS = "the video is MPEG-4 Part 2, which browsers do not play; pip install 'tfpose[video]' gives H.264"
# Largest number of frames that a video of constant frame rate may be ahead of the times of its frames.
_MOST_AHEAD = 2


class Encoder(Protocol):
    """Writes the frames of one size to a new file; raises `OSError` if this fails."""

    notes: list[str]

    def convert(self, image: np.ndarray) -> Any:
        """Returns a frame, [H, W, 3] uint8 RGB, as `write` takes it. It may run beside `write`, in another thread."""

    def write(self, converted: Any, seconds: float | None) -> None:
        """Adds a converted frame that is shown from `seconds` on; None for the end of the frame before."""

    def close(self) -> None:
        """Completes the file and checks that it holds all frames."""

    def abandon(self) -> None:
        """Closes the file, which stays incomplete. Raises nothing."""


def find_pyav() -> Any:
    """Returns the package `av`; None where it is not installed."""
    try:
        import av
    except ImportError:
        return None
    return av


def can_encode_with_pyav(suffix: str) -> bool:
    """Returns whether PyAV is installed and its build has the encoder for files of this suffix."""
    av = find_pyav()
    if av is None or suffix not in _PYAV_CODECS:
        return False
    try:
        av.Codec(_PYAV_CODECS[suffix][0], "w")
    except ValueError:
        return False
    return True


class OpencvEncoder:
    """Encodes with OpenCV, at a constant frame rate: frames are repeated or left out to keep their times."""

    def __init__(self, path: pathlib.Path, size: tuple[int, int], frames_per_second: float) -> None:
        """Creates the file.

        Args:
            path: Absolute path of the file.
            size: Width and height of the frames, even numbers.
            frames_per_second: Frame rate; rounded to what every codec can store.

        Raises:
            OSError: The file cannot be written.
        """
        self.notes = [_NOT_FOR_BROWSERS] if path.suffix == ".mp4" else []
        self._path, self._rate = path, storable_rate(frames_per_second)
        self._num_written = 0
        self._previous: np.ndarray = np.zeros((size[1], size[0], 3), np.uint8)
        codec = cv2.VideoWriter.fourcc(*OPENCV_CODECS[path.suffix])
        with held_back(), utf8_name(path) as name:
            self._writer = cv2.VideoWriter(name, codec, self._rate, size)
        if not self._writer.isOpened():
            raise OSError(f"OpenCV cannot write {path.suffix} with {size[0]}x{size[1]} pixels, {self._rate:g} frames/s")

    def convert(self, image: np.ndarray) -> np.ndarray:
        """Returns a frame in OpenCV's order of colors, see `Encoder`."""
        return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)

    def write(self, converted: np.ndarray, seconds: float | None) -> None:
        """Writes a frame, see `Encoder`."""
        slot = self._num_written if seconds is None else round(seconds * self._rate)
        if slot < self._num_written - _MOST_AHEAD:
            return
        for _ in range(slot - self._num_written):
            self._add(self._previous)
        self._previous = converted
        self._add(self._previous)

    def _add(self, image: np.ndarray) -> None:
        self._writer.write(image)
        self._num_written += 1

    def close(self) -> None:
        """Completes the file, see `Encoder`. OpenCV reports no failure, so the file is opened again."""
        self._writer.release()
        check_num_frames(self._path, self._num_written)

    def abandon(self) -> None:
        """Closes the file, which stays incomplete, see `Encoder`."""
        self._writer.release()


def storable_rate(frames_per_second: float) -> float:
    """Rounds a frame rate to one that MPEG-4 can store: 119.193 to 119.19."""
    for decimals in (4, 3, 2, 1):
        if frames_per_second * 10**decimals <= _MOST_RATE_TICKS:
            return round(frames_per_second, decimals)
    return min(float(round(frames_per_second)), float(_MOST_RATE_TICKS))


def check_num_frames(path: pathlib.Path, expected: int) -> None:
    """Checks that a written video holds all frames.

    Raises:
        OSError: It holds fewer, as after a disk was full.
    """
    found = _count_frames(path)
    if found < expected:
        raise OSError(f"only {found} of {expected} frames arrived in the file; the disk may be full")


def _count_frames(path: pathlib.Path) -> int:
    """Returns the number of frames in the file, whatever its header says; 0 for a file that is no video."""
    av = find_pyav()
    if av is not None:
        try:
            with utf8_name(path) as name, av.open(name) as container:
                return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
        except (av.FFmpegError, IndexError):
            return 0
    with held_back(), utf8_name(path) as name:
        capture = cv2.VideoCapture(name)
        count = 0
        while capture.grab():
            count += 1
        capture.release()
    return count


class PyavEncoder:
    """Encodes with PyAV: each frame has its own time, and the sound of another video is added on the way."""

    def __init__(
        self, path: pathlib.Path, size: tuple[int, int], frames_per_second: float, sound: Sound | None
    ) -> None:
        """Creates the file.

        Args:
            path: Absolute path of the file.
            size: Width and height of the frames, even numbers.
            frames_per_second: Frame rate where frames have no time; the encoder distributes its bits by it.
            sound: Sound to add; None for a silent video.

        Raises:
            OSError: The file cannot be written.
        """
        self.notes: list[str] = []
        self._av, self._path = find_pyav(), path
        self._step = max(1, round(_TICKS_PER_SECOND / frames_per_second))
        self._num_written, self._last_tick, self._next_tick = 0, -1, 0
        codec, options = _PYAV_CODECS[path.suffix]
        with self._errors(), utf8_name(path) as name:
            self._container = self._av.open(name, "w")
            rate = fractions.Fraction(frames_per_second).limit_denominator(1001)
            self._stream = self._container.add_stream(codec, rate=max(rate, fractions.Fraction(1, 1001)))
            self._stream.options = options
            self._stream.width, self._stream.height = size
            self._stream.pix_fmt = _PIXEL_FORMAT
            # Without these, players take the colors of large videos for those of BT.709.
            self._stream.codec_context.colorspace = _BT601
            self._stream.codec_context.color_range = _LIMITED_RANGE
            self._stream.codec_context.time_base = fractions.Fraction(1, _TICKS_PER_SECOND)
        self._sound = SoundTrack(self._av, self._container, sound, _SOUND_CODECS[path.suffix]) if sound else None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns errors of PyAV in the context into the errors of `Encoder`."""
        try:
            yield
        except (self._av.FFmpegError, ValueError) as error:
            raise OSError(_reason(error)) from error

    def convert(self, image: np.ndarray) -> Any:
        """Returns a frame in the colors of the codec, see `Encoder`."""
        height, width = image.shape[:2]
        frame = self._av.VideoFrame(width, height, _PIXEL_FORMAT)
        # The rows of a plane may be longer than the frame is wide.
        planes = [np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
        _write_yuv420(np.ascontiguousarray(image), planes)
        return frame

    def write(self, converted: Any, seconds: float | None) -> None:
        """Writes a frame, see `Encoder`."""
        due = self._next_tick if seconds is None else round(seconds * _TICKS_PER_SECOND)
        tick = max(due, self._last_tick + 1)
        if seconds is not None and self._num_written:
            self._step = tick - self._last_tick
        converted.pts, converted.time_base = tick, fractions.Fraction(1, _TICKS_PER_SECOND)
        with self._errors():
            self._container.mux(self._stream.encode(converted))
            self._add_sound(tick)
        self._last_tick, self._next_tick = tick, tick + self._step
        self._num_written += 1

    def _add_sound(self, end_tick: int) -> None:
        if self._sound is not None:
            self._sound.write_until(end_tick / _TICKS_PER_SECOND)

    def close(self) -> None:
        """Completes the file, see `Encoder`."""
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._add_sound(self._next_tick)
            if self._sound is not None:
                self._sound.finish()
                self.notes += [self._sound.note] if self._sound.note else []
            self._container.close()
        check_num_frames(self._path, self._num_written)

    def abandon(self) -> None:
        """Closes the file, which stays incomplete, see `Encoder`."""
        if self._sound is not None:
            self._sound.close()
        with contextlib.suppress(Exception):
            self._container.close()


def _write_yuv420(image: np.ndarray, planes: Sequence[np.ndarray]) -> None:
    """Writes an RGB image [H, W, 3] of even size as Y [H, W], Cb and Cr [H / 2, W / 2], in half of FFmpeg's time.

    Cb and Cr are those of the mean color of 2x2 pixels; OpenCV's own conversion takes one pixel of the four, which
    frays thin lines.
    """
    height, width = image.shape[:2]
    planes[0][:] = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)[:height]
    means = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    for plane, weights in zip(planes[1:], (_BLUE_DIFFERENCE, _RED_DIFFERENCE), strict=True):
        plane[:] = cv2.transform(means, weights)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
