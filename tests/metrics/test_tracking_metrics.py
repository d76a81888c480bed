"""Tracking counts against the state machine of py-motmetrics, written out in plain loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tfpose.metrics.matching import People, find_near_joints
from tfpose.metrics.tracking import (
    CLEAN_RULES,
    OFFICIAL_RULES,
    TrackingCounts,
    TrackingRules,
    count_tracking,
    tracking_metrics,
)

HEAD = 10.0


def count_in_plain_loops(
    true: People, predicted: People, frame_sequences: np.ndarray, rules: TrackingRules
) -> np.ndarray:
    """[S, J, 7] in the order of `TrackingCounts`, one sequence, joint and frame after the other."""
    num_joints = true.keypoints.shape[1]
    counts = np.zeros((frame_sequences.max() + 1, num_joints, 7))
    for sequence, joint in np.ndindex(*counts.shape[:2]):
        frames = np.flatnonzero(frame_sequences == sequence)
        pair, owner, known = {}, {}, set()
        for frame in frames[: len(frames) - rules.skips_last_frame]:
            totals = counts[sequence, joint]
            is_two_sided = (true.frames == frame).any() and (predicted.frames == frame).any()
            if not is_two_sided and rules.stands_in_for_one_sided_frames:
                totals += (1, 0, 1, 0, 0, 0, 0)
                continue
            rows, columns = (
                np.flatnonzero((side.frames == frame) & side.has_joint[:, joint]) for side in (true, predicted)
            )
            differences = true.keypoints[rows, None, joint] - predicted.keypoints[None, columns, joint]
            distances = np.linalg.norm(differences, axis=-1) / HEAD
            distances[distances > 0.5] = np.nan
            totals += _advance(
                true.track_ids[rows].tolist(), predicted.track_ids[columns].tolist(), distances, pair, owner, known
            )
    return counts


def _advance(objects: list, hypotheses: list, distances: np.ndarray, pair: dict, owner: dict, known: set) -> tuple:
    near, matched, side, switches, detections = np.nansum(distances), 0.0, 0.0, 0, 0
    free = distances.copy()
    for row, name in enumerate(objects):
        column = hypotheses.index(pair[name]) if pair.get(name) in hypotheses else None
        if column is not None and not np.isnan(free[row, column]):
            matched += distances[row, column]
            detections += 1
            free[row], free[:, column] = np.nan, np.nan
    allowed = ~np.isnan(free)
    if allowed.any():
        costs = np.where(allowed, free, 2 * min(free.shape) * (np.nanmax(free) + 1) + 1)
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if not allowed[row, column]:
                continue
            name, track, distance = objects[row], hypotheses[column], distances[row, column]
            is_switch = name in pair and pair[name] != track
            is_taken = track in owner and owner[track] != name
            side += distance * ((is_switch and track not in known) + is_taken + (is_taken and name not in pair))
            switches += is_switch
            matched += distance
            detections += 1
            pair[name], owner[track] = track, name
            known.add(track)
    return len(objects), switches, len(hypotheses) - detections, detections, near, matched, side


def random_people(rng: np.random.Generator, num_frames: int, repeats_ids: bool, is_coarse: bool) -> People:
    count = int(rng.integers(0, 4 * num_frames + 1))
    frames = np.sort(rng.integers(0, num_frames, count))
    ids = np.empty(count, np.int64)
    for frame in range(num_frames):
        members = np.flatnonzero(frames == frame)
        ids[members] = rng.integers(0, 4, len(members)) if repeats_ids else rng.permutation(40)[: len(members)] % 40
        if not repeats_ids and len(members) <= 6:
            ids[members] = rng.permutation(6)[: len(members)]
    keypoints = rng.integers(0, 7, (count, 2, 2)).astype(float) if is_coarse else rng.uniform(0, 9, (count, 2, 2))
    keypoints[rng.random((count, 2)) < 0.15] = np.nan
    return People(frames, ids, keypoints, np.ones((count, 2)), np.full(count, HEAD))


@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.sampled_from([OFFICIAL_RULES, CLEAN_RULES]))
def test_counts_are_those_of_the_state_machine(seed, repeats_ids, is_coarse, rules):
    rng = np.random.default_rng(seed)
    frame_sequences = np.sort(rng.integers(0, 3, int(rng.integers(1, 12))))
    frame_sequences -= frame_sequences.min()
    num_frames = len(frame_sequences)
    true = random_people(rng, num_frames, repeats_ids, is_coarse)
    predicted = random_people(rng, num_frames, False, is_coarse)
    num_sequences = int(frame_sequences.max()) + 1
    found = count_tracking(true, predicted, find_near_joints(true, predicted), frame_sequences, num_sequences, rules)
    expected = count_in_plain_loops(true, predicted, frame_sequences, rules)
    stacked = np.stack([getattr(found, field.name) for field in dataclasses.fields(TrackingCounts)], axis=-1)
    np.testing.assert_allclose(stacked, expected, rtol=0, atol=1e-9)


def _one_joint_people(rows: list[tuple[int, int, float]]) -> People:
    """People of one joint from (frame, track, x)."""
    frames, ids, columns = (np.array(values) for values in zip(*rows, strict=True))
    keypoints = np.stack([columns.astype(float), np.zeros(len(rows))], axis=-1)[:, None]
    return People(frames, ids, keypoints, np.ones((len(rows), 1)), np.full(len(rows), HEAD))


def _count(true: list, predicted: list, num_frames: int) -> TrackingCounts:
    sides = _one_joint_people(true), _one_joint_people(predicted)
    return count_tracking(*sides, find_near_joints(*sides), np.zeros(num_frames, np.int64), 1, CLEAN_RULES).sum()


def test_a_pair_is_carried_on_though_another_track_is_nearer():
    counts = _count([(0, 1, 0), (1, 1, 0)], [(0, 7, 1), (1, 7, 4), (1, 8, 0)], 2)
    assert (counts.switches, counts.detections, counts.false_positives) == (0, 2, 1)
    assert counts.matched_distances == pytest.approx(0.1 + 0.4)


def test_of_two_objects_last_matched_with_one_track_the_first_in_the_file_keeps_it():
    # Track 7 is on object 1, then on object 2 while object 1 is away, then near both.
    before = [(0, 1, 0), (1, 2, 0)]
    predicted = [(0, 7, 0), (1, 7, 0), (2, 7, 1)]
    first = _count([*before, (2, 1, 0), (2, 2, 3)], predicted, 3)
    second = _count([*before, (2, 2, 3), (2, 1, 0)], predicted, 3)
    assert first.matched_distances == pytest.approx(0.1)
    assert second.matched_distances == pytest.approx(0.2)


def test_a_change_of_track_after_a_gap_is_a_switch():
    counts = _count([(0, 1, 0), (1, 1, 0), (2, 1, 0)], [(0, 7, 0), (2, 8, 0)], 3)
    assert (counts.switches, counts.detections, counts.misses) == (1, 2, 1)


def test_a_track_that_goes_over_to_another_object_costs_nothing_but_distance():
    counts = _count([(0, 1, 0), (1, 2, 0)], [(0, 7, 1), (1, 7, 1)], 2)
    assert (counts.switches, counts.detections) == (0, 2)
    # Taken over from object 1, and object 2 is matched for the first time.
    assert counts.side_distances == pytest.approx(0.2)


def test_official_rules_leave_the_last_frame_out():
    sides = _one_joint_people([(0, 1, 0), (1, 1, 0)]), _one_joint_people([(0, 7, 0), (1, 7, 0)])
    counts = count_tracking(*sides, find_near_joints(*sides), np.zeros(2, np.int64), 1, OFFICIAL_RULES).sum()
    assert counts.objects.tolist() == [1]


def test_figures_without_objects_are_nan_and_left_out_of_the_total():
    def values(*numbers: float) -> np.ndarray:
        return np.array(numbers, float)

    counts = TrackingCounts(
        objects=values(4, 0),
        switches=values(1, 0),
        false_positives=values(2, 0),
        detections=values(3, 0),
        near_distances=values(0.3, 0),
        matched_distances=values(0.3, 0),
        side_distances=values(0.15, 0),
    )
    figures = tracking_metrics(counts)
    assert figures.mota == pytest.approx([0.0, np.nan, 0.0], nan_ok=True)
    assert figures.motp == pytest.approx([75.0, 0.0, 37.5])
    assert figures.motp_matched == pytest.approx([90.0, 0.0, 45.0])
    assert figures.precision == pytest.approx([60.0, np.nan, 60.0], nan_ok=True)
    assert figures.recall == pytest.approx([75.0, np.nan, 75.0], nan_ok=True)
