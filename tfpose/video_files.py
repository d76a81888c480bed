"""Writing videos, so that a file under its final name is a whole one."""

from __future__ import annotations

import os
import pathlib
import types

import cv2
import numpy as np

from tfpose.stderr_filter import held_back

# What OpenCV's wheels can encode. VP8 is what browsers play.
_CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}


class VideoFileWriter:
    """Writes frames into `path`; used in a `with` statement.

    The file appears under its name when the statement ends, also when an exception such as Ctrl-C ends it early: what
    was written until then is a playable video. Without any frame there is no file.
    """

    def __init__(self, path: str | pathlib.Path, frames_per_second: float) -> None:
        """Checks the arguments; the file is made at the first frame.

        Args:
            path: ending in .webm, .mp4 or .avi.
            frames_per_second: of the video.

        Raises:
            ValueError: another ending, or a rate that is not above 0.
        """
        self._path = pathlib.Path(path)
        if self._path.suffix.lower() not in _CODECS:
            raise ValueError(f"{path}: a video's name should end in one of {', '.join(_CODECS)}")
        if not frames_per_second > 0:
            raise ValueError(f"{path}: frames per second should be above 0, found {frames_per_second}")
        self._frames_per_second = float(frames_per_second)
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}{self._path.suffix.lower()}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoFileWriter:
        return self

    def write(self, image: np.ndarray) -> None:
        """Adds a frame, [H, W, 3] uint8 RGB; one of another size than the first is scaled to it.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            self._open(image.shape[1], image.shape[0])
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _open(self, width: int, height: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Codecs store colors for two by two pixels.
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        codec = cv2.VideoWriter_fourcc(*_CODECS[self._temporary.suffix])
        with held_back():
            self._writer = cv2.VideoWriter(str(self._temporary), codec, self._frames_per_second, self._size)
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise OSError(f"{self._path}: cannot write the video")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            os.replace(self._temporary, self._path)
