"""Which predicted joints are near which true ones, and one-to-one choices among them. NumPy only.

The order of joints is that of the arrays given; people are sorted by frame, and in a frame by their place in the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

# PCKh@0.5: a joint is found within half the length of the head (Andriluka et al., 2014).
MATCH_RADIUS = 0.5
# The MPII toolkit takes the head segment as this share of the head box's diagonal.
_HEAD_SEGMENT_OF_DIAGONAL = 0.6
# Pairs of people compared at a time; bounds memory on frames with very many people.
_PAIRS_PER_BLOCK = 1 << 12
# Distances closer than this may come out in either order after rounding inside the assignment.
_NEARLY_EQUAL = 1e-9


@dataclasses.dataclass(frozen=True)
class People:
    """N true or predicted people of some frames, J joints each.

    Attributes:
        frames: [N] int64, not decreasing.
        track_ids: [N] int64.
        keypoints: [N, J, 2] float64 (x, y) in image pixels; NaN where there is no joint.
        scores: [N, J] float64.
        head_sizes: [N] float64, length of the head segment in pixels; NaN for predictions.
    """

    frames: np.ndarray
    track_ids: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    head_sizes: np.ndarray

    @property
    def has_joint(self) -> np.ndarray:
        """[N, J] bool"""
        return ~np.isnan(self.keypoints[..., 0])

    def __len__(self) -> int:
        return len(self.frames)


@dataclasses.dataclass(frozen=True)
class NearJoints:
    """E pairs of a true and a predicted joint that are near each other, and what each of P predictions picks.

    The pairs are sorted by predicted person, then true person, then joint.

    Attributes:
        true: [E] position of the true person.
        predicted: [E] position of the predicted person.
        joints: [E].
        distances: [E] in head sizes of the true person.
        picks: [P] position of the true person that the prediction shares most joints with; -1 for nobody.
        shares: [P] how many of that person's joints are near, in [0, 1].
    """

    true: np.ndarray
    predicted: np.ndarray
    joints: np.ndarray
    distances: np.ndarray
    picks: np.ndarray
    shares: np.ndarray


def head_sizes(head_boxes: np.ndarray) -> np.ndarray:
    """[N] length in pixels of the head segment: 0.6 of the diagonal of each head box [N, 4] xyxy, as for MPII."""
    width, height = head_boxes[:, 2] - head_boxes[:, 0], head_boxes[:, 3] - head_boxes[:, 1]
    return _HEAD_SEGMENT_OF_DIAGONAL * np.sqrt(width * width + height * height)


def find_near_joints(true: People, predicted: People, radius: float = MATCH_RADIUS) -> NearJoints:
    """Compares every prediction with every true person of its frame.

    Args:
        true: the people of the ground truth.
        predicted: the predicted people.
        radius: largest distance that is near, in head sizes; a head without extent has no near joints.
    """
    joint_counts = true.has_joint.sum(axis=1)
    near: list[tuple[np.ndarray, ...]] = []
    picks, shares = np.full(len(predicted), -1), np.zeros(len(predicted))
    # Separate arrays of x and y: rows of them are copied in one go.
    predicted_xy, true_xy = (np.moveaxis(people.keypoints, -1, 0).copy() for people in (predicted, true))
    for pred_index, true_index in _pairs_of_people(true.frames, predicted.frames):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            x, y = (there[pred_index] - here[true_index] for there, here in zip(predicted_xy, true_xy, strict=True))
            lengths = np.sqrt(x * x + y * y)
            distances = lengths / true.head_sizes[true_index, None]  # [M, J]
        is_near = distances <= radius
        pair_shares = is_near.sum(axis=1) / np.maximum(joint_counts[true_index], 1)
        starts = np.flatnonzero(np.diff(pred_index, prepend=-1))
        block = pred_index[starts]
        shares[block] = np.maximum.reduceat(pair_shares, starts)
        is_best = np.flatnonzero(pair_shares == shares[pred_index])
        # Written backwards, so that the first of equals in the file stays.
        picks[pred_index[is_best[::-1]]] = true_index[is_best[::-1]]
        pair, joint = np.nonzero(is_near)
        near.append((true_index[pair], pred_index[pair], joint, distances[pair, joint]))
    picks[shares == 0] = -1
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0),)
    return NearJoints(*(np.concatenate(columns) for columns in zip(empty, *near, strict=True)), picks, shares)


def _pairs_of_people(true_frames: np.ndarray, predicted_frames: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of pairs (predicted, true) in one frame; those of a prediction are in one block, true ones ascending."""
    firsts = np.searchsorted(true_frames, predicted_frames, side="left")
    counts = np.searchsorted(true_frames, predicted_frames, side="right") - firsts
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_PER_BLOCK, side="right")))
        in_block = counts[start:stop]
        if in_block.sum():
            pred_index = np.repeat(np.arange(start, stop), in_block)
            first_pair = np.repeat(ends[start:stop] - in_block - done, in_block)
            yield pred_index, firsts[pred_index] + np.arange(len(pred_index)) - first_pair
        start = stop


def assign_poses(near: NearJoints, num_true: int) -> np.ndarray:
    """[P] the true person that each prediction is given to, -1 for none.

    One round, as poseval does it: a true person takes, of the predictions that picked it, the one that shares most
    joints with it (of equals the first in the file). A prediction that loses does not get its second best.
    """
    order = np.argsort(-near.shares, kind="stable")
    order = order[near.picks[order] >= 0][::-1]
    winner = np.full(num_true, -1)
    winner[near.picks[order]] = order
    assigned = np.full(len(near.picks), -1)
    has_winner = np.flatnonzero(winner >= 0)
    assigned[winner[has_winner]] = has_winner
    return assigned


