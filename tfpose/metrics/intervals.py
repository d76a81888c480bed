"""Confidence intervals of AP and MOTA by the bootstrap over sequences. NumPy only.

Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval). Sequences
are resampled, not frames, because the frames of one sequence resemble each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfpose.metrics.average_precision import JointSamples, TieRule, join_samples, rank_samples, with_mean
from tfpose.metrics.tracking import TrackingCounts, tracking_metrics

CONFIDENCE_PERCENT = 95
NUM_RESAMPLES = 1000
# A fixed seed draws the same sequences for every system, so that the intervals of systems compare.
SEED = 0
# Elements of the arrays that are in memory at once; more are slower.
_MOST_ELEMENTS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Interval:
    """A confidence interval of a metric, in percent.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


def draw_sequences(num_sequences: int, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Draws as many sequences as there are, with replacement, again and again.

    Returns:
        [R, S] int64, how often each resample holds each sequence; the sum of each row is S.
    """
    shares = np.full(num_sequences, 1 / num_sequences)
    return np.random.default_rng(seed).multinomial(num_sequences, shares, size=num_resamples)


def percentile_interval(values: np.ndarray) -> Interval | None:
    """Returns the interval that holds the middle 95 percent of the values [R]; None if no value is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return Interval(float(low), float(high))


def resample_tracking(counts: TrackingCounts, draws: np.ndarray) -> np.ndarray:
    """Returns the total MOTA of each resample, in percent.

    Args:
        counts: Counts [S, J] of each sequence.
        draws: [R, S] how often each resample holds each sequence.

    Returns:
        [R] percent; NaN where a resample has no true joint.
    """
    names = [field.name for field in dataclasses.fields(counts)]
    return tracking_metrics(TrackingCounts(**{name: draws @ getattr(counts, name) for name in names})).mota[:, -1]


def resample_average_precision(
    parts: Sequence[JointSamples], draws: np.ndarray, tie_rule: TieRule = "stable"
) -> np.ndarray:
    """Returns the total AP of each resample, in percent.

    The joints are ranked once. A resample counts each joint as often as the sequence of the joint was drawn, which
    gives the AP of the resampled sequences exactly; equal scores keep the order that they have in all sequences.

    Args:
        parts: The samples of each sequence.
        draws: [R, S] how often each resample holds each sequence.
        tie_rule: Order of equal scores.

    Returns:
        [R] percent; NaN where no joint has an AP.
    """
    samples = join_samples(parts)
    sequences = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    num_true = draws @ np.stack([part.num_true for part in parts])
    num_joints = samples.scores.shape[1]
    ap = np.zeros((len(draws), num_joints))
    for joint in range(num_joints):
        is_joint = samples.is_joint[:, joint]
        scores, is_correct = samples.scores[is_joint, joint], samples.is_correct[is_joint, joint]
        order = rank_samples(scores, is_correct, tie_rule)
        ap[:, joint] = _weighted_ap(sequences[is_joint][order], is_correct[order], draws, num_true[:, joint])
    return with_mean(100 * ap)[:, -1]


def _weighted_ap(sequences: np.ndarray, is_correct: np.ndarray, draws: np.ndarray, num_true: np.ndarray) -> np.ndarray:
    """Returns [R] AP in [0, 1] of ranked samples [N] that count as often as their sequence was drawn."""
    ap = np.zeros(len(draws))
    step = max(1, _MOST_ELEMENTS // max(1, len(sequences)))
    for start in range(0, len(draws), step):
        rows = slice(start, start + step)
        weights = draws[rows][:, sequences].astype(np.float64)
        found, ranks = np.cumsum(weights * is_correct, axis=1), np.cumsum(weights, axis=1)
        precision = found / np.maximum(ranks, 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        areas = np.sum(weights * is_correct * envelope, axis=1)
        # As in all sequences: without samples 0, with samples but without true joints unknown.
        is_empty = weights.sum(axis=1) == 0
        known = np.where(num_true[rows] > 0, areas / np.maximum(num_true[rows], 1), np.nan)
        ap[rows] = np.where(is_empty, 0.0, known)
    return ap
