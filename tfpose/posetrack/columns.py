"""The people of all frames of a file in a few arrays, which scoring reads at about the cost of parsing the JSON.

`read_posetrack` makes an object for each frame and keeps everything in a file. Scoring needs a few fields of many
files, and must refuse exactly the files that the official evaluators refuse.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from tfpose.posetrack.json_columns import PersonPlaces
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_TRACK_ID, Frame, PoseSequence
from tfpose.skeletons import joint_mapping

# Poseval refuses this track number and greater ones.
TRACK_ID_LIMIT = 10000


@dataclasses.dataclass(frozen=True)
class PersonColumns:
    """N people of one file with K points, sorted by frame and within a frame as in the file.

    Joints are numbered as in `JOINTS_BY_NUMBER`. Points are sorted by person. A joint may have several points, of which
    the first counts.

    Attributes:
        path: Path of the file, for messages.
        name: Name of the sequence.
        frame_names: F image names.
        image_ids: [F] int64 identities of the images; NO_IMAGE_ID in 2017 files.
        is_labeled: [F] bool, whether the file says that the frame is labeled.
        frames: [N] int64 position of each person's frame, not decreasing.
        track_ids: [N] int64 identities of the people; NO_TRACK_ID where there is none.
        head_boxes: [N, 4] float64 xyxy in image pixels; NaN where there is none, and in predictions.
        has_points: [N] bool, whether the file has a list of points, even an empty one.
        point_people: [K] int64 position of each point's person, not decreasing.
        point_joints: [K] int64 joint of each point; -1 for numbers that are no joint.
        points: [K, 2] float64 (x, y) in image pixels.
        point_scores: [K] float64 scores; NO_SCORE where there is none, NaN where the file has null.
        regions: Pairs of a frame's position and a polygon [n, 2] to ignore there; none in predictions.
        notes: Lines for the user on what evaluators leave out of the file or would refuse.
    """

    path: pathlib.Path
    name: str
    frame_names: Sequence[str]
    image_ids: np.ndarray
    is_labeled: np.ndarray
    frames: np.ndarray
    track_ids: np.ndarray
    head_boxes: np.ndarray
    has_points: np.ndarray
    point_people: np.ndarray
    point_joints: np.ndarray
    points: np.ndarray
    point_scores: np.ndarray
    regions: tuple[tuple[int, np.ndarray], ...]
    notes: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """The number of frames, F."""
        return len(self.frame_names)

    @property
    def num_people(self) -> int:
        """The number of people, N."""
        return len(self.frames)

    def where(self, person: int) -> str:
        """Returns file, frame and person, for messages."""
        return PersonPlaces(self.path, self.frame_names, self.frames)(person)


def columns_from_sequence(sequence: PoseSequence, is_ground_truth: bool) -> PersonColumns:
    """Returns the columns of a sequence in memory, such as a tracker's result, as if it had been written and read.

    Raises:
        ValueError: Poseval would refuse the file.
    """
    frames = sequence.frames
    numbers = joint_mapping(JOINTS_BY_NUMBER, sequence.skeleton.joints)
    rows = [_points_of_frame(frame, numbers) for frame in frames]
    offsets = np.cumsum([0] + [frame.num_people for frame in frames])
    people, joints, points, scores = (
        np.concatenate([row[i] + (offsets[f] if i == 0 else 0) for f, row in enumerate(rows)] or [_EMPTY[i]])
        for i in range(4)
    )
    num_people = int(offsets[-1])
    columns = PersonColumns(
        path=sequence.path,
        name=sequence.name,
        frame_names=[frame.file_name for frame in frames],
        image_ids=np.array([frame.image_id for frame in frames], np.int64),
        is_labeled=np.array([frame.is_labeled for frame in frames], bool),
        frames=np.repeat(np.arange(len(frames)), np.diff(offsets)),
        track_ids=_join([frame.track_ids for frame in frames], np.int64),
        head_boxes=_join([frame.head_boxes for frame in frames], np.float64).reshape(num_people, 4),
        has_points=_join([frame.has_points for frame in frames], bool),
        point_people=people,
        point_joints=joints,
        points=points,
        point_scores=scores,
        regions=tuple((f, region) for f, frame in enumerate(frames) for region in frame.ignore_regions)
        if is_ground_truth
        else (),
    )
    check_track_limit(columns)
    if not is_ground_truth:
        check_track_ids_are_distinct(columns)
    return columns


def with_stand_in_ids(columns: PersonColumns) -> PersonColumns:
    """Returns columns in which people without an identity have one, for metrics that do not depend on identities."""
    return dataclasses.replace(columns, track_ids=np.where(columns.track_ids == NO_TRACK_ID, 0, columns.track_ids))


_EMPTY = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))


def _join(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)


def _points_of_frame(frame: Frame, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns person, joint number, (x, y) and score of each point of a frame, surplus points after the others."""
    surplus = frame.surplus
    people, joints = np.nonzero((frame.visibility > 0) & (numbers >= 0))
    surplus_joints = np.where(surplus.joints >= 0, numbers[np.maximum(surplus.joints, 0)], -1)
    all_people = np.concatenate([people, surplus.people])
    order = np.argsort(all_people, kind="stable")
    return (
        all_people[order],
        np.concatenate([numbers[joints], surplus_joints])[order],
        np.concatenate([frame.keypoints[people, joints], surplus.keypoints])[order],
        np.concatenate([frame.joint_scores[people, joints], surplus.scores])[order],
    )


def check_track_limit(columns: PersonColumns) -> None:
    """Raises an error if a track number is too large for poseval."""
    is_wrong = columns.track_ids >= TRACK_ID_LIMIT
    if is_wrong.any():
        person = int(np.argmax(is_wrong))
        raise ValueError(
            f"{columns.where(person)}: 'track_id' must be below {TRACK_ID_LIMIT}, got {columns.track_ids[person]}"
        )


def check_track_ids_are_distinct(columns: PersonColumns) -> None:
    """Raises an error if a track number occurs twice in a frame."""
    with_id = np.flatnonzero(columns.track_ids != NO_TRACK_ID)
    order = with_id[np.lexsort((columns.track_ids[with_id], columns.frames[with_id]))]
    frames, ids = columns.frames[order], columns.track_ids[order]
    is_repeated = (frames[1:] == frames[:-1]) & (ids[1:] == ids[:-1])
    if is_repeated.any():
        first = int(np.argmax(is_repeated))
        raise ValueError(
            f"{columns.where(int(order[first + 1]))}: 'track_id' must occur once in a frame, got {ids[first]} twice"
        )
