"""Average precision: hand-worked curves, ties, and joints without samples or without anything to find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpose.metrics.average_precision import (
    JointSamples,
    area_under_curve,
    join_samples,
    joint_average_precision,
    joint_curves,
    rank_samples,
    with_mean,
)


def one_joint(scores: list[float], is_correct: list[int], num_true: int) -> JointSamples:
    count = len(scores)
    columns = np.array(scores, float).reshape(count, 1), np.ones((count, 1), bool)
    return JointSamples(*columns, np.array(is_correct, bool).reshape(count, 1), np.array([num_true]))


def test_area_of_a_curve_worked_by_hand():
    # Right, wrong, right of two true joints: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    figures = joint_average_precision(one_joint([0.9, 0.8, 0.7], [1, 0, 1], 2))
    assert figures.ap == pytest.approx([100 * (0.5 * 1 + 0.5 * 2 / 3)] * 2)
    assert figures.precision == pytest.approx([200 / 3] * 2)
    assert figures.recall == pytest.approx([100.0] * 2)


def test_equal_scores_are_ranked_by_the_rule():
    scores, is_correct = np.array([0.5, 0.5, 0.9]), np.array([True, False, False])
    assert rank_samples(scores, is_correct, "stable").tolist() == [2, 1, 0]
    assert rank_samples(scores, is_correct, "best").tolist() == [2, 0, 1]
    assert rank_samples(scores, is_correct, "worst").tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="tie_rule must be 'stable', 'best' or 'worst', got 'any'"):
        rank_samples(scores, is_correct, "any")


def test_a_null_score_ranks_first():
    assert rank_samples(np.array([np.inf, np.nan, -9999]), np.zeros(3, bool)).tolist() == [1, 0, 2]


def test_joints_without_samples_are_0_and_joints_with_nothing_to_find_are_nan():
    samples = JointSamples(
        np.ones((1, 3)), np.array([[True, False, True]]), np.zeros((1, 3), bool), np.array([0, 0, 2])
    )
    figures = joint_average_precision(samples)
    assert figures.ap == pytest.approx([np.nan, 0, 0, 0], nan_ok=True)
    assert figures.precision == pytest.approx([0, 0, 0, 0])
    assert figures.recall == pytest.approx([np.nan, 0, 0, 0], nan_ok=True)
    assert not np.isnan(joint_average_precision(samples, counts_joints_without_truth=True).ap).any()


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30), st.integers(0, 5))
def test_the_tie_rules_enclose_the_stable_one_and_parts_add_up(rows, missed):
    scores, is_correct = ([row[i] for row in rows] for i in range(2))
    num_true = sum(is_correct) + missed
    samples = one_joint(scores, is_correct, num_true)
    ap = {rule: joint_average_precision(samples, rule).ap[0] for rule in ("worst", "stable", "best")}
    if num_true:
        assert ap["worst"] - 1e-9 <= ap["stable"] <= ap["best"] + 1e-9
        assert 0 <= ap["stable"] <= 100 + 1e-9
    half = len(rows) // 2
    parts = [one_joint(scores[:half], is_correct[:half], 0), one_joint(scores[half:], is_correct[half:], num_true)]
    assert joint_average_precision(join_samples(parts)).ap[0] == pytest.approx(ap["stable"], nan_ok=True)


@settings(max_examples=100)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 3))
def test_area_is_that_of_a_plain_loop(is_correct, missed):
    num_true = sum(is_correct) + missed
    if not num_true:
        return
    samples = one_joint(list(range(len(is_correct)))[::-1], is_correct, num_true)
    area = 0.0
    for position, is_hit in enumerate(is_correct):
        if is_hit:
            later = (sum(is_correct[: k + 1]) / (k + 1) for k in range(position, len(is_correct)))
            area += max(later) / num_true
    assert joint_average_precision(samples).ap[0] == pytest.approx(100 * area)
    precision, recall = joint_curves(samples)[0]
    assert area_under_curve(precision, recall) == pytest.approx(area)


def test_mean_leaves_nan_out_and_is_nan_of_nothing():
    assert with_mean(np.array([1.0, np.nan, 3.0])) == pytest.approx([1, np.nan, 3, 2], nan_ok=True)
    assert np.isnan(with_mean(np.array([np.nan]))).all()


@pytest.mark.parametrize("kind", ["all different", "equal", "NaN", "zeros of both signs", "none"])
def test_samples_are_ranked_as_by_a_stable_sort(kind):
    scores = np.random.default_rng(0).random(200)
    if kind == "equal":
        scores = scores.round(1)
    elif kind == "NaN":
        scores[[3, 50, 120]] = np.nan
    elif kind == "zeros of both signs":
        scores[[3, 50, 120]] = 0.0, -0.0, 0.0
    elif kind == "none":
        scores = scores[:0]
    expected = np.argsort(scores, kind="stable")[::-1]
    assert rank_samples(scores, np.ones(len(scores), bool)).tolist() == expected.tolist()
