"""Copies the sound of a video to its annotated version, if the program ffmpeg is installed."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

from tfpose.file_names import unfinished_file

_SOUND_STREAM = re.compile(r"Stream #\S+.*: Audio:")


def copy_sound(source: str, video: pathlib.Path, start_seconds: float, seconds: float) -> str:
    """Adds the sound of one video to another without encoding it again. A failure leaves `video` as it is.

    Args:
        source: Path or URL of the video with the sound.
        video: Video to add the sound to.
        start_seconds: Time at which `video` begins, on the clock of `source`.
        seconds: Length of `video`.

    Returns:
        Note about the sound for the user; '' if the source has none.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return "the sound is not kept: this requires PyAV (pip install 'tfpose[video]') or the program ffmpeg"
    if not _has_sound(ffmpeg, source):
        return ""
    temporary = unfinished_file(video)
    span = ["-seek_timestamp", "1", "-ss", f"{start_seconds:.3f}", "-t", f"{seconds:.3f}"]
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", _as_argument(video)]
    command += [*span, "-i", _as_argument(source)]
    # An AVI file would begin with what ffmpeg read before the start.
    command += ["-map", "0:v:0", "-map", "1:a", "-c", "copy", "-copypriorss:a", "0", _as_argument(temporary)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if finished.returncode == 0:
            os.replace(temporary, video)
            return "the sound is kept"
        reason = finished.stderr.strip().splitlines() or [f"ffmpeg ended with {finished.returncode}"]
        return f"the sound is not kept: {video.suffix} cannot hold it without encoding it again: {reason[0]}"
    finally:
        temporary.unlink(missing_ok=True)


def _has_sound(ffmpeg: str, path: str) -> bool:
    # Without an output, ffmpeg describes its input and exits with an error.
    command = [ffmpeg, "-nostdin", "-hide_banner", "-i", _as_argument(path)]
    described = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return bool(_SOUND_STREAM.search(described.stderr))


def _as_argument(path: pathlib.Path | str) -> str:
    """Returns a path that ffmpeg mistakes neither for an option nor for another protocol."""
    return str(path) if "://" in str(path) else f"file:{os.path.abspath(path)}"
