"""The figures of PoseTrack 2017, 2018 and PoseTrack21, and what metrics.json holds of them. NumPy only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfpose.metrics.average_precision import JointAveragePrecision, JointSamples
from tfpose.metrics.tracking import TrackingMetrics
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER
from tfpose.skeletons import POSETRACK18

# As in published figures, where the joint at the neck is called so.
JOINTS = tuple("neck" if joint == "head_bottom" else joint for joint in JOINTS_BY_NUMBER)
# The order of PoseTrack21's figures: that of its files without the ears.
JOINTS21 = tuple(JOINTS[JOINTS_BY_NUMBER.index(joint)] for joint in POSETRACK18.joints if joint in JOINTS_BY_NUMBER)
# Where the joints of `JOINTS21` are in `JOINTS`.
FROM_JOINTS = [JOINTS.index(joint) for joint in JOINTS21]
NUM_JOINTS = len(JOINTS)


@dataclasses.dataclass(frozen=True)
class PoseTrackMetrics:
    """Figures of one sequence or of all; None for what was not asked for.

    Attributes:
        num_frames: evaluated by poseval: those with true people.
        average_precision: per joint in the order of `JOINTS`, then total.
        tracking: likewise.
        clean_tracking: with the last frame and with what is in frames without true or predicted people.
        hota: figures in percent by name, [16] each, in the order of `JOINTS21`, then total.
        clean_hota: with frames without predicted people counted once.
        pose_map: PoseTrack21's AP, in the order of `JOINTS21`, then total.
    """

    num_frames: int
    average_precision: JointAveragePrecision | None = None
    tracking: TrackingMetrics | None = None
    clean_tracking: TrackingMetrics | None = None
    hota: dict[str, np.ndarray] | None = None
    clean_hota: dict[str, np.ndarray] | None = None
    pose_map: JointAveragePrecision | None = None


@dataclasses.dataclass(frozen=True)
class PoseTrackReport:
    """All figures of a comparison.

    Attributes:
        total: of all sequences together.
        num_sequences: with at least one evaluated frame; the others vanish.
        sequences: figures of each of those alone, by name, where asked for.
        samples: of AP, for curves.
        single_frame_sequences: names of those that tracking says nothing about, since it leaves the last evaluated
            frame out; the official tool stops there (IndexError), here they contribute nothing.
    """

    total: PoseTrackMetrics
    num_sequences: int
    sequences: dict[str, PoseTrackMetrics]
    samples: JointSamples | None
    single_frame_sequences: tuple[str, ...]

    def to_dict(self) -> dict:
        """What metrics.json holds: blocks `posetrack` and `posetrack21`, per sequence too where asked for."""
        blocks = metrics_to_dict(self.total)
        if self.sequences:
            blocks["sequences"] = {name: metrics_to_dict(figures) for name, figures in self.sequences.items()}
        return blocks


def metrics_to_dict(figures: PoseTrackMetrics) -> dict[str, dict]:
    """Blocks `posetrack` and `posetrack21` of metrics.json; NaN as null, what was not asked for is absent."""
    posetrack: dict[str, Any] = {}
    if figures.average_precision is not None:
        posetrack |= _fields(figures.average_precision, {"ap": "ap", "precision": "precision", "recall": "recall"})
    for prefix, tracking in (("", figures.tracking), ("clean_", figures.clean_tracking)):
        if tracking is not None:
            names = ("mota", "motp", "motp_matched")
            renamed = {"precision": f"{prefix}mot_precision", "recall": f"{prefix}mot_recall"}
            posetrack |= _fields(tracking, {name: prefix + name for name in names} | renamed)
    posetrack21: dict[str, Any] = {}
    for name, curves in (("hota", figures.hota), ("clean_hota", figures.clean_hota)):
        if curves is not None:
            posetrack21[name] = {key: _with_null(values) for key, values in curves.items()}
    if figures.pose_map is not None:
        names = {"ap": "map", "precision": "map_precision", "recall": "map_recall"}
        posetrack21 |= _fields(figures.pose_map, names)
    blocks = {"posetrack": (JOINTS, posetrack), "posetrack21": (JOINTS21, posetrack21)}
    return {name: {"joints": [*joints, "total"]} | block for name, (joints, block) in blocks.items() if block}


def _fields(figures: Any, names: dict[str, str]) -> dict[str, list]:
    return {key: _with_null(getattr(figures, field)) for field, key in names.items()}


def _with_null(values: np.ndarray) -> list:
    return [None if value != value else value for value in values.tolist()]
