"""Small reports, and pages taken apart."""

from __future__ import annotations

import html.parser
import pathlib

import numpy as np

from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.posetrack import PoseSequence, build_frame
from tfpose.skeletons import POSETRACK15

_NUM_FRAMES, _NUM_PEOPLE = 4, 2
_VOID = ("meta", "link", "br", "img", "input", "hr")


def make_pair(name: str, seed: int, noise: float = 6.0) -> tuple[PoseSequence, PoseSequence]:
    """Ground truth and predictions of one video."""
    rng = np.random.default_rng(seed)
    people = rng.uniform(50, 400, (_NUM_PEOPLE, 1, 2)) + rng.normal(0, 30, (_NUM_PEOPLE, POSETRACK15.num_joints, 2))
    frames = [_frames(rng, people + 3 * index, index, noise) for index in range(_NUM_FRAMES)]
    path = pathlib.Path("sequence.json")
    true, predicted = zip(*frames, strict=True)
    return PoseSequence(name, POSETRACK15, true, path), PoseSequence(name, POSETRACK15, predicted, path)


def _frames(rng: np.random.Generator, keypoints: np.ndarray, index: int, noise: float) -> tuple:
    heads = keypoints.mean(axis=1)
    visibility = np.full(keypoints.shape[:2], 2)
    shared = {"file_name": f"images/{index:06d}.jpg", "index": index, "image_id": 10**10 + index}
    true = build_frame(
        keypoints=keypoints,
        visibility=visibility,
        track_ids=np.arange(_NUM_PEOPLE),
        head_boxes=np.concatenate([heads, heads + 30], axis=1),
        is_labeled=True,
        **shared,
    )
    predicted = build_frame(
        keypoints=keypoints + rng.normal(0, noise, keypoints.shape),
        visibility=visibility,
        track_ids=np.arange(_NUM_PEOPLE) + 10 * (index // 2),
        joint_scores=rng.uniform(0.1, 1, visibility.shape),
        **shared,
    )
    return true, predicted


def make_report(
    names: tuple[str, ...] = ("first", "second"),
    metrics: tuple[str, ...] = ("ap", "mot", "hota"),
    noise: float = 6.0,
    per_sequence: bool = True,
) -> PoseTrackReport:
    pairs = [make_pair(name, seed, noise) for seed, name in enumerate(names)]
    return evaluate_sequences(*zip(*pairs, strict=True), PoseTrackOptions(metrics), per_sequence=per_sequence)


class Page(html.parser.HTMLParser):
    """What a browser would find in a page: attributes, text, tables. Complains about unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.tables: list[dict] = []
        self.cards: dict[str, str] = {}
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._row: list[tuple[str, str | None, str]] = []
        self.feed(text)
        self.close()
        if self._open:
            raise ValueError(f"never closed: {self._open}")

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append({"title": "", "rows": []})
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            values = dict(attrs)
            self._row.append(["", values.get("data-value"), values.get("class", "")])

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"closed out of order: {tag} at {self.getpos()}")
        if tag == "tr":
            self.tables[-1]["rows"].append(self._row)

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        self.texts.append((self._open[-1], data))
        if "table" in self._open and self._open[-1] in ("td", "th", "button"):
            self._row[-1][0] += data
        elif self._open[-1] == "caption":
            self.tables[-1]["title"] += data

    def table(self, title: str) -> dict[str, list]:
        """The cells of the fullest table of that title, by name of the row: (text, exact value, class)."""
        tables = [table for table in self.tables if table["title"] == title]
        fullest = max(tables, key=lambda table: len(table["rows"]))
        return {row[0][0]: row[1:] for row in fullest["rows"]}

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]

    def text(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if tag in tags]
