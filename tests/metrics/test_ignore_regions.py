"""Points in polygons, against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpose.metrics import ignore_regions
from tfpose.metrics.ignore_regions import points_inside

SQUARE = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)


def inside(points: list, *polygons: np.ndarray) -> list[bool]:
    frames = np.zeros(len(points), int)
    return points_inside(np.array(points, float), frames, polygons, np.zeros(len(polygons), int)).tolist()


def test_a_point_on_the_outline_is_outside():
    assert inside([(2, 2), (0, 2), (4, 4), (2, 0), (5, 2), (3.999, 3.999)], SQUARE) == [True] + [False] * 4 + [True]


def test_a_self_crossing_polygon_counts_crossings():
    # A square walked around twice has no inside; a bow tie has two triangles.
    assert inside([(2, 2)], np.concatenate([SQUARE, SQUARE])) == [False]
    assert inside([(1, 2), (2, 3.5), (3, 2)], np.array([[0, 0], [4, 4], [4, 0], [0, 4]], float)) == [True, False, True]


def test_overlapping_polygons_are_tested_one_by_one():
    assert inside([(2, 2)], SQUARE, SQUARE + 1) == [True]


def test_only_polygons_of_the_same_frame_count():
    frames, polygon_frames = np.array([0, 1]), np.array([1])
    assert points_inside(np.full((2, 2), 2.0), frames, [SQUARE], polygon_frames).tolist() == [False, True]


def test_a_polygon_without_points_ignores_nothing():
    assert inside([(0, 0)], np.zeros((0, 2)), SQUARE - 1) == [True]


def is_inside_exactly(x: Fraction, y: Fraction, corners: list[tuple[Fraction, Fraction]]) -> bool:
    count = 0
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        if cross == 0 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
            return False
        if (ay > y) != (by > y):
            count += x < ax + (y - ay) * (bx - ax) / (by - ay)
    return count % 2 == 1


coordinates = st.one_of(st.integers(0, 6).map(float), st.integers(0, 60).map(lambda value: value / 10))
corners = st.tuples(coordinates, coordinates)


@settings(max_examples=200)
@given(st.lists(st.lists(corners, min_size=3, max_size=7), min_size=1, max_size=3), st.lists(corners, min_size=1))
def test_inside_is_that_of_exact_arithmetic(polygons, points):
    points += [polygon[0] for polygon in polygons]
    expected = [
        any(
            is_inside_exactly(Fraction(x), Fraction(y), [(Fraction(a), Fraction(b)) for a, b in polygon])
            for polygon in polygons
        )
        for x, y in points
    ]
    assert inside(points, *(np.array(polygon) for polygon in polygons)) == expected


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    points, frames = rng.uniform(0, 10, (300, 2)), np.sort(rng.integers(0, 5, 300))
    polygons, polygon_frames = [rng.uniform(0, 10, (6, 2)) for _ in range(9)], rng.integers(0, 5, 9)
    whole = points_inside(points, frames, polygons, polygon_frames)
    monkeypatch.setattr(ignore_regions, "_TESTS_PER_BLOCK", 50)
    assert 0 < whole.sum() < 300
    assert points_inside(points, frames, polygons, polygon_frames).tolist() == pytest.approx(whole.tolist())
