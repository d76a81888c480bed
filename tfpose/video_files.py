"""Writes videos. A file under its final name is always complete."""

from __future__ import annotations

import functools
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from tfpose.file_names import unfinished_file
from tfpose.video_encoders import OPENCV_CODECS, Encoder, OpencvEncoder, PyavEncoder, can_encode_with_pyav
from tfpose.video_sound import Sound


class VideoFileWriter:
    """Writes frames to a video file; for use in a `with` statement.

    The file appears under its name when the statement ends without an exception and all frames are found in the file.
    Otherwise, and without frames, there is no file.

    Attributes:
        notes: Notes for the user, one line each; complete at the end of the statement.
        keeps_sound: Whether this writer can add sound and gives each frame its own time.
    """

    def __init__(self, path: str | pathlib.Path, frames_per_second: float, sound: Sound | None = None) -> None:
        """Checks the arguments; the file is made at the first frame.

        Args:
            path: File to write; its name ends in .webm, .mp4 or .avi.
            frames_per_second: Frame rate of frames that are written without a time.
            sound: Sound to add. It is left out unless `keeps_sound`.

        Raises:
            ValueError: The name ends otherwise, or the rate is not above 0.
        """
        self._path = pathlib.Path(path)
        suffix = self._path.suffix.lower()
        if suffix not in OPENCV_CODECS:
            raise ValueError(f"{path}: the name of a video must end in one of {', '.join(OPENCV_CODECS)}")
        if not frames_per_second > 0:
            raise ValueError(f"{path}: frames_per_second must be above 0, got {frames_per_second}")
        self._frames_per_second, self._sound = float(frames_per_second), sound
        # FFmpeg takes a relative path with a colon for an address.
        self._temporary = unfinished_file(pathlib.Path(os.path.abspath(self._path))).with_suffix(suffix)
        self.keeps_sound = can_encode_with_pyav(suffix)
        self.notes: list[str] = []
        self._encoder: Encoder | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoFileWriter:
        return self

    def write(self, image: np.ndarray, seconds: float | None = None) -> None:
        """Adds a frame.

        Args:
            image: Frame [H, W, 3] uint8 RGB. The first frame sets the size; later frames are scaled to it.
            seconds: Time from which the frame is shown, counted from the first frame; None continues at the frame rate.

        Raises:
            OSError: The file cannot be written.
        """
        self.prepare(image)(seconds)

    def prepare(self, image: np.ndarray) -> Callable[[float | None], None]:
        """Converts a frame to the colors of the codec, which may happen in another thread than the writing.

        Args:
            image: As for `write`.

        Returns:
            The function that adds the frame, given `seconds` as for `write`.

        Raises:
            OSError: The file cannot be written.
        """
        try:
            if self._encoder is None:
                self._encoder = self._open(image.shape[1], image.shape[0])
            if image.shape[1::-1] != self._size:
                image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
            return functools.partial(self._add, self._encoder, self._encoder.convert(image))
        except OSError as error:
            raise self._described(error) from error

    def _add(self, encoder: Encoder, converted: Any, seconds: float | None) -> None:
        try:
            encoder.write(converted, seconds)
        except OSError as error:
            raise self._described(error) from error

    def _open(self, width: int, height: int) -> Encoder:
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        # Codecs store colors for two by two pixels.
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        try:
            if self.keeps_sound:
                return PyavEncoder(self._temporary, self._size, self._frames_per_second, self._sound)
            return OpencvEncoder(self._temporary, self._size, self._frames_per_second)
        except OSError:
            self._temporary.unlink(missing_ok=True)
            raise

    def _described(self, error: OSError) -> OSError:
        return OSError(f"{self._path}: cannot write the video: {error.strerror or error}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            if error is not None:
                encoder.abandon()
                return
            encoder.close()
            os.replace(self._temporary, self._path)
            self.notes = encoder.notes
        except OSError as problem:
            encoder.abandon()
            raise self._described(problem) from problem
        finally:
            self._temporary.unlink(missing_ok=True)
