"""Multi-person pose estimation and tracking on TensorFlow 2 and Keras 3."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfpose.api import Model, load, score
    from tfpose.inference.inference_dtype import InferenceDtype
    from tfpose.pose_exchange import poses_from_supervision
    from tfpose.poses import Poses
    from tfpose.tracking.tracker import Tracker

__version__ = "0.2.0"
__all__ = ["InferenceDtype", "Model", "Poses", "Tracker", "__version__", "load", "poses_from_supervision", "score"]

# The module of each public name; it is imported at the first use of the name, so that importing tfpose costs nothing.
_HOMES = {
    "InferenceDtype": "tfpose.inference.inference_dtype",
    "Model": "tfpose.api",
    "load": "tfpose.api",
    "Poses": "tfpose.poses",
    "Tracker": "tfpose.tracking.tracker",
    "poses_from_supervision": "tfpose.pose_exchange",
}


def __getattr__(name: str) -> Any:
    if name == "score":
        # A program and a function have this name; the module of the program can be called.
        return importlib.import_module("tfpose.score")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
