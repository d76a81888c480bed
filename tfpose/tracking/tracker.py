"""Gives people identities, frame by frame. NumPy and SciPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfpose import boxes as box_math
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton
from tfpose.tracking.assignment import MATCHERS
from tfpose.tracking.settings import PAYER2017, TrackerSettings, find_named_settings
from tfpose.tracking.similarity import SIMILARITIES, masked_median


@dataclasses.dataclass
class _Tracks:
    """The N tracks that people can still continue, oldest identity first.

    Attributes:
        keypoints: [N, J, 2] in original image pixels, where the joints are expected in the current frame.
        is_present: [N, J] bool, whether the joint is known.
        boxes: [N, 4] xyxy, where the people are expected in the current frame.
        velocities: [N, 2] in pixels per frame.
        ids: [N] identities.
        ages: [N] frames since the last pose.
        originals: [N] for a track that began as a second pose of somebody, the identity of that person; -1 for others.
    """

    keypoints: np.ndarray
    is_present: np.ndarray
    boxes: np.ndarray
    velocities: np.ndarray
    ids: np.ndarray
    ages: np.ndarray
    originals: np.ndarray

    @property
    def has_second_poses(self) -> bool:
        """Whether a track began as a second pose; most frames have none, and save the work for them."""
        return max(self.originals.tolist(), default=-1) >= 0

    @property
    def is_second_pose(self) -> np.ndarray:
        """[N] bool, whether a track is the second pose of a person whose own track can still continue."""
        return np.isin(self.originals, self.ids)

    def select(self, is_kept: np.ndarray | slice) -> _Tracks:
        return _Tracks(*(getattr(self, field.name)[is_kept] for field in dataclasses.fields(self)))

    def append(self, others: _Tracks) -> _Tracks:
        fields = dataclasses.fields(self)
        return _Tracks(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields))

    def shift(self, offsets: np.ndarray) -> None:
        """Moves each track by its offset, [N, 2] pixels."""
        self.keypoints += offsets[:, None]
        self.boxes += np.concatenate([offsets, offsets], axis=1)


class Tracker:
    """Gives the people of successive frames of one video identities, counted from 0.

    The tracker of Payer et al. 2017, section 3, with options. Everybody seen within the last `max_age_frames` frames is
    a candidate with the last pose, for at most one person of the frame. A person who matches no candidate gets a new
    identity. Identities belong to the instance and are never reused.

    Beyond the paper, a second pose of one person cannot take over the person's identity: see `second_pose_distance` of
    the settings.

    Example:
        >>> from tfpose.poses import no_poses
        >>> tracker = Tracker("online")
        >>> len(tracker.update(no_poses(num_joints=17)))
        0
    """

    def __init__(self, settings: TrackerSettings | str = PAYER2017, skeleton: Skeleton | None = None) -> None:
        """Makes a tracker without tracks.

        Args:
            settings: Thresholds and options, or the name of such settings: "payer2017", "online" or "offline". The
                repairs of "offline" need the whole video; `track_video` applies them.
            skeleton: Skeleton of the poses. Only the similarity "oks" needs it, for the constants of the joints.

        Raises:
            ValueError: The settings are of another type or have an unknown name, or the similarity needs a skeleton and
                there is none.
        """
        if isinstance(settings, str):
            settings, _ = find_named_settings(settings)
        if not isinstance(settings, TrackerSettings):
            raise ValueError(f"settings must be TrackerSettings or their name, got {type(settings).__name__}")
        if SIMILARITIES[settings.similarity].needs_skeleton and skeleton is None:
            raise ValueError(f"skeleton must be given for the similarity {settings.similarity!r}, got None")
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
            poses: The people of the frame; their `track_ids` are ignored.

        Returns:
            The people with `track_ids`, in the order given, without those whom the settings remove (the default
            settings remove nobody). Removed joints have a score of 0.

        Raises:
            ValueError: The number of joints is not that of the frames before or of the skeleton.
        """
        self._check_joints(poses)
        people, is_present = self._people_that_count(poses)
        sighted = _tracks_from_poses(people, is_present)
        tracks = sighted.select(slice(0)) if self._tracks is None else self._expected_tracks(self._tracks)
        rows, columns = self._match(tracks, sighted)
        self._continue(tracks, rows, sighted, columns)
        sighted.ids[columns] = tracks.ids[rows]
        self._tracks = self._begin_tracks(tracks, sighted, people.scores) if len(rows) < len(people) else tracks
        has_id = sighted.ids >= 0
        # A mask of everybody takes several times as long, and copies too.
        kept = has_id if not has_id.all() else slice(None)
        return Poses(
            keypoints=people.keypoints[kept].copy(),
            joint_scores=np.where(is_present, people.joint_scores, 0.0)[kept],
            scores=people.scores[kept].copy(),
            boxes=people.boxes[kept].copy(),
            track_ids=sighted.ids[kept],
        )

    def _begin_tracks(self, tracks: _Tracks, sighted: _Tracks, scores: np.ndarray) -> _Tracks:
        """Gives the people without an identity new ones, if their scores allow it; returns all tracks."""
        is_new = (sighted.ids < 0) & ~(scores < self.settings.min_new_track_score)
        num_new = int(is_new.sum())
        if not num_new:
            return tracks
        sighted.ids[is_new] = self._next_id + np.arange(num_new)
        self._next_id += num_new
        sighted.originals = self._find_originals(sighted, is_new, scores)
        return tracks.append(sighted.select(is_new))

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

    def _people_that_count(self, poses: Poses) -> tuple[Poses, np.ndarray]:
        """Returns the people to track, and whether each joint of theirs is there, [P, J] bool."""
        settings = self.settings
        is_finite = np.isfinite(poses.keypoints)
        is_present = (poses.joint_scores > settings.min_joint_score) & is_finite[..., 0] & is_finite[..., 1]
        is_person = ~(poses.scores < settings.min_person_score)
        if settings.min_joints > 0:
            is_person &= is_present.sum(axis=1) >= settings.min_joints
        return (poses, is_present) if is_person.all() else (poses.select(is_person), is_present[is_person])

    def _expected_tracks(self, tracks: _Tracks) -> _Tracks:
        """Returns the tracks that people can still continue, one frame on."""
        tracks.ages += 1
        oldest = max(tracks.ages.tolist(), default=0)
        if oldest > self.settings.max_age_frames:
            tracks = tracks.select(tracks.ages <= self.settings.max_age_frames)
        if self.settings.motion == "velocity":
            # Tracks without a person for longer stay where they are.
            is_moved = tracks.ages <= self.settings.max_prediction_frames
            tracks.shift(np.where(is_moved[:, None], tracks.velocities, 0.0))
        return tracks

    def _match(self, tracks: _Tracks, sighted: _Tracks) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tracks that continue, and the people who continue them.

        The track of a second pose takes nobody from the other tracks, so the person keeps one identity.
        """
        distances, max_distance = self._distances(tracks, sighted)
        match = MATCHERS[self.settings.matching]
        if not tracks.has_second_poses:
            return match(distances, max_distance)
        own, second = np.flatnonzero(~tracks.is_second_pose), np.flatnonzero(tracks.is_second_pose)
        rows, columns = match(distances[own], max_distance)
        if not len(second):
            return rows, columns
        rest = np.setdiff1d(np.arange(distances.shape[1]), columns)
        more_rows, more_columns = match(distances[np.ix_(second, rest)], max_distance)
        return np.concatenate([own[rows], second[more_rows]]), np.concatenate([columns, rest[more_columns]])

    def _distances(self, tracks: _Tracks, sighted: _Tracks) -> tuple[np.ndarray, float]:
        """Returns [N, P] distances, and the distance that a match must be below."""
        similarity = SIMILARITIES[self.settings.similarity]
        distances = similarity.distances(tracks, sighted, self.skeleton)
        expected = len(tracks.ids), len(sighted.ids)
        if np.shape(distances) != expected:
            raise ValueError(
                f"similarity {self.settings.similarity}: distances must be [tracks, people] {expected}, "
                f"got {np.shape(distances)}"
            )
        if self.settings.age_penalty_per_frame:
            distances = distances * (1 + self.settings.age_penalty_per_frame * (tracks.ages[:, None] - 1))
        return distances, similarity.max_distance(getattr(self.settings, similarity.threshold))

    def _continue(self, tracks: _Tracks, rows: np.ndarray, sighted: _Tracks, columns: np.ndarray) -> None:
        """Puts the matched people into their tracks."""
        settings = self.settings
        keypoints, is_present = sighted.keypoints.take(columns, axis=0), sighted.is_present.take(columns, axis=0)
        if settings.motion == "velocity" or settings.remember_joints:
            known, is_known = tracks.keypoints.take(rows, axis=0), tracks.is_present.take(rows, axis=0)
            residuals = _displacements(known, keypoints, is_known & is_present)
            if settings.motion == "velocity":
                tracks.velocities[rows] += (1 - settings.velocity_memory) * residuals / tracks.ages[rows, None]
            if settings.remember_joints:
                known += residuals[:, None]
                keypoints = np.where(is_present[..., None], keypoints, known)
                is_present |= is_known
        tracks.keypoints[rows], tracks.is_present[rows] = keypoints, is_present
        tracks.boxes[rows], tracks.ages[rows] = sighted.boxes[columns], 0
        if tracks.has_second_poses:
            self._part(tracks)

    def _part(self, tracks: _Tracks) -> None:
        """Looks again whose second poses the second poses of this frame are; away from everybody they are people."""
        is_seen, is_second = tracks.ages == 0, tracks.is_second_pose
        people = tracks.select(is_seen & ~is_second)
        for row in np.flatnonzero(is_seen & is_second):
            is_near = self._are_near(tracks.select(slice(row, row + 1)), people)[0]
            if is_near.any():
                tracks.originals[row] = people.ids[is_near][0]
            elif tracks.originals[row] in people.ids:
                tracks.originals[row] = -1

    def _find_originals(self, sighted: _Tracks, is_new: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Returns for each new person whose second pose they are: [P] identities, -1 for nobody's and for known people.

        Of two new people the one with the higher score counts as the person.
        """
        originals = np.full(len(is_new), -1)
        new = np.flatnonzero(is_new)
        if len(is_new) < 2 or not len(new):
            return originals
        is_near = self._are_near(sighted.select(is_new), sighted)
        # By falling score; known people first.
        order = np.lexsort((-scores, is_new))
        place = np.argsort(order)
        for row, person in enumerate(new):
            better = [other for other in order[: place[person]] if is_near[row, other] and originals[other] < 0]
            if better:
                originals[person] = sighted.ids[better[0]]
        return originals

    def _are_near(self, people: _Tracks, others: _Tracks) -> np.ndarray:
        """Returns [N, P] bool, whether two poses are so near that they can be of one person."""
        distances = SIMILARITIES["joint_distance"].distances(people, others, None)
        sizes = np.sqrt(box_math.areas(people.boxes))[:, None]
        return distances < self.settings.second_pose_distance * sizes


