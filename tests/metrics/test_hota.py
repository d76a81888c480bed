"""HOTA's parts: cases worked by hand; the official figures are in test_posetrack_metrics.py."""

from __future__ import annotations

import numpy as np
import pytest

from tfpose.metrics.hota import SIMILARITY_RADIUS, THRESHOLDS, hota_curves, hota_metrics, hota_parts, join_parts
from tfpose.metrics.matching import People


def one_joint_people(rows: list[tuple[int, int, float]]) -> People:
    """People of one joint, heads of 10 pixels, from (frame, track, x)."""
    table = np.array(rows, float).reshape(-1, 3)
    keypoints = np.stack([table[:, 2], np.zeros(len(rows))], axis=-1)[:, None]
    scores = np.ones((len(rows), 1))
    return People(table[:, 0].astype(int), table[:, 1].astype(int), keypoints, scores, np.full(len(rows), 10.0))


def test_thresholds_are_nineteen_steps_of_a_twentieth():
    assert pytest.approx(np.arange(1, 20) / 20) == THRESHOLDS


def test_a_track_split_in_halves_has_half_the_association():
    true = one_joint_people([(t, 1, 0) for t in range(4)])
    predicted = one_joint_people([(0, 7, 0), (1, 7, 0), (2, 8, 0), (3, 8, 0)])
    figures = hota_metrics(hota_parts(true, predicted, 4))
    assert figures["DetA"] == pytest.approx([100, 100])
    assert figures["AssA"] == pytest.approx([50, 50])
    assert figures["AssRe"] == pytest.approx([50, 50])
    assert figures["AssPr"] == pytest.approx([100, 100])
    assert figures["HOTA"] == pytest.approx([100 * np.sqrt(0.5)] * 2)


def test_fragmentation_counts_runs_not_tracks():
    true = one_joint_people([(t, 1, 0) for t in range(4)])
    predicted = one_joint_people([(0, 7, 0), (1, 8, 0), (2, 7, 0), (3, 8, 0)])
    parts = hota_parts(true, predicted, 4)
    assert parts.association_accuracy[0] == pytest.approx([0.5, 0.5])
    # Four runs of one frame each, over unions of 4 + 2 - 2 frames, shared by 4 pairs found.
    assert parts.unfragmented_association[0] == pytest.approx([0.25, 0.25])


def test_a_pair_is_found_up_to_its_similarity():
    distance = 0.6 * SIMILARITY_RADIUS * 10
    parts = hota_parts(one_joint_people([(0, 1, 0)]), one_joint_people([(0, 1, distance)]), 1)
    assert parts.true_positives[:, 0].tolist() == [1.0] * 8 + [0.0] * 11
    assert parts.localization_accuracy[0] == pytest.approx([0.4, 0.4])
    assert parts.localization_accuracy[-1] == pytest.approx([1, 1])


def test_frames_without_predictions_count_the_whole_sequence_officially():
    true = one_joint_people([(t, 1, 0) for t in range(3)])
    predicted = one_joint_people([(0, 1, 0)])
    assert hota_parts(true, predicted, 3).false_negatives[0, 0] == 2 * 3
    assert hota_parts(true, predicted, 3, repeats_empty_frames=False).false_negatives[0, 0] == 2


def test_a_sequence_without_predictions_misses_each_joint_once():
    parts = hota_parts(one_joint_people([(t, 1, 0) for t in range(3)]), one_joint_people([]), 3)
    assert parts.false_negatives[0].tolist() == [3, 3]
    assert parts.association_accuracy[0].tolist() == [0, 0]
    assert parts.localization_accuracy[0].tolist() == [1, 1]


def test_sequences_are_weighted_by_the_pairs_found():
    whole = hota_parts(
        one_joint_people([(t, 1, 0) for t in range(3)]), one_joint_people([(t, 1, 0) for t in range(3)]), 3
    )
    half = hota_parts(one_joint_people([(0, 1, 0), (1, 1, 0)]), one_joint_people([(0, 1, 0), (1, 2, 0)]), 2)
    joined = join_parts([whole, half])
    assert joined.association_accuracy[0] == pytest.approx([(3 * 1 + 2 * 0.5) / 5] * 2)
    assert hota_curves(joined)["DetA"] == pytest.approx(1)
