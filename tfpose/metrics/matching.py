"""Finds which predicted joints are near which true joints, and chooses one-to-one pairs among them. NumPy only.

Joints are in the order of the given arrays; people are sorted by frame, and within a frame as in the file.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

# PCKh@0.5: a joint is found within half the length of the head (Andriluka et al., 2014).
MATCH_RADIUS = 0.5
# The MPII toolkit takes the head segment as this share of the head box's diagonal.
_HEAD_SEGMENT_OF_DIAGONAL = 0.6
# Number of pairs of people compared at a time; it bounds the memory for frames with very many people.
_PAIRS_PER_BLOCK = 1 << 12
# Distances that differ by less may be ordered either way after rounding inside the assignment.
_NEARLY_EQUAL = 1e-9


@dataclasses.dataclass(frozen=True)
class People:
    """N true or predicted people of some frames, J joints each.

    Attributes:
        frames: [N] int64 frame of each person, not decreasing.
        track_ids: [N] int64 identity of each person.
        keypoints: [N, J, 2] float64 (x, y) in image pixels; NaN where there is no joint.
        scores: [N, J] float64 score of each joint.
        head_sizes: [N] float64 length of the head segment in pixels; NaN for predictions.
    """

    frames: np.ndarray
    track_ids: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    head_sizes: np.ndarray

    @functools.cached_property
    def has_joint(self) -> np.ndarray:
        """Whether each joint is there, [N, J] bool."""
        return ~np.isnan(self.keypoints[..., 0])

    def __len__(self) -> int:
        return len(self.frames)


@dataclasses.dataclass(frozen=True)
class NearJoints:
    """E pairs of a true and a predicted joint that are near each other, and the true person whom each prediction picks.

    The pairs are sorted by predicted person, then by true person, then by joint.

    Attributes:
        true: [E] position of the true person.
        predicted: [E] position of the predicted person.
        joints: [E] position of the joint.
        distances: [E] distance in head sizes of the true person.
        picks: [P] position of the true person with whom the prediction shares most joints; -1 for nobody.
        shares: [P] share of that person's joints that are near, in [0, 1].
    """

    true: np.ndarray
    predicted: np.ndarray
    joints: np.ndarray
    distances: np.ndarray
    picks: np.ndarray
    shares: np.ndarray


def head_sizes(head_boxes: np.ndarray) -> np.ndarray:
    """Returns [N] lengths of head segments in pixels: 0.6 times the diagonals of head boxes [N, 4] xyxy, as MPII."""
    width, height = head_boxes[:, 2] - head_boxes[:, 0], head_boxes[:, 3] - head_boxes[:, 1]
    return _HEAD_SEGMENT_OF_DIAGONAL * np.sqrt(width * width + height * height)


def find_near_joints(true: People, predicted: People, radius: float = MATCH_RADIUS) -> NearJoints:
    """Compares every prediction with every true person of its frame.

    Args:
        true: The people of the ground truth.
        predicted: The predicted people.
        radius: Largest distance that counts as near, in head sizes; a head without extent has no near joints.
    """
    joint_counts = true.has_joint.sum(axis=1)
    near: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    picks, shares = np.full(len(predicted), -1), np.zeros(len(predicted))
    # Rows of separate arrays of x and y are copied faster.
    predicted_xy, true_xy = (np.moveaxis(people.keypoints, -1, 0).copy() for people in (predicted, true))
    for pred_index, true_index in _pairs_of_people(true.frames, predicted.frames):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            x, y = (
                there.take(pred_index, axis=0) - here.take(true_index, axis=0)
                for there, here in zip(predicted_xy, true_xy, strict=True)
            )
            lengths = np.sqrt(x * x + y * y)
            distances = lengths / true.head_sizes[true_index, None]  # [M, J]
        is_near = distances <= radius
        pair_shares = is_near.sum(axis=1) / np.maximum(joint_counts[true_index], 1)
        starts = np.flatnonzero(np.diff(pred_index, prepend=-1))
        block = pred_index[starts]
        shares[block] = np.maximum.reduceat(pair_shares, starts)
        is_best = np.flatnonzero(pair_shares == shares[pred_index])
        # Written in reverse order, so that of equal shares the first in the file stays.
        picks[pred_index[is_best[::-1]]] = true_index[is_best[::-1]]
        # numpy.nonzero takes several times as long for two dimensions.
        places = np.flatnonzero(is_near)
        pair, joint = np.divmod(places, is_near.shape[1])
        near.append((true_index[pair], pred_index[pair], joint, distances.take(places)))
    picks[shares == 0] = -1
    nothing = np.zeros(0, np.int64)
    pairs = zip((nothing, nothing, nothing, np.zeros(0)), *near, strict=True)
    true_index, pred_index, joint, distances = (np.concatenate(parts) for parts in pairs)
    return NearJoints(true_index, pred_index, joint, distances, picks, shares)


def _pairs_of_people(true_frames: np.ndarray, predicted_frames: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields blocks of pairs (predicted, true) in one frame; a prediction's pairs are in one block, in order."""
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
    """Returns [P] the true person to whom each prediction is assigned, -1 for nobody.

    There is one round, as in poseval: a true person takes, of the predictions that picked this person, the one with
    the largest share of near joints (of equal shares the first in the file). A prediction that loses is assigned to
    nobody.
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
    """Returns [P, J] bool: whether the joint is near the same joint of the true person of the prediction."""
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
    """Chooses one-to-one pairs: as many as possible in each group and, among such choices, of least total distance.

    Most pairs have no rival, and most others compete for one row or one column, where the nearest pair wins. Only
    groups with more entangled or (nearly) equal pairs are left to `solve_group`.

    Args:
        rows: [E] number of the row of each allowed pair; a row belongs to one group.
        columns: [E] number of the column of each allowed pair; a column belongs to one group.
        groups: [E] number of the assignment problem of each pair.
        distances: [E] distance of each pair.
        solve_group: Function of the positions of a group's pairs that returns the positions of the chosen ones.

    Returns:
        [E] bool, whether the pair is chosen.
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
    # The first call of numpy.unique would import numpy.ma, which takes as long as everything else here.
    hard = {*groups[rivals[is_entangled]].tolist(), *groups[sorted_rivals[is_tied]].tolist()}
    for group in sorted(hard):
        members = np.flatnonzero(groups == group)
        is_chosen[members] = False
        is_chosen[solve_group(members)] = True
    return is_chosen


def _occurrences(values: np.ndarray) -> np.ndarray:
    """Returns [E] how often each value occurs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse]


def minimum_cost_assignment(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the one-to-one assignment of least total cost, as `scipy.optimize.linear_sum_assignment` does.

    The algorithm is shortest augmenting paths: Crouse, "On implementing 2D rectangular assignment algorithms", IEEE
    Transactions on Aerospace and Electronic Systems 52(4), 2016. Among equal totals it chooses as SciPy does (it scans
    columns from the last to the first and prefers a free one), because the official PoseTrack metrics depend on the
    choice. It does not call SciPy, whose import takes longer than scoring a data set.

    Args:
        costs: [R, C] finite costs.

    Returns:
        min(R, C) rows in ascending order, and the column of each.

    Raises:
        ValueError: A cost is not finite.
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
    """Finds a cheapest path from a row to a free column, and updates the prices.

    Returns:
        The free column, and the row before each column of the path.
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
