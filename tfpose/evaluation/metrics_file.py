"""The metrics of an evaluation and their provenance as metrics.json and as lines for a terminal. NumPy only."""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from tfpose.json_files import write_json
from tfpose.metrics.joints import PUBLISHED_NAMES
from tfpose.metrics.keypoints import CorrectKeypoints
from tfpose.metrics.report import format_number
from tfpose.skeletons import Skeleton

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
CORRECT_KEYPOINTS_TITLES = {"pck": "PCK@0.2 of the torso diagonal", "pckh": "PCKh@0.5 of the head's size"}


def write_metrics(directory: str | pathlib.Path, metrics: Mapping[str, Any], has_page: bool = False) -> pathlib.Path:
    """Writes metrics.json whole or not at all; numbers that are not finite become null.

    Args:
        directory: Folder of the results.
        metrics: Content of the file.
        has_page: Whether a report follows. Otherwise a line on stderr tells of the report of an earlier run.
    """
    path = pathlib.Path(directory) / METRICS_FILE
    write_json(path, without_nan(metrics), indent=2)
    page = path.with_name(REPORT_FILE)
    if not has_page and page.is_file():
        print(f"note: {page} shows an earlier run; --report writes it anew", file=sys.stderr)
    return path


def without_nan(value: Any) -> Any:
    """Returns the value with None in place of every number that is not finite, for JSON."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def describe_correct_keypoints(counts: CorrectKeypoints, skeleton: Skeleton) -> dict[str, Any]:
    """Returns PCK or PCKh as an entry of metrics.json, in percent. Joints have the names of PoseTrack's metrics."""
    is_free = {joint: name not in skeleton.joints for joint, name in PUBLISHED_NAMES.items()}
    names = [PUBLISHED_NAMES[joint] if is_free.get(joint) else joint for joint in skeleton.joints]
    return {
        "total": 100 * counts.over_all_keypoints,
        "mean_over_joints": 100 * counts.mean_over_joints,
        "joints": dict(zip(names, (100 * counts.per_joint).tolist(), strict=True)),
    }


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Returns the metrics as lines for a terminal."""
    lines = ["COCO keypoints (object keypoint similarity), percent"]
    lines.append("  " + "  ".join(f"{name} {format_number(value)}" for name, value in metrics["coco"].items()))
    for name, title in CORRECT_KEYPOINTS_TITLES.items():
        if name in metrics:
            lines.append(f"{title}: {format_number(metrics[name]['total'])} over all keypoints")
            lines.append(
                "  " + "  ".join(f"{joint} {format_number(share)}" for joint, share in metrics[name]["joints"].items())
            )
    return "\n".join(lines)
