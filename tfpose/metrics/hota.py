"""Higher-order tracking accuracy (HOTA) of joints, as PoseTrack21's evaluator counts it. NumPy only.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. FragA and the metrics made
of it: Valmadre et al., "Local Metrics for Multi-Object Tracking", 2021. For joints: Doering et al., "PoseTrack21",
CVPR 2022. Each joint of each sequence is a tracking problem of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfpose.metrics.matching import NearJoints, People, choose_pairs, find_near_joints, minimum_cost_assignment

# A pair counts as found from each of these similarities on.
THRESHOLDS = np.arange(0.05, 0.99, 0.05)
# Distance in head sizes at which the similarity of two joints becomes 0.
SIMILARITY_RADIUS = 0.5001
_ROUNDING = np.finfo(np.float64).eps
_TINY = 1e-10


@dataclasses.dataclass(frozen=True)
class HotaParts:
    """The parts of HOTA for one sequence or for all, [T, J + 1] each: T thresholds, J joints and then the total.

    Attributes:
        true_positives: Number of pairs found.
        false_negatives: Number of true joints not found.
        false_positives: Number of predicted joints in no pair.
        association_accuracy: AssA, in [0, 1].
        association_recall: AssRe, in [0, 1].
        association_precision: AssPr, in [0, 1].
        unfragmented_association: FragA, in [0, 1].
        localization_accuracy: LocA, in [0, 1].
    """

    true_positives: np.ndarray
    false_negatives: np.ndarray
    false_positives: np.ndarray
    association_accuracy: np.ndarray
    association_recall: np.ndarray
    association_precision: np.ndarray
    unfragmented_association: np.ndarray
    localization_accuracy: np.ndarray


_COUNTS = ("true_positives", "false_negatives", "false_positives")
_ASSOCIATIONS = ("association_accuracy", "association_recall", "association_precision", "unfragmented_association")


def hota_parts(true: People, predicted: People, num_frames: int, repeats_empty_frames: bool = True) -> HotaParts:
    """Counts the parts of HOTA for one sequence.

    Args:
        true: True people of the labeled frames; track ids are distinct in a frame.
        predicted: Predicted people of these frames; track ids are distinct in a frame.
        num_frames: Number of labeled frames; the frames of the people count from 0.
        repeats_empty_frames: Whether to repeat a known bug of the official evaluator: a frame without predicted people
            counts all true joints of the sequence as not found, and a frame without true people counts all predicted
            joints of the sequence as false. Without the bug only the joints of the frame count.
    """
    near = find_similar(true, predicted)
    is_matched = _match(true, predicted, near)
    near = dataclasses.replace(
        near, **{name: getattr(near, name)[is_matched] for name in ("true", "predicted", "joints", "distances")}
    )
    true_joints, predicted_joints = true.has_joint.sum(axis=0), predicted.has_joint.sum(axis=0)
    parts = _associations(true, predicted, near)
    found = parts["true_positives"]
    missed, wrong = true_joints - found, predicted_joints - found
    if repeats_empty_frames and len(true) and len(predicted):
        missed = missed + _surplus_of_one_sided_frames(true, predicted, num_frames)
        wrong = wrong + _surplus_of_one_sided_frames(predicted, true, num_frames)
    counts = {"true_positives": found, "false_negatives": missed, "false_positives": wrong}
    totals = {name: _append(values.astype(np.float64), values.sum(axis=1)) for name, values in counts.items()}
    means = {name: _append(parts[name], parts[name].mean(axis=1)) for name in (*_ASSOCIATIONS, "localization_accuracy")}
    return HotaParts(**totals, **means)


def find_similar(true: People, predicted: People) -> NearJoints:
    """Finds the pairs with a similarity above 0."""
    near = find_near_joints(true, predicted, radius=SIMILARITY_RADIUS)
    is_similar = near.distances < SIMILARITY_RADIUS
    pairs = {name: getattr(near, name)[is_similar] for name in ("true", "predicted", "joints", "distances")}
    return dataclasses.replace(near, **pairs)


def _append(values: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.concatenate([values, total[:, None]], axis=1)


def _similarities(distances: np.ndarray) -> np.ndarray:
    return 1 - distances / SIMILARITY_RADIUS


def _match(true: People, predicted: People, near: NearJoints) -> np.ndarray:
    """Returns [E] bool: the pairs of the assignment with the greatest total similarity, for each frame and joint."""
    num_joints = true.keypoints.shape[1]
    groups = true.frames[near.true] * num_joints + near.joints

    def solve_group(members: np.ndarray) -> np.ndarray:
        frame = true.frames[near.true[members[0]]]
        first_true, end_true = np.searchsorted(true.frames, [frame, frame + 1])
        first_predicted, end_predicted = np.searchsorted(predicted.frames, [frame, frame + 1])
        costs = np.zeros((end_true - first_true, end_predicted - first_predicted))
        positions = np.full(costs.shape, -1)
        place = near.true[members] - first_true, near.predicted[members] - first_predicted
        costs[place], positions[place] = -_similarities(near.distances[members]), members
        chosen = positions[minimum_cost_assignment(costs)]
        return chosen[chosen >= 0]

    rows, columns = near.true * num_joints + near.joints, near.predicted * num_joints + near.joints
    return choose_pairs(rows, columns, groups, near.distances, solve_group)


def _surplus_of_one_sided_frames(people: People, others: People, num_frames: int) -> np.ndarray:
    """Returns [J] the surplus that the official evaluator counts in frames without `others`."""
    is_empty = np.bincount(others.frames, minlength=num_frames) == 0
    joints = people.has_joint
    return is_empty.sum() * joints.sum(axis=0) - joints[is_empty[people.frames]].sum(axis=0)


def _associations(true: People, predicted: People, near: NearJoints) -> dict[str, np.ndarray]:
    """Returns the parts [T, J] that follow from the matched pairs."""
    num_joints = true.keypoints.shape[1]
    true_tracks, true_lengths = _tracks(true)
    predicted_tracks, predicted_lengths = _tracks(predicted)
    tracks = true_tracks[near.true], predicted_tracks[near.predicted]
    keys = (tracks[0] * (len(predicted_lengths) + 1) + tracks[1]) * num_joints + near.joints
    _, firsts, pairs = np.unique(keys, return_index=True, return_inverse=True)  # one of each pair of tracks and joint
    joints = near.joints[firsts]
    lengths = true_lengths[tracks[0][firsts], joints], predicted_lengths[tracks[1][firsts], joints]
    similarities = _similarities(near.distances)
    # All thresholds at once, with a number for each threshold and joint, and for each threshold and pair of tracks.
    is_found = similarities >= THRESHOLDS[:, None] - _ROUNDING  # [T, E]
    thresholds, entries = np.nonzero(is_found)
    cells = thresholds * num_joints + near.joints[entries]
    shape = len(THRESHOLDS), num_joints
    found = _sum_by_cell(cells, None, shape)
    counts = _sum_by_cell(thresholds * len(firsts) + pairs[entries], None, (len(THRESHOLDS), len(firsts)))
    union = np.maximum(1, lengths[0] + lengths[1] - counts)
    # Sorted by true track and joint, then time, for runs.
    order = np.lexsort((true.frames[near.true], near.joints, tracks[0]))
    thresholds, places = np.nonzero(is_found[:, order])
    runs, run_lengths = _runs(thresholds * len(firsts) + pairs[order[places]])
    run_cells = runs // max(len(firsts), 1) * num_joints + joints[runs % max(len(firsts), 1)]
    pair_cells = (np.arange(len(THRESHOLDS))[:, None] * num_joints + joints).reshape(-1)
    weighted = (
        _sum_by_cell(pair_cells, counts * counts / union, shape),
        _sum_by_cell(pair_cells, counts * counts / np.maximum(1, lengths[0]), shape),
        _sum_by_cell(pair_cells, counts * counts / np.maximum(1, lengths[1]), shape),
        _sum_by_cell(run_cells, run_lengths * run_lengths / union.reshape(-1)[runs], shape),
    )
    location = np.maximum(_TINY, _sum_by_cell(cells, similarities[entries], shape)) / np.maximum(_TINY, found)
    shares = (values / np.maximum(1, found) for values in weighted)
    return {"true_positives": found.astype(np.float64), **dict(zip(_ASSOCIATIONS, shares, strict=True))} | {
        "localization_accuracy": location
    }


def _tracks(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Returns [N] the number of each person's track, from 0, and [tracks, J] in how many frames it has each joint."""
    ids, tracks = np.unique(people.track_ids, return_inverse=True)
    lengths = np.zeros((len(ids), people.keypoints.shape[1]), np.int64)
    np.add.at(lengths, tracks, people.has_joint)
    return tracks, lengths


