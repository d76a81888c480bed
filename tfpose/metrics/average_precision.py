"""Average precision (AP) of joints, as PoseTrack counts it. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

TieRule = Literal["stable", "best", "worst"]


@dataclasses.dataclass(frozen=True)
class JointSamples:
    """The predicted joints of some frames, which are joined over sequences and ranked at the end.

    Attributes:
        scores: [P, J] float64 scores; NaN ranks first.
        is_joint: [P, J] bool, whether the joint is there.
        is_correct: [P, J] bool, whether the joint is there and correct.
        num_true: [J] number of true joints.
    """

    scores: np.ndarray
    is_joint: np.ndarray
    is_correct: np.ndarray
    num_true: np.ndarray


def join_samples(parts: Sequence[JointSamples]) -> JointSamples:
    """Joins the samples of several sequences; their order decides between equal scores."""
    return JointSamples(
        scores=np.concatenate([part.scores for part in parts]),
        is_joint=np.concatenate([part.is_joint for part in parts]),
        is_correct=np.concatenate([part.is_correct for part in parts]),
        num_true=np.sum([part.num_true for part in parts], axis=0),
    )


@dataclasses.dataclass(frozen=True)
class JointAveragePrecision:
    """Metrics in percent, one for each joint and then the total: the mean over joints that are not NaN.

    Attributes:
        ap: [J + 1] area under the precision-recall curve.
        precision: [J + 1] precision of all samples, at any score.
        recall: [J + 1] recall of all samples, at any score.
        num_true: [J] number of true joints.
        num_predicted: [J] number of samples.
        num_correct: [J] number of correct samples.
        num_tied: [J] number of samples that share their score with another sample, so that AP depends on the tie rule.
    """

    ap: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    num_true: np.ndarray
    num_predicted: np.ndarray
    num_correct: np.ndarray
    num_tied: np.ndarray


def joint_average_precision(
    samples: JointSamples, tie_rule: TieRule = "stable", counts_joints_without_truth: bool = False
) -> JointAveragePrecision:
    """Returns AP, precision and recall of each joint, after poseval (`evaluateAP.py`).

    A joint without samples has 0 in all three. A joint with samples but without true joints has a precision of 0, and
    its AP and recall are NaN.

    Args:
        samples: The samples of all sequences.
        tie_rule: Order of equal scores: "stable" puts the later sample first (a stable ascending sort, reversed; the
            official sort is not reproducible), "best" puts the correct samples first, "worst" the wrong ones.
        counts_joints_without_truth: Whether to take recall as a share of at least one joint, as PoseTrack21 does, so
            that no metric is NaN.
    """
    num_joints = samples.scores.shape[1]
    least_true = 1 if counts_joints_without_truth else 0
    rows = []
    for joint in range(num_joints):
        is_joint = samples.is_joint[:, joint]
        scores, is_correct = samples.scores[is_joint, joint], samples.is_correct[is_joint, joint]
        num_true = max(int(samples.num_true[joint]), least_true)
        ranked = is_correct[rank_samples(scores, is_correct, tie_rule)]
        rows.append((*_summarize(ranked, num_true), len(scores), is_correct.sum(), _num_tied(scores)))
    ap, precision, recall, num_predicted, num_correct, num_tied = np.array(rows, np.float64).reshape(-1, 6).T
    return JointAveragePrecision(
        ap=with_mean(100 * ap),
        precision=with_mean(100 * precision),
        recall=with_mean(100 * recall),
        num_true=samples.num_true,
        num_predicted=num_predicted.astype(np.int64),
        num_correct=num_correct.astype(np.int64),
        num_tied=num_tied.astype(np.int64),
    )


def rank_samples(scores: np.ndarray, is_correct: np.ndarray, tie_rule: TieRule = "stable") -> np.ndarray:
    """Returns [N] the positions of the samples, best score first."""
    if tie_rule == "stable":
        return _stable_order(scores)[::-1]
    if tie_rule not in ("best", "worst"):
        raise ValueError(f"tie_rule must be 'stable', 'best' or 'worst', got {tie_rule!r}")
    return np.lexsort((is_correct if tie_rule == "best" else ~is_correct, scores))[::-1]


def _stable_order(values: np.ndarray) -> np.ndarray:
    """Returns `np.argsort(values, kind="stable")`, in a fraction of the time where no two values are equal."""
    order = np.argsort(values)
    ordered = values[order]
    # The comparison is false for NaN too.
    return order if (ordered[1:] > ordered[:-1]).all() else np.argsort(values, kind="stable")


def precision_recall_curve(is_correct: np.ndarray, num_true: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and recall in [0, 1] after each sample, [N] each.

    Args:
        is_correct: [N] bool, whether the sample is correct, best score first.
        num_true: Number of true joints; recall is NaN if it is 0.
    """
    found = np.cumsum(is_correct)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = found / float(num_true) if num_true else np.full(len(found), np.nan)
    return found / np.arange(1, len(found) + 1), recall


def area_under_curve(precision: np.ndarray, recall: np.ndarray) -> float:
    """Returns the area under the full curve, with precision made non-increasing and without interpolation points.

    Example:
        >>> area_under_curve(np.array([1.0, 0.5, 2 / 3]), np.array([0.5, 0.5, 1.0]))
        0.8333333333333333
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def joint_curves(samples: JointSamples, tie_rule: TieRule = "stable") -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns precision and recall [N] of each joint, in [0, 1], for charts."""
    curves = []
    for joint in range(samples.scores.shape[1]):
        is_joint = samples.is_joint[:, joint]
        scores, is_correct = samples.scores[is_joint, joint], samples.is_correct[is_joint, joint]
        ranked = is_correct[rank_samples(scores, is_correct, tie_rule)]
        curves.append(precision_recall_curve(ranked, int(samples.num_true[joint])))
    return curves


def with_mean(values: np.ndarray) -> np.ndarray:
    """Returns [..., J + 1]: the values [..., J], then the mean of those that are not NaN (NaN if all are)."""
    is_known = ~np.isnan(values)
    counts = is_known.sum(axis=-1)
    sums = np.where(is_known, values, 0.0).sum(axis=-1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.concatenate([values, means[..., None]], axis=-1)


def _summarize(ranked: np.ndarray, num_true: int) -> tuple[float, float, float]:
    """Returns AP, precision and recall in [0, 1]."""
    if not len(ranked):
        return 0.0, 0.0, 0.0
    if not num_true:
        return np.nan, 0.0, np.nan
    precision, recall = precision_recall_curve(ranked, num_true)
    return area_under_curve(precision, recall), float(precision[-1]), float(recall[-1])


def _num_tied(scores: np.ndarray) -> int:
    ordered = np.sort(scores)
    is_same = ordered[1:] == ordered[:-1]
    return int(np.count_nonzero(np.append(is_same, False) | np.append(False, is_same)))
