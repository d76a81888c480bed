"""Gives people identities, frame by frame."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

import numpy as np

from tfpose import boxes as box_math
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.assignment import MATCHERS, Matching
from tfpose.tracking.similarity import iou_distances, masked_median, median_joint_distances, oks_distances

Similarity = Literal["joint_distance", "oks", "iou"]
Motion = Literal["none", "velocity"]


@dataclasses.dataclass(frozen=True)
class TrackerSettings:
    """What decides which person of a frame continues which track. The defaults are Payer's.

    Attributes:
        similarity: "joint_distance" is the median distance of joints (Payer et al. 2017, section 3), "oks" the
            object keypoint similarity of the joints present in both poses, "iou" the overlap of the boxes.
        max_joint_distance_pixels: a match by joint distance is closer than this, in original image pixels.
        min_oks: a match by OKS is more alike than this, in [0, 1).
        min_iou: a match by boxes overlaps more than this, in [0, 1).
        matching: "greedy" takes the closest pair first (Payer), "optimal" minimises the total.
        max_age_frames: a track can be continued by a person up to this many frames after its last one, so
            1 allows no frame without it.
        age_penalty_per_frame: share by which the distance of a track grows for each frame it was not seen, so that
            of two tracks that are equally near the one seen later is taken; 0 treats them alike (Payer).
        min_joint_score: joints with a score of at most this are removed, from the result too.
        min_joints: people with fewer joints left are removed.
        min_person_score: people with a lower score are removed.
        min_new_track_score: people with a lower score may continue a track, but are removed where they would
            start one.
        remember_joints: a joint that is missing from the last pose of a track is taken from the pose that
            showed it last, moved along with the person since.
        motion: "none" compares with the last pose of a track (Payer), "velocity" with the pose moved on by the
            person's constant velocity, the median over its joints.
        velocity_memory: in [0, 1), share of the old velocity that stays at each match; 0 knows only the last
            two poses.
        max_prediction_frames: the velocity is applied for at most this many frames of a gap.

    Raises:
        ValueError: naming the setting, its rule and the value.
    """

    similarity: Similarity = "joint_distance"
    max_joint_distance_pixels: float = 200.0
    min_oks: float = 0.2
    min_iou: float = 0.2
    matching: Matching = "greedy"
    max_age_frames: int = 10
    age_penalty_per_frame: float = 0.0
    min_joint_score: float = 0.0
    min_joints: int = 0
    min_person_score: float = -math.inf
    min_new_track_score: float = -math.inf
    remember_joints: bool = False
    motion: Motion = "none"
    velocity_memory: float = 0.5
    max_prediction_frames: int = 10

    def __post_init__(self) -> None:
        choices = {"similarity": Similarity, "matching": Matching, "motion": Motion}
        for field, literal in choices.items():
            if getattr(self, field) not in get_args(literal):
                raise ValueError(f"{field} must be one of {get_args(literal)}, got {getattr(self, field)!r}")
        rules = {
            "max_joint_distance_pixels": (0 < self.max_joint_distance_pixels < math.inf, "positive and finite"),
            "min_oks": (0 <= self.min_oks < 1, "in [0, 1)"),
            "min_iou": (0 <= self.min_iou < 1, "in [0, 1)"),
            "max_age_frames": (self.max_age_frames >= 1, "at least 1"),
            "age_penalty_per_frame": (0 <= self.age_penalty_per_frame < math.inf, "at least 0 and finite"),
            "min_joint_score": (self.min_joint_score >= 0, "at least 0"),
            "min_joints": (self.min_joints >= 0, "at least 0"),
            "min_person_score": (not math.isnan(self.min_person_score), "a number"),
            "min_new_track_score": (not math.isnan(self.min_new_track_score), "a number"),
            "velocity_memory": (0 <= self.velocity_memory < 1, "in [0, 1)"),
            "max_prediction_frames": (self.max_prediction_frames >= 0, "at least 0"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{field} must be {rule}, got {getattr(self, field)}")


# Payer et al. 2017, section 4: t_pose_dist = 200, t_max_age = 10, found by grid search there.
PAYER2017 = TrackerSettings()


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
