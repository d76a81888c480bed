"""Every metric of PoseTrack files, described once: scoring, searches, reports and flags read `METRICS`.

To add a metric, write a function that counts and one that summarizes the counts, describe the results in a `Block`,
and add a `MetricGroup` to `METRICS`. Importing this module takes NumPy only.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.metrics.average_precision import (
    JointAveragePrecision,
    JointSamples,
    TieRule,
    join_samples,
    joint_average_precision,
)
from tfpose.metrics.batches import SequenceBatch
from tfpose.metrics.hota import SIMILARITY_RADIUS, HotaParts, hota_metrics, hota_parts, join_parts
from tfpose.metrics.intervals import resample_average_precision, resample_tracking
from tfpose.metrics.joints import JOINTS, JOINTS21, JOINTS21_IN_JOINTS, NUM_JOINTS
from tfpose.metrics.matching import assign_poses, correct_joints
from tfpose.metrics.posetrack_selection import SelectedPeople, select_people, select_people21
from tfpose.metrics.tracking import (
    CLEAN_RULES,
    OFFICIAL_RULES,
    TrackingCounts,
    TrackingMetrics,
    TrackingRules,
    count_tracking,
    stack_counts,
    tracking_metrics,
)
from tfpose.posetrack.columns import PersonColumns
from tfpose.posetrack.evaluated_columns import columns21_from_content, columns_from_content


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """An official evaluator: what it reads, whom it evaluates, and in which order it lists the joints.

    Attributes:
        name: Name of its section in metrics.json.
        joints: The joints in the order of its results.
        read: Function that reads the columns of a file; see `columns_from_content`.
        select: Function of true columns, predicted columns and whether labeled frames without true people are accepted
            that returns the people to evaluate.
        frame_rule: What a frame must be or have to be evaluated, as a verb phrase for messages.
    """

    name: str
    joints: tuple[str, ...]
    read: Callable[..., PersonColumns]
    select: Callable[[PersonColumns, PersonColumns, bool], SelectedPeople]
    frame_rule: str


POSEVAL = Evaluator(
    "posetrack", JOINTS, columns_from_content, lambda true, predicted, _: select_people(true, predicted), "has people"
)
POSETRACK21 = Evaluator("posetrack21", JOINTS21, columns21_from_content, select_people21, "is labeled")


@dataclasses.dataclass(frozen=True)
class Column:
    """One metric: a number for each joint and their total, in percent.

    Attributes:
        name: Key in metrics.json.
        read: Function that takes the numbers [J + 1] out of the result of the block, in the evaluator's order of
            joints, the total last.
        label: Name in the block's table, in searches and in charts; empty if the column is not shown there.
        joint_label: Name in the report's table of joints; empty if the column is not shown there.
        card_label: Name on the report's card that shows the total; empty if there is no such card.
        card_note: A few words on the card that say what the metric measures.
        is_searched: Whether a search reports the total.
        higher_is_better: Whether a greater number is the better one.
    """

    name: str
    read: Callable[[Any], np.ndarray]
    label: str = ""
    joint_label: str = ""
    card_label: str = ""
    card_note: str = ""
    is_searched: bool = False
    higher_is_better: bool = True

    def gain(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns how much better the second numbers are than the first numbers."""
        return second - first if self.higher_is_better else first - second


