"""Names of metrics that compare with the labels of a teacher: an agreement, which is no average precision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tfpose.metrics.report import format_number

# Blocks of metrics.json with metrics by name.
_BLOCKS = ("coco", "boxes", "pck", "pckh")
AGREEMENT_BLOCK = "agreement_with_teacher"
_TITLES = {
    "coco": "keypoints (object keypoint similarity)",
    "boxes": "boxes of people (overlap)",
    "pck": "joints within 0.2 of the torso diagonal",
    "pckh": "joints within 0.5 of the head's size",
}


def agreement_name(metric: str) -> str:
    """Returns the name of a metric as an agreement with a teacher.

    Example:
        >>> [agreement_name(name) for name in ("AP", "box_AP50", "AR_large", "PCK")]
        ['agreement', 'box_agreement50', 'recall_of_teacher_large', 'PCK_agreement']
    """
    renamed = re.sub(r"m?AP", "agreement", metric, count=1)
    renamed = re.sub(r"\bAR|(?<=_)AR", "recall_of_teacher", renamed, count=1)
    return renamed if renamed != metric else f"{metric}_agreement"


def rename_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metrics by their names as agreements."""
    return {agreement_name(name): value for name, value in metrics.items()}


def as_agreement(metrics: Mapping[str, Any], teacher: str) -> dict[str, Any]:
    """Returns the content of metrics.json with all metrics in the block `AGREEMENT_BLOCK`.

    Args:
        metrics: Blocks of metrics, and other entries, which stay.
        teacher: Name of the teacher.
    """
    blocks: dict[str, Any] = {"teacher": teacher}
    for name in _BLOCKS:
        if name in metrics:
            key = "keypoints" if name == "coco" else name
            blocks[key] = rename_metrics(metrics[name]) if name in ("coco", "boxes") else metrics[name]
    return {AGREEMENT_BLOCK: blocks, **{name: value for name, value in metrics.items() if name not in _BLOCKS}}


def format_agreement(metrics: Mapping[str, Any]) -> str:
    """Returns the result of `as_agreement` as lines for a terminal."""
    blocks = metrics[AGREEMENT_BLOCK]
    lines = [f"agreement with teacher {blocks['teacher']}, percent; the labels are no ground truth"]
    for name, title in _TITLES.items():
        key = "keypoints" if name == "coco" else name
        if key in blocks:
            values = {"total": blocks[key]["total"]} if "total" in blocks[key] else blocks[key]
            lines.append(f"{title}\n  " + "  ".join(f"{k} {format_number(value)}" for k, value in values.items()))
    return "\n".join(lines)


def teacher_note(teacher: str, split: str) -> str:
    """Returns the line that says whose labels those of a split are."""
    return f"note: the labels of split {split} are the poses of teacher {teacher}; metrics are the agreement with it"
