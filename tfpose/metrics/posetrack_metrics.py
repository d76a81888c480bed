"""The metrics of PoseTrack 2017, 2018 and PoseTrack21, and how metrics.json holds them. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfpose.json_files import null_for_nan
from tfpose.metrics.average_precision import JointAveragePrecision, JointSamples
from tfpose.metrics.catalog import METRICS, Column
from tfpose.metrics.intervals import Interval
from tfpose.metrics.joints import JOINTS
from tfpose.metrics.tracking import TrackingMetrics


@dataclasses.dataclass(frozen=True)
class PoseTrackMetrics:
    """Metrics of one sequence or of all sequences together.

    Attributes:
        num_frames: Number of evaluated frames; poseval evaluates those with true people.
        blocks: The result of each block of the catalog that was computed, by the block's name.
    """

    num_frames: int
    blocks: Mapping[str, Any]

    @property
    def average_precision(self) -> JointAveragePrecision | None:
        """The AP by poseval's rules in the order of `JOINTS`, the total last; None if AP was not computed."""
        return self.blocks.get("average_precision")

    @property
    def tracking(self) -> TrackingMetrics | None:
        """The tracking metrics in the order of `JOINTS`, the total last; None if the metrics were not computed."""
        return self.blocks.get("tracking")

    @property
    def clean_tracking(self) -> TrackingMetrics | None:
        """The metrics of `tracking`, counted over every frame with its own people."""
        return self.blocks.get("clean_tracking")

    @property
    def hota(self) -> dict[str, np.ndarray] | None:
        """The HOTA and its parts by name, in the order of `JOINTS21`, the total last; None if HOTA was not computed."""
        return self.blocks.get("hota")

    @property
    def clean_hota(self) -> dict[str, np.ndarray] | None:
        """The metrics of `hota`, with frames without true or predicted people counted once."""
        return self.blocks.get("clean_hota")

    @property
    def pose_map(self) -> JointAveragePrecision | None:
        """The AP by PoseTrack21's rules in the order of `JOINTS21`, the total last; None if AP was not computed."""
        return self.blocks.get("pose_map")


@dataclasses.dataclass(frozen=True)
class PoseTrackReport:
    """All metrics of a folder of predictions.

    Attributes:
        total: Metrics of all sequences together.
        num_sequences: Number of sequences with at least one evaluated frame; other sequences do not count.
        sequences: Metrics of each of these sequences alone, by name; empty where they were not asked for.
        samples: The ranked joints behind AP, for curves; None without AP.
        single_frame_sequences: Names of the sequences that tracking says nothing about, since it leaves the last
            evaluated frame out. The official tool stops there (IndexError); here they contribute nothing.
        notes: Lines for the user on what was left out and what was paired with what.
        intervals: Confidence intervals of the totals, by the name of the block in the catalog; empty where they were
            not asked for or where there is only one sequence.
    """

    total: PoseTrackMetrics
    num_sequences: int
    sequences: dict[str, PoseTrackMetrics]
    samples: JointSamples | None
    single_frame_sequences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the sections of metrics.json, one for each evaluator, and those of each sequence on request."""
        sections: dict[str, Any] = metrics_to_dict(self.total)
        if self.sequences:
            sections["sequences"] = {name: metrics_to_dict(metrics) for name, metrics in self.sequences.items()}
        return sections


def metrics_to_dict(metrics: PoseTrackMetrics) -> dict[str, dict[str, Any]]:
    """Returns one section of metrics.json for each evaluator; NaN becomes null, and missing metrics are absent."""
    sections: dict[str, dict[str, Any]] = {}
    for group in METRICS.values():
        for block in group.blocks:
            if block.name in metrics.blocks:
                section = sections.setdefault(group.evaluator.name, {"joints": [*group.evaluator.joints, "total"]})
                result = metrics.blocks[block.name]
                values = {column.name: null_for_nan(column.read(result)) for column in block.columns}
                section |= {block.name: values} if block.is_nested else values
    return sections


@dataclasses.dataclass(frozen=True)
class ComputedColumn:
    """A column of the catalog and its numbers.

    Attributes:
        group: Name of the column's group in `METRICS`.
        column: Description of the column.
        is_main: Whether the column stands for its group.
        is_in_main_block: Whether the column is in the block of the column that stands for the group.
        values: [16] numbers in the order of `JOINTS`, the total last.
    """

    group: str
    column: Column
    is_main: bool
    is_in_main_block: bool
    values: np.ndarray


def computed_columns(metrics: PoseTrackMetrics) -> list[ComputedColumn]:
    """Returns all computed columns with official rules, in the order of the catalog."""
    columns = []
    for name, group in METRICS.items():
        order = [*(group.evaluator.joints.index(joint) for joint in JOINTS), len(JOINTS)]
        for block in group.blocks:
            if block.name in metrics.blocks and not block.is_clean:
                is_main_block = block.name == group.main_block
                for column in block.columns:
                    values = column.read(metrics.blocks[block.name])[order]
                    is_main = is_main_block and column is block.columns[0]
                    columns.append(ComputedColumn(name, column, is_main, is_main_block, values))
    return columns


def main_columns(metrics: PoseTrackMetrics) -> dict[str, ComputedColumn]:
    """Returns the columns that stand for the computed groups, by label."""
    return {found.column.label: found for found in computed_columns(metrics) if found.is_main}


def search_scores(metrics: PoseTrackMetrics, objective: str) -> dict[str, float]:
    """Returns the totals that a search reports by label, the objective first."""
    totals = {c.column.label: float(c.values[-1]) for c in computed_columns(metrics) if c.column.is_searched}
    return {objective: totals[objective]} | totals
