"""Multi-object tracking metrics of joints (MOTA, MOTP, precision, recall), as PoseTrack counts them. NumPy only.

Each joint of each sequence is a tracking problem of its own, after Bernardin and Stiefelhagen, "Evaluating Multiple
Object Tracking Performance: The CLEAR MOT Metrics", 2008, as py-motmetrics 1.4 does it and poseval feeds it. All
problems advance together, frame by frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfpose.metrics.average_precision import with_mean
from tfpose.metrics.matching import NearJoints, People, choose_pairs, minimum_cost_assignment


@dataclasses.dataclass(frozen=True)
class TrackingRules:
    """Known bugs of poseval; the defaults repeat them, as the official metrics do.

    Attributes:
        skips_last_frame: Whether to leave out the last evaluated frame of every sequence (an off-by-one error).
        stands_in_for_one_sided_frames: Whether to count a frame without true or without predicted people as one missed
            object and one false positive of every joint, instead of the joints that are in it.
    """

    skips_last_frame: bool = True
    stands_in_for_one_sided_frames: bool = True


OFFICIAL_RULES = TrackingRules()
# Every frame counts, with the joints that are in it.
CLEAN_RULES = TrackingRules(skips_last_frame=False, stands_in_for_one_sided_frames=False)


@dataclasses.dataclass(frozen=True)
class TrackingCounts:
    """Counts for each sequence and joint, [S, J], or for each joint, [J], which are added and then divided.

    Attributes:
        objects: Number of true joints.
        switches: Number of matched objects whose last match was a different track.
        false_positives: Number of predicted joints that match nothing.
        detections: Number of matched objects, switches included.
        near_distances: Sum of the distances of all near pairs, matched or not, in head sizes.
        matched_distances: Sum of the distances of the matched pairs, in head sizes.
        side_distances: Sum of the distances that py-motmetrics counts in addition: a track that changes its object
            counts the distance again, and once more if the object was never matched; so does a switch to a track that
            was never matched.
    """

    objects: np.ndarray
    switches: np.ndarray
    false_positives: np.ndarray
    detections: np.ndarray
    near_distances: np.ndarray
    matched_distances: np.ndarray
    side_distances: np.ndarray

    @property
    def misses(self) -> np.ndarray:
        """The number of true joints that match nothing."""
        return self.objects - self.detections

    def select(self, sequence: int) -> TrackingCounts:
        """Returns the counts [J] of one sequence."""
        return TrackingCounts(**{f.name: getattr(self, f.name)[sequence] for f in dataclasses.fields(self)})

    def sum(self) -> TrackingCounts:
        """Returns the counts [J] of all sequences together."""
        return TrackingCounts(**{f.name: getattr(self, f.name).sum(axis=0) for f in dataclasses.fields(self)})


def stack_counts(parts: Sequence[TrackingCounts]) -> TrackingCounts:
    """Returns counts [S, J] from the counts [J] of S sequences."""
    return TrackingCounts(
        **{f.name: np.stack([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(TrackingCounts)}
    )


@dataclasses.dataclass(frozen=True)
class TrackingMetrics:
    """Metrics in percent [J + 1], one for each joint and then the total: the mean over joints that are not NaN.

    Attributes:
        mota: 1 - (misses + switches + false positives) / objects; NaN without objects.
        motp: 1 - distance / detections, with the distances that poseval adds under py-motmetrics >= 1.1: near,
            matched and side distances together; 0 without detections.
        motp_matched: 1 - distance / detections with matched distances only, which is the definition of MOTP and what
            papers of 2017-2019 report.
        precision: detections / (detections + false positives).
        recall: detections / objects.
        counts: The counts [J] of each joint.
    """

    mota: np.ndarray
    motp: np.ndarray
    motp_matched: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    counts: TrackingCounts


def tracking_metrics(counts: TrackingCounts) -> TrackingMetrics:
    """Computes the metrics from counts [J]."""
    errors = counts.misses + counts.switches + counts.false_positives
    all_distances = counts.near_distances + counts.matched_distances + counts.side_distances
    detections = np.maximum(counts.detections, 1)
    is_detected = counts.detections > 0
    return TrackingMetrics(
        mota=with_mean(100 * (1 - _divide(errors, counts.objects))),
        motp=with_mean(100 * np.where(is_detected, 1 - all_distances / detections, 0.0)),
        motp_matched=with_mean(100 * np.where(is_detected, 1 - counts.matched_distances / detections, 0.0)),
        precision=with_mean(100 * _divide(counts.detections, counts.detections + counts.false_positives)),
        recall=with_mean(100 * _divide(counts.detections, counts.objects)),
        counts=counts,
    )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def count_tracking(
    true: People,
    predicted: People,
    near: NearJoints,
    frame_sequences: np.ndarray,
    num_sequences: int,
    rules: TrackingRules = OFFICIAL_RULES,
) -> TrackingCounts:
    """Tracks each joint of each sequence and counts.

    Args:
        true: The true people of the evaluated frames.
        predicted: The predicted people of these frames; track ids are distinct in a frame.
        near: The allowed pairs of joints.
        frame_sequences: [F] the sequence of each evaluated frame, not decreasing.
        num_sequences: Number of sequences, S.
        rules: Official or clean rules.

    Returns:
        Counts [S, J].
    """
    counts_frame = np.ones(len(frame_sequences), bool)
    if rules.skips_last_frame:
        counts_frame[:-1] = frame_sequences[1:] == frame_sequences[:-1]
        counts_frame[-1:] = False
    has_both = _holds_people(true, len(frame_sequences)) & _holds_people(predicted, len(frame_sequences))
    is_replaced = counts_frame & ~has_both & rules.stands_in_for_one_sided_frames
    counts_people = counts_frame & ~is_replaced
    stand_ins = np.bincount(frame_sequences[is_replaced], minlength=num_sequences)[:, None]
    objects, hypotheses = (
        _count_joints(people, counts_people, frame_sequences, num_sequences) + stand_ins for people in (true, predicted)
    )
    events = _track(true, predicted, _select(near, counts_people[true.frames[near.true]]), frame_sequences)
    num_joints = true.keypoints.shape[1]

    def total(values: np.ndarray) -> np.ndarray:
        cells = events.sequences * num_joints + events.joints
        return np.bincount(cells, values, minlength=num_sequences * num_joints).reshape(num_sequences, num_joints)

    detections = total(events.is_match)
    return TrackingCounts(
        objects=objects,
        switches=total(events.is_switch),
        false_positives=hypotheses - detections,
        detections=detections,
        near_distances=total(events.distances),
        matched_distances=total(events.distances * events.is_match),
        side_distances=total(events.distances * events.num_side_events),
    )


def _holds_people(people: People, num_frames: int) -> np.ndarray:
    """Returns [F] bool, whether the frame has people."""
    return np.bincount(people.frames, minlength=num_frames) > 0


def _count_joints(
    people: People, counts_frame: np.ndarray, frame_sequences: np.ndarray, num_sequences: int
) -> np.ndarray:
    """Returns [S, J] the number of joints in the frames that count."""
    num_joints = people.keypoints.shape[1]
    person, joint = np.nonzero(people.has_joint & counts_frame[people.frames][:, None])
    cells = frame_sequences[people.frames[person]] * num_joints + joint
    return np.bincount(cells, minlength=num_sequences * num_joints).reshape(num_sequences, num_joints).astype(float)


def _select(near: NearJoints, is_wanted: np.ndarray) -> NearJoints:
    pairs = {name: getattr(near, name)[is_wanted] for name in ("true", "predicted", "joints", "distances")}
    return dataclasses.replace(near, **pairs)


@dataclasses.dataclass(frozen=True)
class _Events:
    """The outcome of each near pair, [E] each."""

    sequences: np.ndarray
    joints: np.ndarray
    distances: np.ndarray
    is_match: np.ndarray
    is_switch: np.ndarray
    num_side_events: np.ndarray


def _track(true: People, predicted: People, near: NearJoints, frame_sequences: np.ndarray) -> _Events:
    """Tracks the joints of all sequences; pairs of the n-th frames of all sequences are handled together."""
    frames = true.frames[near.true]
    first_frames = np.searchsorted(frame_sequences, frame_sequences)
    steps = (np.arange(len(frame_sequences)) - first_frames)[frames]
    # NumPy sorts 16-bit keys in linear time.
    small = steps.astype(np.uint16) if len(frame_sequences) < 1 << 16 else steps
    near = _select(near, np.argsort(small, kind="stable"))
    steps = np.sort(small, kind="stable")
    tracker = _Tracker(true, predicted, near, frame_sequences)
    for pairs in np.split(np.arange(len(steps)), np.flatnonzero(np.diff(steps)) + 1):
        tracker.advance(pairs)
    return _Events(
        sequences=frame_sequences[true.frames[near.true]],
        joints=near.joints,
        distances=near.distances,
        is_match=tracker.is_match,
        is_switch=tracker.is_switch,
        num_side_events=tracker.num_side_events,
    )


class _Tracker:
    """State of all tracking problems, and the outcome of the pairs so far.

    An object is a joint of a true track, and a hypothesis a joint of a predicted track; an entry is one of them in one
    frame. (A ground truth that repeats a track number in a frame has several entries of one object.)
    """

    def __init__(self, true: People, predicted: People, near: NearJoints, frame_sequences: np.ndarray) -> None:
        num_joints = true.keypoints.shape[1]
        objects, num_objects = _number_tracks(true, frame_sequences)
        hypotheses, num_hypotheses = _number_tracks(predicted, frame_sequences)
        self.objects = objects[near.true] * num_joints + near.joints  # [E]
        self.hypotheses = hypotheses[near.predicted] * num_joints + near.joints
        self.object_entries = near.true * num_joints + near.joints
        self.hypothesis_entries = near.predicted * num_joints + near.joints
        self.groups = true.frames[near.true] * num_joints + near.joints
        self.true, self.predicted, self.near = true, predicted, near
        self.true_has_joint, self.predicted_has_joint = true.has_joint, predicted.has_joint
        self.last_match = np.full(num_objects * num_joints, -1)
        self.last_owner = np.full(num_hypotheses * num_joints, -1)
        self.was_matched = np.zeros(num_hypotheses * num_joints, bool)
        self.is_used_object = np.zeros(len(true) * num_joints, bool)
        self.is_used_hypothesis = np.zeros(len(predicted) * num_joints, bool)
        self.is_match = np.zeros(len(near.true), bool)
        self.is_switch = np.zeros(len(near.true), bool)
        self.num_side_events = np.zeros(len(near.true), np.int64)

    def advance(self, pairs: np.ndarray) -> None:
        """Handles one frame of each problem, given the positions of its near pairs."""
        self._use(self._carried_on(pairs))
        is_used = self.is_used_object[self.object_entries[pairs]]
        is_used |= self.is_used_hypothesis[self.hypothesis_entries[pairs]]
        free = pairs[~is_used]
        if len(free):
            self._use(self._assign(free))

    def _use(self, pairs: np.ndarray) -> None:
        self.is_match[pairs] = True
        self.is_used_object[self.object_entries[pairs]] = True
        self.is_used_hypothesis[self.hypothesis_entries[pairs]] = True

    def _carried_on(self, pairs: np.ndarray) -> np.ndarray:
        """Returns pairs of an object and its last hypothesis; of several objects the first in the file keeps it."""
        pairs = pairs[self.last_match[self.objects[pairs]] == self.hypotheses[pairs]]
        entries = self.hypothesis_entries[pairs]
        ordered = np.sort(entries)
        if (ordered[1:] != ordered[:-1]).all():
            return pairs
        pairs = pairs[np.argsort(self.near.true[pairs], kind="stable")]
        return pairs[np.unique(self.hypothesis_entries[pairs], return_index=True)[1]]

    def _assign(self, free: np.ndarray) -> np.ndarray:
        """Matches the remaining pairs, and records the matches."""

        def solve_group(members: np.ndarray) -> np.ndarray:
            return self._solve_exactly(free[members])

        is_chosen = choose_pairs(
            self.object_entries[free],
            self.hypothesis_entries[free],
            self.groups[free],
            self.near.distances[free],
            lambda members: np.searchsorted(free, solve_group(members)),
        )
        chosen = free[is_chosen]
        rest = chosen[np.argsort(self.near.true[chosen], kind="stable")]
        while len(rest):
            _, firsts = np.unique(self.objects[rest], return_index=True)
            self._note(rest[firsts])
            rest = np.delete(rest, firsts)
        return chosen

    def _note(self, pairs: np.ndarray) -> None:
        """Updates the state with matches of different objects and hypotheses."""
        objects, hypotheses = self.objects[pairs], self.hypotheses[pairs]
        last_match, last_owner = self.last_match[objects], self.last_owner[hypotheses]
        is_switch = (last_match >= 0) & (last_match != hypotheses)
        is_taken_over = (last_owner >= 0) & (last_owner != objects)
        self.is_switch[pairs] = is_switch
        self.num_side_events[pairs] = (
            (is_switch & ~self.was_matched[hypotheses]).astype(np.int64)
            + is_taken_over
            + (is_taken_over & (last_match < 0))
        )
        self.last_match[objects] = hypotheses
        self.last_owner[hypotheses] = objects
        self.was_matched[hypotheses] = True

    def _solve_exactly(self, pairs: np.ndarray) -> np.ndarray:
        """Chooses among the free pairs of one problem.

        Equal totals are decided as in py-motmetrics, by the assignment of the full matrix of the frame, in which all
        pairs that are not allowed have one cost that no gain elsewhere outweighs.
        """
        frame, joint = self.true.frames[self.near.true[pairs[0]]], self.near.joints[pairs[0]]
        rows = _with_joint(self.true, self.true_has_joint, frame, joint)
        columns = _with_joint(self.predicted, self.predicted_has_joint, frame, joint)
        distances = self.near.distances[pairs]
        costs = np.full((len(rows), len(columns)), 2 * min(len(rows), len(columns)) * (distances.max() + 1) + 1)
        positions = np.full(costs.shape, -1)
        place = np.searchsorted(rows, self.near.true[pairs]), np.searchsorted(columns, self.near.predicted[pairs])
        costs[place], positions[place] = distances, pairs
        chosen = positions[minimum_cost_assignment(costs)]
        return np.sort(chosen[chosen >= 0])


def _with_joint(people: People, has_joint: np.ndarray, frame: int, joint: int) -> np.ndarray:
    """Returns the positions of the people of a frame that have a joint."""
    first, end = np.searchsorted(people.frames, [frame, frame + 1])
    return first + np.flatnonzero(has_joint[first:end, joint])


def _number_tracks(people: People, frame_sequences: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns [N] the number of each person's track among the tracks of all sequences, and the number of tracks."""
    sequences = frame_sequences[people.frames]
    order = np.lexsort((people.track_ids, sequences))
    keys = sequences[order], people.track_ids[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (keys[0][1:] != keys[0][:-1]) | (keys[1][1:] != keys[1][:-1])
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(is_new) - 1
    return numbers, int(is_new.sum())