def correct_joints(near: NearJoints, assigned: np.ndarray, num_joints: int) -> np.ndarray:
    """[P, J] bool: the joint is near that joint of the true person whom the prediction is given to."""
    is_correct = np.zeros((len(assigned), num_joints), bool)
    counts = near.true == assigned[near.predicted]
    is_correct[near.predicted[counts], near.joints[counts]] = True
    return is_correct


def choose_pairs(
    rows: np.ndarray,
    columns: np.ndarray,
    groups: np.ndarray,
    distances: np.ndarray,
    solve_group: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Picks one-to-one pairs: as many as possible in each group and, among those, of least total distance.

    Most pairs have no rival, and most others compete for one row or one column, where the nearest wins. Only groups
    with more entangled or (nearly) equal pairs are left to `solve_group`.

    Args:
        rows: [E] a number per row of each allowed pair; a row belongs to one group.
        columns: [E] likewise.
        groups: [E] the assignment problem each pair belongs to.
        distances: [E].
        solve_group: takes the positions of a group's pairs and returns the positions of those chosen.

    Returns:
        [E] bool.
    """
    row_degrees, column_degrees = _occurrences(rows), _occurrences(columns)
    is_chosen = (row_degrees == 1) & (column_degrees == 1)
    rivals = np.flatnonzero(~is_chosen)
    if not len(rivals):
        return is_chosen
    is_entangled = (row_degrees[rivals] > 1) & (column_degrees[rivals] > 1)
    centers = np.where(row_degrees[rivals] > 1, rows[rivals], -1 - columns[rivals])
    order = np.lexsort((distances[rivals], centers))
    centers, sorted_rivals = centers[order], rivals[order]
    is_first = np.diff(centers, prepend=centers[0] - 1) != 0
    is_chosen[sorted_rivals[is_first]] = True
    gaps = np.diff(distances[sorted_rivals])
    is_tied = np.flatnonzero(is_first[:-1] & ~is_first[1:] & (gaps < _NEARLY_EQUAL))
    # Not numpy.unique: its first call imports numpy.ma, which takes as long as everything else here.
    hard = {*groups[rivals[is_entangled]].tolist(), *groups[sorted_rivals[is_tied]].tolist()}
    for group in sorted(hard):
        members = np.flatnonzero(groups == group)
        is_chosen[members] = False
        is_chosen[solve_group(members)] = True
    return is_chosen


def _occurrences(values: np.ndarray) -> np.ndarray:
    """[E] how often each value occurs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse]


def minimum_cost_assignment(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a one-to-one assignment of least total cost, as `scipy.optimize.linear_sum_assignment`.

    Shortest augmenting paths, Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Transactions on
    Aerospace and Electronic Systems 52(4), 2016. Among equal totals it chooses as SciPy does (columns are scanned from
    the last to the first, a free one is preferred), because the official PoseTrack figures depend on it. Importing
    SciPy's optimizers takes longer than scoring a data set.

    Args:
        costs: [R, C] finite.

    Returns:
        Rows in ascending order and the column of each; min(R, C) of them.

    Raises:
        ValueError: if a cost is not finite.
    """
    costs = np.asarray(costs, np.float64)
    if not np.isfinite(costs).all():
        raise ValueError("costs must be finite numbers")
    if costs.shape[1] < costs.shape[0]:
        columns, rows = minimum_cost_assignment(costs.T)
        order = np.argsort(rows, kind="stable")
        return rows[order], columns[order]
    num_rows, num_columns = costs.shape
    table = costs.tolist()
    row_prices, column_prices = [0.0] * num_rows, [0.0] * num_columns
    column_of_row, row_of_column = [-1] * num_rows, [-1] * num_columns
    for row in range(num_rows):
        column, previous_row = _augment(table, row, row_prices, column_prices, column_of_row, row_of_column)
        while True:
            owner = previous_row[column]
            row_of_column[column] = owner
            column_of_row[owner], column = column, column_of_row[owner]
            if owner == row:
                break
    return np.arange(num_rows), np.array(column_of_row, np.int64)


def _augment(
    costs: list[list[float]],
    start_row: int,
    row_prices: list[float],
    column_prices: list[float],
    column_of_row: list[int],
    row_of_column: list[int],
) -> tuple[int, list[int]]:
    """Finds a cheapest path from a row to a free column and updates the prices.

    Returns:
        The free column, and for every column on the path the row before it.
    """
    num_columns = len(column_prices)
    path_costs, previous_row = [np.inf] * num_columns, [-1] * num_columns
    open_columns = list(range(num_columns - 1, -1, -1))
    reached_rows, reached_columns = [], []
    reached, row, sink = 0.0, start_row, -1
    while sink < 0:
        reached_rows.append(row)
        lowest, best = np.inf, -1
        for position, column in enumerate(open_columns):
            cost = reached + costs[row][column] - row_prices[row] - column_prices[column]
            if cost < path_costs[column]:
                path_costs[column], previous_row[column] = cost, row
            cost = path_costs[column]
            if cost < lowest or (cost == lowest and row_of_column[column] < 0):
                lowest, best = cost, position
        reached, column = lowest, open_columns[best]
        open_columns[best] = open_columns[-1]
        open_columns.pop()
        reached_columns.append(column)
        sink, row = (column, row) if row_of_column[column] < 0 else (-1, row_of_column[column])
    row_prices[start_row] += reached
    for row in reached_rows[1:]:
        row_prices[row] += reached - path_costs[column_of_row[row]]
    for column in reached_columns:
        column_prices[column] -= reached - path_costs[column]
    return sink, previous_row
