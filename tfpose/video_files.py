"""Writes videos. A file under its final name is always complete."""

from __future__ import annotations

import os
import pathlib
import types

import cv2
import numpy as np

from tfpose.file_names import utf8_name
from tfpose.stderr_filter import held_back

# Codecs that OpenCV's wheels can encode. Browsers play VP8.
_CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}


class VideoFileWriter:
    """Writes frames to a video file; for use in a `with` statement.

    The file appears under its name when the statement ends. If an exception such as Ctrl-C ends it early, the frames
    written so far are a playable video. Without frames there is no file.
    """

    def __init__(self, path: str | pathlib.Path, frames_per_second: float) -> None:
        """Checks the arguments; the file is made at the first frame.

        Args:
            path: File to write; its name ends in .webm, .mp4 or .avi.
            frames_per_second: Frame rate of the video.

        Raises:
            ValueError: The name ends otherwise, or the rate is not above 0.
        """
        self._path = pathlib.Path(path)
        if self._path.suffix.lower() not in _CODECS:
            raise ValueError(f"{path}: the name of a video must end in one of {', '.join(_CODECS)}")
        if not frames_per_second > 0:
            raise ValueError(f"{path}: frames_per_second must be above 0, got {frames_per_second}")
        self._frames_per_second = float(frames_per_second)
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}{self._path.suffix.lower()}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoFileWriter:
        return self

    def write(self, image: np.ndarray) -> None:
        """Adds a frame, [H, W, 3] uint8 RGB. The first frame sets the size; later frames are scaled to it.

        Raises:
            OSError: The file cannot be written.
        """
        if self._writer is None:
            self._writer = self._open(image.shape[1], image.shape[0])
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Codecs store colors for two by two pixels.
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._temporary.suffix])
        with held_back(), utf8_name(self._temporary) as name:
            writer = cv2.VideoWriter(name, codec, self._frames_per_second, self._size)
        if not writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise OSError(f"{self._path}: cannot write the video")
        return writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            os.replace(self._temporary, self._path)