def _tracks_from_poses(people: Poses, is_present: np.ndarray) -> _Tracks:
    """Returns people as tracks that begin in this frame.

    Args:
        people: The people.
        is_present: [P, J] bool, whether each joint is there.
    """
    keypoints = np.where(is_present[..., None], people.keypoints, 0.0).astype(np.float64, copy=False)
    has_box = box_math.areas(people.boxes) > 0
    if has_box.all():
        boxes = people.boxes.astype(np.float64)
    else:
        boxes = np.where(has_box[:, None], people.boxes, box_math.around_keypoints(keypoints, is_present))
    return _Tracks(
        keypoints=keypoints,
        is_present=is_present,
        boxes=boxes,
        velocities=np.zeros((len(people), 2)),
        ids=np.full(len(people), -1),
        ages=np.zeros(len(people), np.int64),
        originals=np.full(len(people), -1),
    )


def _displacements(known: np.ndarray, keypoints: np.ndarray, is_common: np.ndarray) -> np.ndarray:
    """Returns [M, 2] pixels from where each matched track was expected to where it is: the median over its joints.

    It is 0 for poses without a common joint, which boxes can match.

    Args:
        known: [M, J, 2] keypoints where they were expected.
        keypoints: [M, J, 2] keypoints where they are.
        is_common: [M, J] bool, whether both poses have the joint.
    """
    medians = masked_median(np.swapaxes(keypoints - known, 1, 2), is_common[:, None])
    return np.where(np.isfinite(medians), medians, 0.0)
