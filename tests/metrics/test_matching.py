"""Near joints, the assignment of poses, and one-to-one choices against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tfpose.metrics import matching
from tfpose.metrics.matching import (
    People,
    assign_poses,
    choose_pairs,
    correct_joints,
    find_near_joints,
    head_sizes,
    minimum_cost_assignment,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=200)


def people(frames: list[int], keypoints: np.ndarray, head_size: float = 10.0) -> People:
    frames = np.array(frames)
    return People(
        frames, np.arange(len(frames)), keypoints, np.ones(keypoints.shape[:2]), np.full(len(frames), head_size)
    )


def random_people(rng: np.random.Generator, count: int, num_joints: int = 4) -> People:
    keypoints = rng.integers(0, 12, (count, num_joints, 2)).astype(float)
    keypoints[rng.random((count, num_joints)) < 0.2] = np.nan
    return people(sorted(rng.integers(0, 3, count).tolist()), keypoints)


def test_head_segment_is_three_fifths_of_the_diagonal():
    assert head_sizes(np.array([[10.0, 20.0, 13.0, 24.0]])) == pytest.approx([3.0])


def test_a_joint_at_exactly_half_the_head_is_near():
    true = people([0, 0], np.zeros((2, 1, 2)), head_size=10.0)
    predicted = people([0, 0], np.array([[[3.0, 4.0]], [[3.0, 4.0001]]]))
    near = find_near_joints(true, predicted)
    assert near.predicted.tolist() == [0, 0]
    assert near.distances.tolist() == [0.5, 0.5]


def test_a_head_without_extent_has_no_near_joints():
    true = people([0], np.zeros((1, 2, 2)), head_size=0.0)
    near = find_near_joints(true, people([0], np.zeros((1, 2, 2))))
    assert len(near.true) == 0
    assert near.picks.tolist() == [-1]


def test_a_prediction_that_loses_its_pick_gets_no_second_best():
    # Both predictions share most joints with the first person; the second one shares one with the other person too.
    true = people([0, 0], np.array([[[0, 0], [20, 0], [40, 0]], [[80, 0], [20, 2], [90, 0]]], float))
    predicted = people([0, 0], np.array([[[0, 0], [20, 0], [40, 0]], [[0, 0], [20, 1], [60, 0]]], float))
    near = find_near_joints(true, predicted)
    assert near.picks.tolist() == [0, 0]
    assert assign_poses(near, 2).tolist() == [0, -1]
    assert correct_joints(near, assign_poses(near, 2), 3).tolist() == [[True] * 3, [False] * 3]


@quick
@given(seeds)
def test_near_joints_and_poses_are_those_of_plain_loops(seed):
    rng = np.random.default_rng(seed)
    true, predicted = random_people(rng, int(rng.integers(0, 7))), random_people(rng, int(rng.integers(0, 7)))
    near = find_near_joints(true, predicted)
    found = list(zip(near.predicted.tolist(), near.true.tolist(), near.joints.tolist(), near.distances, strict=True))
    expected, picks, shares = [], [], []
    for p in range(len(predicted)):
        best = (-1, 0.0)
        for t in np.flatnonzero(true.frames == predicted.frames[p]).tolist():
            distances = np.linalg.norm(predicted.keypoints[p] - true.keypoints[t], axis=-1) / 10
            close = np.flatnonzero(distances <= 0.5).tolist()
            expected += [(p, t, j, distances[j]) for j in close]
            share = len(close) / max(1, int(true.has_joint[t].sum()))
            if share > best[1]:
                best = (t, share)
        picks.append(best[0])
        shares.append(best[1])
    assert [pair[:3] for pair in found] == [pair[:3] for pair in expected]
    assert [pair[3] for pair in found] == pytest.approx([pair[3] for pair in expected])
    assert near.picks.tolist() == picks
    winners = {}
    for p, (pick, share) in enumerate(zip(picks, shares, strict=True)):
        if pick >= 0 and (pick not in winners or share > shares[winners[pick]]):
            winners[pick] = p
    assigned = [pick if pick >= 0 and winners[pick] == p else -1 for p, pick in enumerate(picks)]
    assert assign_poses(near, len(true)).tolist() == assigned


def test_blocks_of_pairs_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    true, predicted = random_people(rng, 20), random_people(rng, 30)
    whole = find_near_joints(true, predicted)
    monkeypatch.setattr(matching, "_PAIRS_PER_BLOCK", 7)
    parts = find_near_joints(true, predicted)
    assert len(whole.true)
    for name in ("true", "predicted", "joints", "distances", "picks", "shares"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


@quick
@given(seeds, st.integers(0, 7), st.integers(0, 7), st.sampled_from(["equal", "coarse", "forbidden", "fine"]))
def test_assignment_is_scipys_even_among_equal_totals(seed, num_rows, num_columns, kind):
    rng = np.random.default_rng(seed)
    shape = (num_rows, num_columns)
    costs = {
        "equal": np.ones(shape),
        "coarse": rng.integers(0, 4, shape) * 0.1,
        "forbidden": np.where(rng.random(shape) < 0.7, 22.0, rng.integers(0, 3, shape) * 0.1),
        "fine": rng.normal(size=shape),
    }[kind]
    for ours, theirs in zip(minimum_cost_assignment(costs), linear_sum_assignment(costs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_costs_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="costs must be finite"):
        minimum_cost_assignment(np.full((2, 2), np.inf))


def solve_by_trying_all(rows: np.ndarray, columns: np.ndarray, distances: np.ndarray) -> tuple[int, float]:
    """Most pairs, and of those sets the least total distance."""
    best = (0, 0.0)
    for size in range(1, len(rows) + 1):
        for chosen in itertools.combinations(range(len(rows)), size):
            picked = list(chosen)
            if len(set(rows[picked])) == len(set(columns[picked])) == size:
                total = float(distances[picked].sum())
                if size > best[0] or total < best[1]:
                    best = (size, total)
    return best


@quick
@given(seeds)
def test_chosen_pairs_are_as_many_and_as_near_as_possible(seed):
    rng = np.random.default_rng(seed)
    side = int(rng.integers(1, 5))
    groups, rows, columns = [], [], []
    for group in range(2):
        pairs = [pair for pair in itertools.product(range(side), range(side)) if rng.random() < 0.35][:8]
        groups += [group] * len(pairs)
        rows += [10 * group + row for row, _ in pairs]
        columns += [10 * group + column for _, column in pairs]
    groups, rows, columns = (np.array(values, np.int64) for values in (groups, rows, columns))
    distances = rng.random(len(rows)) if rng.random() < 0.5 else rng.integers(0, 3, len(rows)) * 0.1

    def solve_group(members: np.ndarray) -> np.ndarray:
        costs, positions = np.full((side, side), 100.0), np.full((side, side), -1)
        place = rows[members] % 10, columns[members] % 10
        costs[place], positions[place] = distances[members], members
        chosen = positions[linear_sum_assignment(costs)]
        return chosen[chosen >= 0]

    is_chosen = choose_pairs(rows, columns, groups, distances, solve_group)
    for group in range(2):
        members = np.flatnonzero(groups == group)
        chosen = members[is_chosen[members]]
        assert len(set(rows[chosen])) == len(set(columns[chosen])) == len(chosen)
        count, total = solve_by_trying_all(rows[members], columns[members], distances[members])
        assert len(chosen) == count
        assert distances[chosen].sum() == pytest.approx(total)
