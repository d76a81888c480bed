"""Gives people identities, frame by frame."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfpose import boxes as box_math
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.assignment import MATCHERS
from tfpose.tracking.settings import PAYER2017, TrackerSettings
from tfpose.tracking.similarity import iou_distances, masked_median, median_joint_distances, oks_distances


@dataclasses.dataclass
class _Tracks:
    """The tracks that can still be continued, N of them, oldest identity first.

    Attributes:
        keypoints: [N, J, 2] in original image pixels, where the joints are expected in the current frame.
        is_present: [N, J] bool.
        boxes: [N, 4] xyxy, expected as well.
        velocities: [N, 2] pixels per frame.
        ids: [N].
        ages: [N] frames since the last pose.
    """

    keypoints: np.ndarray
    is_present: np.ndarray
    boxes: np.ndarray
    velocities: np.ndarray
    ids: np.ndarray
    ages: np.ndarray

    def select(self, is_kept: np.ndarray) -> _Tracks:
        return _Tracks(*(getattr(self, field.name)[is_kept] for field in dataclasses.fields(self)))

    def append(self, others: _Tracks) -> _Tracks:
        fields = dataclasses.fields(self)
        return _Tracks(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields))

    def shift(self, offsets: np.ndarray) -> None:
        """Moves each track by its offset, [N, 2] pixels."""
        self.keypoints = self.keypoints + offsets[:, None]
        self.boxes = self.boxes + np.tile(offsets, 2)


class Tracker:
    """Gives the people of successive frames of one video identities from 0 on.

    The tracker of Payer et al. 2017, section 3, and options beside it. Everybody seen within the last
    `max_age_frames` frames is a candidate with the last pose, each for at most one person of the frame;
    a person who matches none gets a new identity. Identities belong to the instance and are never reused.

    Example:
        >>> from tfpose.poses import no_poses
        >>> tracker = Tracker()
        >>> len(tracker.update(no_poses(num_joints=17)))
        0
    """

    def __init__(self, settings: TrackerSettings = PAYER2017, skeleton: Skeleton | None = None) -> None:
        """Makes a tracker without tracks.

        Args:
            settings: thresholds and options.
            skeleton: of the poses; only needed for its OKS constants.

        Raises:
            ValueError: if the similarity is OKS and there is no skeleton.
        """
        if settings.similarity == "oks" and skeleton is None:
            raise ValueError("skeleton must be given for the similarity 'oks', which needs its sigmas, got None")
        self.settings = settings
        self.skeleton = skeleton
        self.reset()

    def reset(self) -> None:
        """Forgets everybody; identities start at 0 again."""
        self._tracks: _Tracks | None = None
        self._next_id = 0

    def update(self, poses: Poses) -> Poses:
        """Continues the tracks with the next frame.

        Args:
            poses: the people of the frame; their `track_ids` are not looked at.

        Returns:
            The people with `track_ids`, in the order given, but for those that the settings remove (Payer's
            remove nobody). Removed joints have a score of 0.

        Raises:
            ValueError: if the number of joints is not that of the frames before or of the skeleton.
        """
        self._check_joints(poses)
        people = self._people_that_count(poses)
        sighted = _tracks_from_poses(people)
        tracks = sighted.select(slice(0)) if self._tracks is None else self._expected_tracks(self._tracks)
        rows, columns = MATCHERS[self.settings.matching](*self._distances(tracks, sighted))
        self._continue(tracks, rows, sighted, columns)
        ids = np.full(len(people), -1)
        ids[columns] = tracks.ids[rows]
        is_new = (ids < 0) & (people.scores >= self.settings.min_new_track_score)
        ids[is_new] = self._next_id + np.arange(is_new.sum())
        self._next_id += int(is_new.sum())
        sighted.ids = ids
        self._tracks = tracks.append(sighted.select(is_new))
        return dataclasses.replace(people, track_ids=ids).select(ids >= 0)

    def _check_joints(self, poses: Poses) -> None:
        num_joints = poses.keypoints.shape[1]
        if self.skeleton is not None and num_joints != self.skeleton.num_joints:
            raise ValueError(
                f"poses must have the {self.skeleton.num_joints} joints of skeleton {self.skeleton.name}, "
                f"got {num_joints}"
            )
        if self._tracks is not None and num_joints != self._tracks.keypoints.shape[1]:
            raise ValueError(
                f"poses must have the {self._tracks.keypoints.shape[1]} joints of the frames before, got {num_joints}"
            )

    def _people_that_count(self, poses: Poses) -> Poses:
        settings = self.settings
        is_present = (poses.joint_scores > settings.min_joint_score) & np.isfinite(poses.keypoints).all(axis=-1)
        poses = dataclasses.replace(poses, joint_scores=np.where(is_present, poses.joint_scores, 0.0))
        is_person = (is_present.sum(axis=1) >= settings.min_joints) & ~(poses.scores < settings.min_person_score)
        return poses.select(is_person)

    def _expected_tracks(self, tracks: _Tracks) -> _Tracks:
        """The tracks that may still be continued, one frame on."""
        tracks.ages += 1
        tracks = tracks.select(tracks.ages <= self.settings.max_age_frames)
        if self.settings.motion == "velocity":
            is_moved = tracks.ages <= self.settings.max_prediction_frames
            tracks.shift(tracks.velocities * is_moved[:, None])
        return tracks

    def _distances(self, tracks: _Tracks, sighted: _Tracks) -> tuple[np.ndarray, float]:
        """[N, P] distances, and what a match must be below."""
        distances, max_distance = self._pose_distances(tracks, sighted)
        if self.settings.age_penalty_per_frame:
            distances = distances * (1 + self.settings.age_penalty_per_frame * (tracks.ages[:, None] - 1))
        return distances, max_distance

    def _pose_distances(self, tracks: _Tracks, sighted: _Tracks) -> tuple[np.ndarray, float]:
        settings = self.settings
        if settings.similarity == "iou":
            return iou_distances(tracks.boxes, sighted.boxes), 1 - settings.min_iou
        poses = tracks.keypoints, sighted.keypoints, tracks.is_present[:, None] & sighted.is_present[None]
        if settings.similarity == "oks":
            return oks_distances(*poses, tracks.boxes, sighted.boxes, self.skeleton.sigmas), 1 - settings.min_oks
        return median_joint_distances(*poses), settings.max_joint_distance_pixels

    def _continue(self, tracks: _Tracks, rows: np.ndarray, sighted: _Tracks, columns: np.ndarray) -> None:
        """Puts the matched people into their tracks."""
        settings = self.settings
        residuals = _displacements(tracks, rows, sighted, columns)
        if settings.motion == "velocity":
            tracks.velocities[rows] += (1 - settings.velocity_memory) * residuals / tracks.ages[rows, None]
        keypoints, is_present = sighted.keypoints[columns], sighted.is_present[columns]
        if settings.remember_joints:
            moved = tracks.keypoints[rows] + residuals[:, None]
            keypoints = np.where(is_present[..., None], keypoints, moved)
            is_present = is_present | tracks.is_present[rows]
        tracks.keypoints[rows], tracks.is_present[rows] = keypoints, is_present
        tracks.boxes[rows], tracks.ages[rows] = sighted.boxes[columns], 0


def _tracks_from_poses(people: Poses) -> _Tracks:
    """People as tracks that begin in this frame."""
    is_present = people.joint_scores > 0
    keypoints = np.where(is_present[..., None], people.keypoints, 0.0).astype(np.float64)
    has_box = (box_math.areas(people.boxes) > 0)[:, None]
    return _Tracks(
        keypoints=keypoints,
        is_present=is_present,
        boxes=np.where(has_box, people.boxes, box_math.around_keypoints(keypoints, is_present)),
        velocities=np.zeros((len(people), 2)),
        ids=np.full(len(people), -1),
        ages=np.zeros(len(people), np.int64),
    )


def _displacements(tracks: _Tracks, rows: np.ndarray, sighted: _Tracks, columns: np.ndarray) -> np.ndarray:
    """[M, 2] pixels from where each matched track was expected to where it is, the median over its joints.

    Poses without a common joint, which boxes can match, count as expected.
    """
    offsets = sighted.keypoints[columns] - tracks.keypoints[rows]  # [M, J, 2]
    is_common = tracks.is_present[rows] & sighted.is_present[columns]
    medians = masked_median(np.swapaxes(offsets, 1, 2), np.repeat(is_common[:, None], 2, axis=1))
    return np.where(np.isfinite(medians), medians, 0.0)