def _runs(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits the pairs found, sorted by object and time, into runs with one partner; returns pair and length of each.

    An object is a true track's joint. Different objects never share a pair, so a run ends where the pair changes.
    """
    is_start = np.diff(pairs, prepend=-1) != 0
    starts = np.flatnonzero(is_start)
    return pairs[starts], np.diff(starts, append=len(pairs))


def _sum_by_cell(cells: np.ndarray, values: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Returns the sum of the values in each of the cells, which are numbered by row; without values, their number."""
    weights = None if values is None else values.reshape(-1)
    return np.bincount(cells, weights, minlength=shape[0] * shape[1]).reshape(shape)


def join_parts(parts: Sequence[HotaParts]) -> HotaParts:
    """Joins the parts of several sequences: adds the counts, and averages the shares, weighted by the pairs found.

    The total column weighs the sequences' means over joints by their pairs of all joints.
    """
    counts = {name: np.sum([getattr(part, name) for part in parts], axis=0) for name in _COUNTS}
    found = counts["true_positives"]

    def weighted_sum(name: str) -> np.ndarray:
        return np.sum([getattr(part, name) * part.true_positives for part in parts], axis=0)

    shares = {name: weighted_sum(name) / np.maximum(1, found) for name in _ASSOCIATIONS}
    location = np.maximum(_TINY, weighted_sum("localization_accuracy")) / np.maximum(_TINY, found)
    return HotaParts(**counts, **shares, localization_accuracy=location)


def hota_curves(parts: HotaParts, is_single_sequence: bool = False) -> dict[str, np.ndarray]:
    """Returns each metric at each threshold, [T, J + 1] in [0, 1], under the names of the papers.

    Args:
        parts: Parts of one sequence or of all.
        is_single_sequence: Whether the total of every metric is the mean over joints, as the official evaluator
            reports single sequences. Otherwise the totals of the detection metrics follow from added counts.
    """
    found, missed, wrong = parts.true_positives, parts.false_negatives, parts.false_positives
    recall = found / np.maximum(1, found + missed)
    precision = found / np.maximum(1, found + wrong)
    detection = found / np.maximum(1, found + missed + wrong)
    association, fragmented = parts.association_accuracy, parts.unfragmented_association
    unfragmented = np.sqrt(association * fragmented)
    curves = {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "FragA": fragmented,
        "DetRe": recall,
        "DetPr": precision,
        "AssRe": parts.association_recall,
        "AssPr": parts.association_precision,
        "LocA": parts.localization_accuracy,
        "RHOTA": np.sqrt(recall * association),
        "FA-HOTA": np.sqrt(detection * unfragmented),
        "FA-RHOTA": np.sqrt(recall * unfragmented),
    }
    if is_single_sequence:
        curves = {name: _append(values[:, :-1], values[:, :-1].mean(axis=1)) for name, values in curves.items()}
    return curves


def hota_metrics(parts: HotaParts, is_single_sequence: bool = False) -> dict[str, np.ndarray]:
    """Returns each metric in percent, [J + 1]: the mean over thresholds of `hota_curves`."""
    return {name: 100 * values.mean(axis=0) for name, values in hota_curves(parts, is_single_sequence).items()}
