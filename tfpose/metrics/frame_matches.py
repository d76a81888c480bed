"""Finds which person was found in which frame of a video. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfpose.metrics.joints import NUM_JOINTS
from tfpose.metrics.matching import People, assign_poses, correct_joints, find_near_joints
from tfpose.metrics.posetrack_selection import select_people
from tfpose.posetrack.columns import columns_from_sequence
from tfpose.posetrack.sequences import PoseSequence


@dataclasses.dataclass(frozen=True)
class TrackMatches:
    """A true person in the F evaluated frames of a video.

    Attributes:
        track_id: Identity in the ground truth.
        is_present: [F] bool, whether the person is annotated in the frame.
        is_found: [F] bool, whether a prediction was assigned to the person.
        predicted_ids: [F] int64 track of that prediction; 0 where there is none.
    """

    track_id: int
    is_present: np.ndarray
    is_found: np.ndarray
    predicted_ids: np.ndarray

    @property
    def is_switch(self) -> np.ndarray:
        """Whether the person is found by a different track than the last time, [F] bool."""
        found = np.flatnonzero(self.is_found)
        switches = np.zeros(len(self.is_found), bool)
        switches[found[1:]] = np.diff(self.predicted_ids[found]) != 0
        return switches


@dataclasses.dataclass(frozen=True)
class SequenceMatches:
    """The F evaluated frames of a video.

    Attributes:
        name: Name of the sequence.
        frames: [F] positions of the frames in the sequence.
        true_joints: [F] number of annotated joints.
        predicted_joints: [F] number of predicted joints.
        correct_joints: [F] number of predicted joints near the same joint of the true person of the prediction.
        extra_people: [F] number of predictions that are assigned to nobody.
        tracks: The true people, in the order of their appearance.
    """

    name: str
    frames: np.ndarray
    true_joints: np.ndarray
    predicted_joints: np.ndarray
    correct_joints: np.ndarray
    extra_people: np.ndarray
    tracks: tuple[TrackMatches, ...]

    @property
    def frame_scores(self) -> np.ndarray:
        """The scores [F] in percent: twice the correct joints over the sum of annotated and predicted joints (F1).

        NaN for a frame without annotated and predicted joints.
        """
        num_joints = self.true_joints + self.predicted_joints
        return np.where(num_joints > 0, 200.0 * self.correct_joints / np.maximum(num_joints, 1), np.nan)

    @property
    def num_switches(self) -> int:
        """The number of times that a person was found by a different track than the last time."""
        return int(sum(track.is_switch.sum() for track in self.tracks))

    @property
    def num_missed(self) -> int:
        """The number of frames in which a person was annotated and not found."""
        return int(sum((track.is_present & ~track.is_found).sum() for track in self.tracks))

    @property
    def num_present(self) -> int:
        """The number of frames in which a person was annotated."""
        return int(sum(track.is_present.sum() for track in self.tracks))


def match_sequence(true: PoseSequence, predicted: PoseSequence) -> SequenceMatches:
    """Assigns each prediction of a video to a true person, as poseval does for AP.

    A prediction goes to the person with whom it shares most joints (PCKh@0.5), and of several such predictions the one
    with most shared joints wins. MOTA matches joint by joint instead, so its switches differ where people are close.

    Raises:
        ValueError: The sequences do not fit; see `posetrack_selection.select_people`.
    """
    selected = select_people(columns_from_sequence(true, True), columns_from_sequence(predicted, False))
    num_frames, people = selected.num_frames, (selected.true, selected.predicted)
    near = find_near_joints(*people)
    assigned = assign_poses(near, len(selected.true))
    correct = correct_joints(near, assigned, NUM_JOINTS).sum(axis=1)
    joints = [_per_frame(side, side.has_joint.sum(axis=1), num_frames) for side in people]
    return SequenceMatches(
        name=selected.name,
        frames=np.flatnonzero([frame.num_people > 0 for frame in true.frames]),
        true_joints=joints[0],
        predicted_joints=joints[1],
        correct_joints=_per_frame(selected.predicted, correct, num_frames),
        extra_people=_per_frame(selected.predicted, assigned < 0, num_frames),
        tracks=_track_matches(selected.true, selected.predicted, assigned, num_frames),
    )


def _per_frame(people: People, counts: np.ndarray, num_frames: int) -> np.ndarray:
    """Returns [F] the sums of the counts [N] of people."""
    return np.bincount(people.frames, counts, minlength=num_frames).astype(np.int64)


def _track_matches(true: People, predicted: People, assigned: np.ndarray, num_frames: int) -> tuple[TrackMatches, ...]:
    ids, firsts = np.unique(true.track_ids, return_index=True)
    finders = np.full(len(true), -1)
    finders[assigned[assigned >= 0]] = np.flatnonzero(assigned >= 0)
    tracks = []
    for track_id in ids[np.argsort(firsts)]:
        is_present, is_found = np.zeros(num_frames, bool), np.zeros(num_frames, bool)
        predicted_ids = np.zeros(num_frames, np.int64)
        people = np.flatnonzero(true.track_ids == track_id)
        is_present[true.frames[people]] = True
        found = people[finders[people] >= 0]
        is_found[true.frames[found]] = True
        predicted_ids[true.frames[found]] = predicted.track_ids[finders[found]]
        tracks.append(TrackMatches(int(track_id), is_present, is_found, predicted_ids))
    return tuple(tracks)