@dataclasses.dataclass(frozen=True)
class Block:
    """Columns that are computed together and make one table.

    Attributes:
        name: Key in `PoseTrackMetrics.blocks` and in report_data.json.
        title: Title of the table, with the unit.
        count: Function of a `SequenceBatch` that returns the counts of each of its sequences.
        summarize: Function of the counts of some sequences, the tie rule of AP, and whether the counts are those of a
            single sequence reported alone, that returns the result.
        result: Type of the result: a dataclass of arrays, or a dictionary of arrays.
        columns: The columns; the first one stands for the block.
        is_grouped: Whether the table shows the first column by groups of joints. Of other columns it shows the total.
        is_nested: Whether metrics.json holds the columns under the block's name, not beside those of other blocks.
        is_clean: Whether the block is only computed where clean metrics are wanted. Such a block has a table but no
            charts.
        resample: Function of the counts of S sequences, of how often each of R resamples holds each sequence [R, S],
            and of the tie rule of AP, that returns the total of the first column in each resample, [R]. None if the
            block has no confidence interval.
    """

    name: str
    title: str
    count: Callable[[SequenceBatch], Sequence[Any]]
    summarize: Callable[[Sequence[Any], TieRule, bool], Any]
    result: Callable[..., Any]
    columns: tuple[Column, ...]
    is_grouped: bool = True
    is_nested: bool = False
    is_clean: bool = False
    resample: Callable[[Sequence[Any], np.ndarray, TieRule], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class MetricGroup:
    """Metrics that a user asks for by one name.

    Attributes:
        description: A phrase that says what is computed.
        evaluator: The official evaluator whose rules apply.
        blocks: The blocks to compute.
        main_block: Name of the block whose first column stands for the group: a search can optimize it, comparisons
            compare it, and charts show it.
        thresholds: Constants of the metrics, for the provenance in metrics.json.
        says_nothing_of_single_frames: Whether sequences of a single evaluated frame are left out of the metrics.
        sequence_note: A sentence below the chart by sequence that helps to read it.
        needs_identities: Whether the people must have track ids.
    """

    description: str
    evaluator: Evaluator
    blocks: tuple[Block, ...]
    main_block: str
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    says_nothing_of_single_frames: bool = False
    sequence_note: str = ""
    needs_identities: bool = True

    @property
    def main(self) -> Column:
        """The column that stands for the group."""
        return next(block.columns[0] for block in self.blocks if block.name == self.main_block)


def _count_samples(batch: SequenceBatch) -> list[JointSamples]:
    assigned = assign_poses(batch.near, len(batch.true))
    is_correct = correct_joints(batch.near, assigned, NUM_JOINTS)
    ends = np.cumsum([len(sequence.predicted) for sequence in batch.sequences])
    return [
        JointSamples(s.predicted.scores, s.predicted.has_joint, correct, s.true.has_joint.sum(axis=0))
        for s, correct in zip(batch.sequences, np.split(is_correct, ends[:-1]), strict=True)
    ]


def _summarize_samples(
    samples: Sequence[JointSamples], tie_rule: TieRule, is_single_sequence: bool
) -> JointAveragePrecision:
    del is_single_sequence
    return joint_average_precision(join_samples(samples), tie_rule)


def _summarize_samples21(
    samples: Sequence[JointSamples], tie_rule: TieRule, is_single_sequence: bool
) -> JointAveragePrecision:
    del is_single_sequence
    metrics = joint_average_precision(join_samples(samples), tie_rule, counts_joints_without_truth=True)
    fields = (field.name for field in dataclasses.fields(metrics))
    return JointAveragePrecision(**{name: _in_order21(getattr(metrics, name)) for name in fields})


def _count_tracking(batch: SequenceBatch, rules: TrackingRules) -> list[TrackingCounts]:
    num_sequences = len(batch.sequences)
    counts = count_tracking(batch.true, batch.predicted, batch.near, batch.frame_sequences, num_sequences, rules)
    return [counts.select(sequence) for sequence in range(num_sequences)]


def _summarize_tracking(counts: Sequence[TrackingCounts], tie_rule: TieRule, is_single_sequence: bool) -> Any:
    del tie_rule, is_single_sequence
    return tracking_metrics(stack_counts(counts).sum())


def _resample_tracking(counts: Sequence[TrackingCounts], draws: np.ndarray, tie_rule: TieRule) -> np.ndarray:
    del tie_rule
    return resample_tracking(stack_counts(counts), draws)


def _count_hota(batch: SequenceBatch, repeats_empty_frames: bool) -> list[HotaParts]:
    return [hota_parts(s.true, s.predicted, s.num_frames, repeats_empty_frames) for s in batch.sequences]


def _summarize_hota(parts: Sequence[HotaParts], tie_rule: TieRule, is_single_sequence: bool) -> dict[str, np.ndarray]:
    del tie_rule
    joined = parts[0] if is_single_sequence else join_parts(parts)
    return {name: _in_order21(values) for name, values in hota_metrics(joined, is_single_sequence).items()}


def _in_order21(values: np.ndarray) -> np.ndarray:
    """Reorders numbers [J] or [J + 1] from the order of `JOINTS` to the order of `JOINTS21`; a total stays last."""
    return np.concatenate([values[JOINTS21_IN_JOINTS], values[NUM_JOINTS:]])


_AVERAGE_PRECISION = Block(
    name="average_precision",
    title="AP (%)",
    count=_count_samples,
    summarize=_summarize_samples,
    result=JointAveragePrecision,
    columns=(
        Column(
            "ap",
            operator.attrgetter("ap"),
            label="AP",
            joint_label="AP",
            card_label="mAP",
            card_note="mean average precision of the joints",
            is_searched=True,
        ),
        Column(
            "precision",
            operator.attrgetter("precision"),
            joint_label="AP Prec",
            card_label="Precision",
            card_note="correct among the predicted joints",
        ),
        Column(
            "recall",
            operator.attrgetter("recall"),
            joint_label="AP Rec",
            card_label="Recall",
            card_note="found among the true joints",
        ),
    ),
    resample=resample_average_precision,
)
_TRACKING = Block(
    name="tracking",
    title="MOTA (%)",
    count=functools.partial(_count_tracking, rules=OFFICIAL_RULES),
    summarize=_summarize_tracking,
    result=TrackingMetrics,
    columns=(
        Column(
            "mota",
            operator.attrgetter("mota"),
            label="MOTA",
            joint_label="MOTA",
            card_label="MOTA",
            card_note="tracking accuracy, all joints",
            is_searched=True,
        ),
        Column(
            "motp",
            operator.attrgetter("motp"),
            label="MOTP",
            joint_label="MOTP",
            card_label="MOTP",
            card_note="how near the matched joints are",
        ),
        Column("motp_matched", operator.attrgetter("motp_matched"), label="MOTP matched"),
        Column(
            "mot_precision",
            operator.attrgetter("precision"),
            label="Prec",
            joint_label="MOT Prec",
            card_label="Precision",
            card_note="correct among the predicted joints",
        ),
        Column(
            "mot_recall",
            operator.attrgetter("recall"),
            label="Rec",
            joint_label="MOT Rec",
            card_label="Recall",
            card_note="found among the true joints",
        ),
    ),
    resample=_resample_tracking,
)
_CLEAN_TRACKING = dataclasses.replace(
    _TRACKING,
    name="clean_tracking",
    title="MOTA with all frames as they are (%)",
    count=functools.partial(_count_tracking, rules=CLEAN_RULES),
    columns=tuple(dataclasses.replace(column, name=f"clean_{column.name}") for column in _TRACKING.columns),
    is_clean=True,
)
_POSE_MAP = Block(
    name="pose_map",
    title="PoseTrack21 mAP (%)",
    count=_count_samples,
    summarize=_summarize_samples21,
    result=JointAveragePrecision,
    columns=(
        Column(
            "map",
            operator.attrgetter("ap"),
            label="PoseTrack21 mAP",
            joint_label="PoseTrack21 AP",
            card_label="PT21 mAP",
            card_note="mAP by the rules of PoseTrack21",
        ),
        Column("map_precision", operator.attrgetter("precision")),
        Column("map_recall", operator.attrgetter("recall")),
    ),
)
_HOTA = Block(
    name="hota",
    title="HOTA, total (%)",
    count=functools.partial(_count_hota, repeats_empty_frames=True),
    summarize=_summarize_hota,
    result=dict,
    columns=(
        Column(
            "HOTA",
            operator.itemgetter("HOTA"),
            label="HOTA",
            joint_label="HOTA",
            card_label="HOTA",
            card_note="PoseTrack21: detection and association",
            is_searched=True,
        ),
        Column("DetA", operator.itemgetter("DetA"), label="DetA", joint_label="DetA"),
        Column("AssA", operator.itemgetter("AssA"), label="AssA", joint_label="AssA", is_searched=True),
        *(
            Column(name, operator.itemgetter(name), label=name)
            for name in ("FragA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "RHOTA", "FA-HOTA", "FA-RHOTA")
        ),
    ),
    is_grouped=False,
    is_nested=True,
)
_CLEAN_HOTA = dataclasses.replace(
    _HOTA,
    name="clean_hota",
    title="HOTA, total, with empty frames counted once (%)",
    count=functools.partial(_count_hota, repeats_empty_frames=False),
    is_clean=True,
)

# The groups by the name that users ask for them by, in the order of tables and charts.
METRICS: dict[str, MetricGroup] = {
    "ap": MetricGroup(
        description="the average precision of the joints (AP)",
        evaluator=POSEVAL,
        blocks=(_AVERAGE_PRECISION,),
        main_block="average_precision",
        needs_identities=False,
    ),
    "mot": MetricGroup(
        description="the tracking accuracy and precision (MOTA, MOTP)",
        evaluator=POSEVAL,
        blocks=(_TRACKING, _CLEAN_TRACKING),
        main_block="tracking",
        says_nothing_of_single_frames=True,
        sequence_note="MOTA is negative where wrong joints, misses and changes of identity outnumber the true joints.",
    ),
    "hota": MetricGroup(
        description="the higher-order tracking accuracy (HOTA) and mean average precision (mAP) of PoseTrack21, which "
        "require annotations of the 2018 format with is_labeled, ignore_regions_x and ignore_regions_y in every image",
        evaluator=POSETRACK21,
        blocks=(_POSE_MAP, _HOTA, _CLEAN_HOTA),
        main_block="hota",
        thresholds={"hota_radius_head_sizes": SIMILARITY_RADIUS},
    ),
}
# What is computed where nobody chooses.
DEFAULT_METRICS = ("ap", "mot")
# The group that the report charts by sequence; where it was not computed, the first group that was.
SEQUENCE_CHART = "mot"
# What a search optimizes where nobody chooses; a key of `objectives()`.
DEFAULT_OBJECTIVE = "mota"


def describe_metrics() -> str:
    """Returns the names of the groups and the metrics of each group, for help texts."""
    return "; ".join(f"{name} is {group.description}" for name, group in METRICS.items())


def objectives() -> dict[str, str]:
    """Returns the labels of the metrics for searches and comparisons by their lower-case names."""
    return {group.main.label.lower(): group.main.label for group in METRICS.values()}


def group_of(objective: str) -> str:
    """Returns the name of the group whose main column has a label or its lower-case name.

    Raises:
        ValueError: No group has.
    """
    for name, group in METRICS.items():
        if objective in (group.main.label, group.main.label.lower()):
            return name
    raise ValueError(f"objective must be one of {', '.join(objectives())}, got {objective!r}")
