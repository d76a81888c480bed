"""One-to-one matching of tracks and people."""

from __future__ import annotations

import numpy as np


def match_greedily(distances: np.ndarray, max_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Matches the closest pair, sets both aside, and goes on while a pair is close enough.

    Payer et al. 2017, section 3. Among equal distances the first track comes first, then the first person.

    Args:
        distances: [T, P] distance of every track to every person; infinity and NaN are never matched.
        max_distance: Distance below which a match must be.

    Returns:
        [M] rows (tracks) and [M] columns (people), the closest pair first.

    Example:
        >>> match_greedily(np.array([[1.0, 2.0], [1.5, 9.0]]), 5.0)
        (array([0]), array([0]))
    """
    # Sorting once and skipping those taken gives the same pairs as repeated minima.
    flat, num_columns = distances.reshape(-1), distances.shape[1]
    near = (flat < max_distance).nonzero()[0]
    column_of_row: dict[int, int] = {}
    taken_columns: set[int] = set()
    for place in near[flat[near].argsort(kind="stable")].tolist():
        row, column = divmod(place, num_columns)
        if row not in column_of_row and column not in taken_columns:
            column_of_row[row] = column
            taken_columns.add(column)
    return np.array([*column_of_row], np.int64), np.array([*column_of_row.values()], np.int64)


def match_optimally(distances: np.ndarray, max_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Finds the one-to-one matching of least total cost, where leaving a pair unmatched costs `max_distance`.

    So two tracks need not take far people merely to match more of them, and of two matchings with equally many pairs
    the closer one wins.

    Args:
        distances: [T, P] distance of every track to every person; infinity and NaN are never matched.
        max_distance: Distance below which a match must be, finite.

    Returns:
        [M] rows (tracks) and [M] columns (people), by row.

    Example:
        >>> match_optimally(np.array([[1.0, 2.0], [1.5, 9.0]]), 5.0)
        (array([0, 1]), array([1, 0]))
    """
    is_allowed = distances < max_distance
    rows, columns = is_allowed.nonzero()
    if len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows):
        # No pair has a rival, and leaving one out gains nothing.
        return rows, columns
    # The import takes half a second, which programs that match greedily need not wait for.
    from scipy.optimize import linear_sum_assignment

    gains = np.where(is_allowed, max_distance - distances, 0.0)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    is_matched = is_allowed[rows, columns]
    return rows[is_matched], columns[is_matched]


MATCHERS = {"greedy": match_greedily, "optimal": match_optimally}
