"""Pictures and videos inside a page: `data:` URLs of files, and the HTML around them."""

from __future__ import annotations

import base64
import html
import pathlib
from collections.abc import Sequence

from tfpose.report.charts import format_metric
from tfpose.report.evaluation_file import Evaluation, GalleryFrame, VideoClip
from tfpose.report.page import Section
from tfpose.report.svg import printable

_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png", ".webm": "video/webm"}
# Larger pages are hard to send and to open on a phone.
_MOST_BYTES = 12 << 20


def data_url(directory: pathlib.Path, name: str) -> str:
    """Returns the content of a file as a URL.

    Args:
        directory: Folder of the evaluation.
        name: Path of the file, relative to the folder.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is outside the folder, of another kind, or too large for a page.
    """
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()) or path.suffix not in _TYPES:
        raise ValueError(f"{path}: must be a file below {directory} that ends in one of {', '.join(_TYPES)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file not found; the evaluation's report_data.json names it")
    content = path.read_bytes()
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path}: must have at most {_MOST_BYTES >> 20} MiB for a page, got {len(content) >> 20}")
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(content).decode()}"


def gallery_section(evaluation: Evaluation) -> Section:
    """Builds the section of the best and the worst frames; `evaluation.gallery` must not be empty."""
    groups = {"Best frames": True, "Worst frames": False}
    parts = []
    for title, is_best in groups.items():
        frames = [frame for frame in evaluation.gallery if frame.is_best == is_best]
        if frames:
            begin = f'<div class="gallery" role="group" aria-label="{title}">\n<p>{title}</p>\n'
            parts.append(f"{begin}{_pairs(evaluation.directory, frames)}</div>")
    text = f"Annotated people on the left or above, predicted ones on the right or below. {evaluation.score_name}"
    return Section("frames", "Best and worst", text, html="\n".join(parts))


def _pairs(directory: pathlib.Path, frames: Sequence[GalleryFrame]) -> str:
    return "".join(
        '<figure class="pair">\n'
        f"<figcaption>{_escape(frame.name)}: {format_metric(frame.score)}&nbsp;%"
        f'<span class="note">{_escape(frame.details)}</span></figcaption>\n'
        f"{_image(directory, frame.truth, f'{frame.name}, annotated people')}"
        f"{_image(directory, frame.prediction, f'{frame.name}, predicted people: {frame.details}')}"
        "</figure>\n"
        for frame in frames
    )


def _image(directory: pathlib.Path, name: str, words: str) -> str:
    return f'<img src="{data_url(directory, name)}" alt="{_escape(words)}">\n'


def video_section(directory: pathlib.Path, clip: VideoClip) -> Section:
    """Builds the section of the video, which the reader starts."""
    poster, source = (data_url(directory, name) for name in (clip.poster, clip.path))
    markup = (
        f'<figure class="video"><video controls muted loop playsinline preload="metadata" poster="{poster}" '
        f'src="{source}" aria-label="{_escape(clip.description)}"></video>\n'
        f"<figcaption>{_escape(clip.description)}</figcaption></figure>"
    )
    text = "Predicted people, colored by track, with ids. A WebM video: a browser that cannot play it shows one frame."
    return Section("video", "Video", text, html=markup)


def _escape(text: str) -> str:
    return html.escape(printable(text))
