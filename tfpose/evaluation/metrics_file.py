"""metrics.json: the figures of an evaluation, and what they are of. NumPy only."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.json_files import write_json

METRICS_FILE = "metrics.json"


def write_metrics(directory: str | pathlib.Path, metrics: Mapping[str, Any]) -> pathlib.Path:
    """Writes metrics.json whole or not at all; numbers that are not finite become null."""
    path = pathlib.Path(directory) / METRICS_FILE
    write_json(path, without_nan(metrics), indent=2)
    return path


def without_nan(value: Any) -> Any:
    """The same with null where a number is not finite, for JSON."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
