"""Tells exactly which points lie inside polygons. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Edges compared with points at a time; bounds memory.
_TESTS_PER_BLOCK = 1 << 18
# Cross products smaller than this share of their terms are computed again without rounding.
_UNSAFE_SHARE = 1e-12


def points_inside(
    points: np.ndarray, point_frames: np.ndarray, polygons: Sequence[np.ndarray], polygon_frames: np.ndarray
) -> np.ndarray:
    """Returns [K] bool: whether each point is strictly inside a polygon of its frame.

    The inside of each polygon follows the even-odd rule (crossing number); a point on the outline is outside. The last
    corner is joined to the first; a polygon without corners has no inside.

    Args:
        points: [K, 2] points (x, y).
        point_frames: [K] frame of each point, not decreasing.
        polygons: N polygons, [n, 2] corners each.
        polygon_frames: [N] frame of each polygon.
    """
    is_inside = np.zeros(len(points), bool)
    sizes = np.array([len(polygon) for polygon in polygons], np.int64)
    wanted = np.flatnonzero(sizes > 0)
    if not len(wanted) or not len(points):
        return is_inside
    corners = np.concatenate([polygons[index] for index in wanted.tolist()])
    first_corners = np.cumsum(sizes[wanted]) - sizes[wanted]
    low = np.minimum.reduceat(corners, first_corners)
    high = np.maximum.reduceat(corners, first_corners)
    firsts = np.searchsorted(point_frames, polygon_frames[wanted], side="left")
    ends = np.searchsorted(point_frames, polygon_frames[wanted], side="right")
    for block in _blocks(ends - firsts):
        polygon, point = _expand(block, firsts[block], (ends - firsts)[block])
        for axis in range(2):
            values = points[point, axis]
            is_near = (values > low[polygon, axis]) & (values < high[polygon, axis])
            polygon, point = polygon[is_near], point[is_near]
        for pairs in _blocks(sizes[wanted][polygon]):
            inside = _are_inside(
                points[point[pairs]], corners, first_corners[polygon[pairs]], sizes[wanted][polygon[pairs]]
            )
            is_inside[point[pairs][inside]] = True
    return is_inside


def _blocks(sizes: np.ndarray) -> list[np.ndarray]:
    """Returns the positions in blocks whose sizes add up to little more than the limit."""
    if not len(sizes):
        return []
    number = np.cumsum(sizes) // _TESTS_PER_BLOCK
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(number)) + 1)


def _expand(labels: np.ndarray, firsts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each label as often as its count says, and beside it first, first + 1, ..."""
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(labels, counts), np.repeat(firsts, counts) + offsets


def _are_inside(points: np.ndarray, corners: np.ndarray, firsts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns [M] bool: whether point m is inside the polygon `corners[firsts[m]:firsts[m] + sizes[m]]`."""
    pair, start = _expand(np.arange(len(points)), firsts, sizes)
    is_last = start == (firsts + sizes - 1)[pair]
    a, b, p = corners[start], corners[np.where(is_last, firsts[pair], start + 1)], points[pair]
    side = _side_of_line(a, b, p)
    is_between = ((p >= np.minimum(a, b)) & (p <= np.maximum(a, b))).all(axis=1)
    is_upward, is_downward = (a[:, 1] <= p[:, 1]) & (b[:, 1] > p[:, 1]), (b[:, 1] <= p[:, 1]) & (a[:, 1] > p[:, 1])
    crosses = (is_upward & (side > 0)) | (is_downward & (side < 0))
    first_edges = np.cumsum(sizes) - sizes
    is_odd = np.add.reduceat(crosses.astype(np.int64), first_edges) % 2 == 1
    is_on_outline = np.logical_or.reduceat((side == 0) & is_between, first_edges)
    return is_odd & ~is_on_outline


def _side_of_line(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Returns [M] signs: the side of the line from a to b on which point p lies, 0 on the line; free of rounding."""
    left = (b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1])
    right = (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0])
    sign = np.sign(left - right)
    for index in np.flatnonzero(np.abs(left - right) <= _UNSAFE_SHARE * (np.abs(left) + np.abs(right))).tolist():
        sign[index] = _exact_side(*(row[index].tolist() for row in (a, b, p)))
    return sign


def _exact_side(a: Sequence[float], b: Sequence[float], p: Sequence[float]) -> int:
    """Returns the side of the line from a to b on which point p lies: 1, -1, or 0 on the line."""
    # Here and not above, since few files need it.
    from fractions import Fraction

    (ax, ay), (bx, by), (px, py) = (map(Fraction, point) for point in (a, b, p))
    exact = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
    return (exact > 0) - (exact < 0)
