"""Pictures and videos inside a page: `data:` URLs of files, and the HTML around them."""

from __future__ import annotations

import base64
import html
import pathlib
from collections.abc import Mapping, Sequence

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


def split_gallery(evaluation: Evaluation) -> tuple[list[GalleryFrame], list[GalleryFrame]]:
    """Returns the best and the worst frame, and the other frames."""
    best, worst = ([frame for frame in evaluation.gallery if frame.is_best == is_best] for is_best in (True, False))
    return [*best[:1], *worst[:1]], [*best[1:], *worst[1:]]


def first_frames(evaluations: Mapping[str, Evaluation]) -> str:
    """Returns the HTML of the best and the worst frame of each evaluation, side by side."""
    parts = []
    for name, evaluation in evaluations.items():
        title = f"<p>{_escape(name)}</p>\n" if len(evaluations) > 1 else ""
        pairs = _pairs(evaluation.directory, split_gallery(evaluation)[0], has_kinds=True)
        parts.append(f'<div class="gallery">\n{title}<div class="grid">\n{pairs}</div>\n</div>\n')
    return "".join(parts)


def gallery_part(evaluation: Evaluation, frames: Sequence[GalleryFrame]) -> Section:
    """Builds the section of best and worst frames of one evaluation."""
    groups = {"Best frames": True, "Worst frames": False}
    parts = []
    for title, is_best in groups.items():
        shown = [frame for frame in frames if frame.is_best == is_best]
        if shown:
            begin = f'<div class="gallery" role="group" aria-label="{title}">\n<p>{title}</p>\n<div class="grid">\n'
            parts.append(f"{begin}{_pairs(evaluation.directory, shown)}</div>\n</div>")
    return Section("frames", "Best and worst", html="\n".join(parts))


def _pairs(directory: pathlib.Path, frames: Sequence[GalleryFrame], has_kinds: bool = False) -> str:
    return "".join(
        '<figure class="pair">\n'
        f"<figcaption>{('Best: ' if frame.is_best else 'Worst: ') if has_kinds else ''}"
        f"{_escape(frame.name)}: {format_metric(frame.score)}&nbsp;%"
        f'<span class="note">{_escape(frame.details)}</span></figcaption>\n'
        f"{_image(directory, frame.truth, f'{frame.name}, annotated people')}"
        f"{_image(directory, frame.prediction, f'{frame.name}, predicted people: {frame.details}')}"
        "</figure>\n"
        for frame in frames
    )


def _image(directory: pathlib.Path, name: str, words: str) -> str:
    return f'<img src="{data_url(directory, name)}" alt="{_escape(words)}">\n'


def video_grid(evaluations: Mapping[str, Evaluation]) -> str:
    """Returns the HTML of the videos, which the reader starts; on paper their posters. All must have a video."""
    figures = [
        _video(evaluation.directory, evaluation.video, name if len(evaluations) > 1 else "")
        for name, evaluation in evaluations.items()
        if evaluation.video is not None
    ]
    return '<div class="grid">\n' + "\n".join(figures) + "\n</div>"


def _video(directory: pathlib.Path, clip: VideoClip, name: str) -> str:
    poster, source = (data_url(directory, path) for path in (clip.poster, clip.path))
    words = _escape(f"{name}: {clip.description}" if name else clip.description)
    return (
        f'<figure class="video"><video controls muted loop playsinline preload="metadata" poster="{poster}" '
        f'src="{source}" aria-label="{words}"></video>\n'
        f'<img class="print-only" src="{poster}" alt="First frame of the video">\n'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _escape(text: str) -> str:
    return html.escape(printable(text))
