"""Matching against brute force."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize

from tfpose.tracking.assignment import MATCHERS, match_greedily, match_optimally

# Few distinct values make ties; infinity and NaN are pairs that cannot be compared.
DISTANCES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    elements=st.one_of(
        st.integers(0, 12).map(float), st.floats(0, 12, allow_subnormal=False), st.sampled_from([np.inf, np.nan])
    ),
)
MAX_DISTANCE = 10.0


def greedy_by_force(distances: np.ndarray) -> list[tuple[int, int]]:
    """Looks for the smallest remaining distance again and again."""
    remaining = np.where(distances < MAX_DISTANCE, distances, np.inf)
    pairs = []
    while remaining.size and np.isfinite(remaining.min()):
        row, column = np.unravel_index(np.argmin(remaining), remaining.shape)
        pairs.append((int(row), int(column)))
        remaining[row, :] = np.inf
        remaining[:, column] = np.inf
    return pairs


def cost(distances: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """Distances of the pairs, and the threshold for each pair that could be there but is not."""
    return sum(distances[pair] for pair in pairs) + MAX_DISTANCE * (min(distances.shape) - len(pairs))


def all_matchings(distances: np.ndarray):
    """Every set of allowed pairs that uses each row and column at most once."""
    rows, columns = distances.shape
    for size in range(min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), size):
            for places in itertools.permutations(range(columns), size):
                pairs = list(zip(chosen, places, strict=True))
                if all(distances[pair] < MAX_DISTANCE for pair in pairs):
                    yield pairs


@hypothesis.given(DISTANCES)
def test_greedy_equals_brute_force(distances):
    rows, columns = match_greedily(distances, MAX_DISTANCE)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == greedy_by_force(distances)


@hypothesis.settings(deadline=None)
@hypothesis.given(DISTANCES)
def test_optimal_equals_brute_force(distances):
    rows, columns = match_optimally(distances, MAX_DISTANCE)
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert pairs in list(all_matchings(distances)), "each at most once, allowed pairs only"
    best = min(cost(distances, matching) for matching in all_matchings(distances))
    assert cost(distances, pairs) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("matching", ["greedy", "optimal"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_matches_nobody(matching, shape):
    rows, columns = MATCHERS[matching](np.zeros(shape), MAX_DISTANCE)
    assert rows.tolist() == [] and columns.tolist() == []


def test_optimal_prefers_leaving_one_alone_to_a_bad_pair():
    # Both matched: 9 + 9; one matched and one alone: 0 + 10.
    distances = np.array([[0.0, 9.0], [9.0, 50.0]])
    rows, columns = match_optimally(distances, MAX_DISTANCE)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_optimal_is_what_scipy_finds_among_all_pairs():
    rng = np.random.default_rng(0)
    for _ in range(300):
        # From nobody near anybody to everybody near everybody.
        distances = rng.uniform(0, rng.choice([5.0, 20.0, 100.0]), (rng.integers(1, 7), rng.integers(1, 7)))
        rows, columns = match_optimally(distances, MAX_DISTANCE)
        gains = np.maximum(MAX_DISTANCE - distances, 0)
        expected = scipy.optimize.linear_sum_assignment(gains, maximize=True)
        is_matched = gains[expected] > 0
        assert rows.tolist() == expected[0][is_matched].tolist()
        assert columns.tolist() == expected[1][is_matched].tolist()
