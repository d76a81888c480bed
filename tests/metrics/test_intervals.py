"""Confidence intervals: resampled counts give the metrics of resampled sequences."""

from __future__ import annotations

import numpy as np
import pytest
from report.report_cases import make_pair

from tfpose.metrics.average_precision import JointSamples, join_samples, joint_average_precision
from tfpose.metrics.intervals import (
    draw_sequences,
    percentile_interval,
    resample_average_precision,
    resample_tracking,
)
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.tracking import TrackingCounts, tracking_metrics

NUM_JOINTS = 3


def make_samples(seed: int, num_people: int) -> JointSamples:
    rng = np.random.default_rng(seed)
    is_joint = rng.random((num_people, NUM_JOINTS)) < 0.8
    is_correct = is_joint & (rng.random((num_people, NUM_JOINTS)) < 0.6)
    return JointSamples(rng.random(is_joint.shape), is_joint, is_correct, is_correct.sum(axis=0) + 2)


def make_counts(num_sequences: int) -> TrackingCounts:
    rng = np.random.default_rng(0)
    names = ("objects", "switches", "false_positives", "detections")
    counts = dict(zip(names, rng.integers(1, 20, (4, num_sequences, NUM_JOINTS)).astype(float), strict=True))
    zeros = np.zeros((num_sequences, NUM_JOINTS))
    return TrackingCounts(**counts, near_distances=zeros, matched_distances=zeros, side_distances=zeros)


def repeat(draw: np.ndarray) -> list[int]:
    return [sequence for sequence, times in enumerate(draw) for _ in range(times)]


def test_draws_hold_as_many_sequences_as_there_are():
    draws = draw_sequences(7, 1000)
    assert draws.shape == (1000, 7) and (draws.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(draws, draw_sequences(7, 1000))
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.1)


def test_resampled_ap_is_that_of_the_repeated_sequences():
    parts = [make_samples(seed, num_people) for seed, num_people in enumerate((5, 9, 0, 30))]
    draws = np.concatenate([draw_sequences(4, 20), [[0, 0, 4, 0]]])
    expected = [joint_average_precision(join_samples([parts[i] for i in repeat(draw)])).ap[-1] for draw in draws]
    np.testing.assert_allclose(resample_average_precision(parts, draws), expected, rtol=1e-12)


def test_drawing_each_sequence_once_gives_the_metric_of_all():
    parts = [make_samples(seed, 12) for seed in range(3)]
    once = np.ones((1, 3), np.int64)
    expected = joint_average_precision(join_samples(parts)).ap[-1]
    assert resample_average_precision(parts, once)[0] == pytest.approx(expected)


def test_resampled_mota_is_that_of_the_repeated_sequences():
    counts, draws = make_counts(5), draw_sequences(5, 20)
    for draw, value in zip(draws, resample_tracking(counts, draws), strict=True):
        rows = repeat(draw)
        fields = {name: values[rows].sum(axis=0) for name, values in vars(counts).items()}
        assert value == pytest.approx(tracking_metrics(TrackingCounts(**fields)).mota[-1])


def test_joint_with_samples_but_without_truth_is_left_out_of_the_mean():
    first, second = make_samples(0, 6), make_samples(1, 6)
    second = JointSamples(second.scores, second.is_joint, np.zeros_like(second.is_correct), np.array([0, 4, 4]))
    draws = np.array([[0, 2]])
    expected = joint_average_precision(join_samples([second, second])).ap
    assert np.isnan(expected[0])
    assert resample_average_precision([first, second], draws)[0] == expected[-1]


def test_interval_is_the_middle_of_the_known_values():
    interval = percentile_interval(np.append(np.arange(1001.0), np.nan))
    assert (interval.low, interval.high) == (25.0, 975.0)
    assert percentile_interval(np.array([np.nan])) is None


def test_report_has_intervals_around_its_totals_if_asked_for():
    pairs = [make_pair(str(seed), seed, 12.0) for seed in range(6)]
    truth, predicted = zip(*pairs, strict=True)
    report = evaluate_sequences(truth, predicted, PoseTrackOptions(num_resamples=1000))
    assert set(report.intervals) == {"average_precision", "tracking"}
    totals = {"average_precision": report.total.average_precision.ap, "tracking": report.total.tracking.mota}
    for name, interval in report.intervals.items():
        assert interval.low < totals[name][-1] < interval.high
    assert evaluate_sequences(truth, predicted).intervals == {}
    assert evaluate_sequences(truth[:1], predicted[:1], PoseTrackOptions(num_resamples=1000)).intervals == {}


def test_negative_number_of_resamples_is_refused():
    with pytest.raises(ValueError, match="num_resamples must be at least 0, got -1"):
        PoseTrackOptions(num_resamples=-1)
