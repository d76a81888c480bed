"""Repairs the tracks of a whole video: removes short tracks, fills gaps, smooths joints.

All functions take and return the frames of one video, with identities that are distinct within each frame, and
do not change the frames they are given.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from tfpose.poses import Poses, join_poses, split_poses
from tfpose.tracking.settings import NO_SMOOTHING, SmoothingSettings
from tfpose.tracking.similarity import masked_median

# So many steps from frame to frame tell steady motion from a jump.
_FEWEST_STEPS = 3


def smooth_video(frames: Sequence[Poses], settings: SmoothingSettings = NO_SMOOTHING) -> list[Poses]:
    """Repairs the tracks, and numbers the remaining ones from 0 in the order of their appearance.

    Args:
        frames: The people of each frame, with `track_ids`.
        settings: Settings of the repairs.

    Returns:
        The repaired frames; people who fill a gap come after the others of their frame.

    Raises:
        ValueError: An identity is negative or occurs twice in a frame; the message names the frame.
    """
    frames = keep_tracks(frames, settings.min_track_length_frames, settings.min_track_score)
    if math.isfinite(settings.max_jump):
        frames = drop_jumps(frames, settings.max_jump, settings.jump_window_frames)
    if settings.max_person_gap_frames > 0 or settings.max_joint_gap_frames > 0:
        frames = fill_gaps(frames, settings.max_person_gap_frames, settings.max_joint_gap_frames)
    if settings.sigma_frames > 0:
        frames = smooth_joints(frames, settings.sigma_frames)
    return renumber_tracks(frames)


def keep_tracks(frames: Sequence[Poses], min_length_frames: int, min_score: float = -math.inf) -> list[Poses]:
    """Removes the tracks that were seen in too few frames or have too low a mean score.

    In a video of fewer frames than `min_length_frames`, tracks that are seen in every frame are long enough.
    """
    lengths: dict[int, int] = {}
    totals: dict[int, float] = {}
    min_length_frames = min(min_length_frames, len(frames))
    _check_track_ids(frames)
    for poses in frames:
        for track_id, score in zip(poses.track_ids.tolist(), poses.scores.tolist(), strict=True):
            lengths[track_id] = lengths.get(track_id, 0) + 1
            totals[track_id] = totals.get(track_id, 0.0) + score
    is_kept = {
        track_id: length >= min_length_frames and not totals[track_id] / length < min_score
        for track_id, length in lengths.items()
    }
    return [poses.select(np.array([is_kept[i] for i in poses.track_ids.tolist()], bool)) for poses in frames]


def renumber_tracks(frames: Sequence[Poses]) -> list[Poses]:
    """Numbers the tracks from 0 in the order of their first appearance."""
    numbers: dict[int, int] = {}
    renumbered = []
    for poses in frames:
        ids = [numbers.setdefault(track_id, len(numbers)) for track_id in poses.track_ids.tolist()]
        renumbered.append(dataclasses.replace(poses, track_ids=np.array(ids, np.int64)))
    return renumbered


def drop_jumps(frames: Sequence[Poses], max_jump: float, window_frames: int) -> list[Poses]:
    """Removes joints that are far from where their track has them just before and after.

    At the ends of a track and beside gaps, the median over the window lags behind steady motion. A joint that is near
    the median of the places moved along with the motion stays.

    Args:
        frames: The people of each frame, with `track_ids`.
        max_jump: Allowed distance to the median over the window, as a share of the square root of the box area.
        window_frames: Number of frames before and after each frame that make the window.
    """

    def drop(track: _Track) -> _Track:
        windows = np.stack(_shifts(track.keypoints, window_frames), axis=-1)  # [F, J, 2, W]
        is_seen = np.stack(_shifts(track.joint_scores > 0, window_frames), axis=-1)[:, :, None]
        is_seen = np.broadcast_to(is_seen, windows.shape)
        medians = masked_median(windows, is_seen)
        moved = masked_median(windows - _motion(windows, is_seen), is_seen)
        sizes = np.sqrt(np.prod(np.maximum(track.boxes[:, 2:] - track.boxes[:, :2], 0), axis=-1))
        with np.errstate(invalid="ignore"):
            distances = [np.linalg.norm(track.keypoints - places, axis=-1) for places in (medians, moved)]
            is_jump = np.minimum(*distances) > max_jump * sizes[:, None]
        return dataclasses.replace(track, joint_scores=np.where(is_jump, 0.0, track.joint_scores))

    return _change_tracks(frames, drop)


def _motion(windows: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """Returns how far steady motion moves each joint from the middle of its window: [F, J, 2, W], as the windows."""
    is_step = is_seen[..., 1:] & is_seen[..., :-1]
    # The median of fewer steps is that of a jump.
    has_enough = is_step.sum(axis=-1) >= _FEWEST_STEPS
    steps = np.where(has_enough, masked_median(np.diff(windows, axis=-1), is_step), 0.0)
    radius = windows.shape[-1] // 2
    return steps[..., None] * np.arange(-radius, radius + 1)


def fill_gaps(frames: Sequence[Poses], max_person_gap_frames: int, max_joint_gap_frames: int) -> list[Poses]:
    """Puts people and joints that are missing for a while on the straight line between the places before and after.

    Args:
        frames: The people of each frame, with `track_ids`.
        max_person_gap_frames: Longest run of frames without a person that is filled, with the joints that are missing
            no longer than that.
        max_joint_gap_frames: Longest run of frames without a joint that is filled where the person is seen.
    """

    def fill(track: _Track) -> _Track:
        keypoints, joint_scores = track.keypoints.copy(), track.joint_scores.copy()
        max_gaps = np.where(track.is_seen, max_joint_gap_frames, max_person_gap_frames)
        for joint in range(keypoints.shape[1]):
            gaps = _find_gaps(track.joint_scores[:, joint] > 0, max_gaps)
            keypoints[gaps.frames, joint] = gaps.between(track.keypoints[:, joint])
            joint_scores[gaps.frames, joint] = gaps.lower(track.joint_scores[:, joint])
        gaps = _find_gaps(track.is_seen, max_gaps)
        boxes, scores, is_seen = track.boxes.copy(), track.scores.copy(), track.is_seen.copy()
        boxes[gaps.frames], scores[gaps.frames] = gaps.between(track.boxes), gaps.lower(track.scores)
        is_seen[gaps.frames] = True
        return _Track(keypoints, joint_scores, scores, boxes, is_seen)

    return _change_tracks(frames, fill)


@dataclasses.dataclass(frozen=True)
class _Gaps:
    """M missing frames.

    Attributes:
        frames: [M] numbers of the missing frames.
        before: [M] the last frame before the gap.
        after: [M] the first frame after the gap.
    """

    frames: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def between(self, values: np.ndarray) -> np.ndarray:
        """Returns [M, N] values on the straight lines between the ends of the gaps, from the values [F, N]."""
        share = ((self.frames - self.before) / (self.after - self.before))[:, None]
        return (1 - share) * values[self.before] + share * values[self.after]

    def lower(self, values: np.ndarray) -> np.ndarray:
        """Returns [M] the lower of the values [F] at the two ends of each gap."""
        return np.minimum(values[self.before], values[self.after])


def _find_gaps(is_seen: np.ndarray, max_gaps: np.ndarray) -> _Gaps:
    """Returns the missing frames that lie in a gap of at most `max_gaps` [F] frames between seen ones."""
    frames, seen = np.flatnonzero(~is_seen), np.flatnonzero(is_seen)
    place = np.searchsorted(seen, frames)
    is_between = (place > 0) & (place < len(seen))
    frames, place = frames[is_between], place[is_between]
    before, after = seen[place - 1], seen[place]
    is_short = after - before - 1 <= max_gaps[frames]
    return _Gaps(frames[is_short], before[is_short], after[is_short])


def smooth_joints(frames: Sequence[Poses], sigma_frames: float) -> list[Poses]:
    """Smooths each joint of each track over time, by a straight line fitted around each frame.

    The fit is weighted by a Gaussian in time, cut at three sigma, and by the joints' scores (Cleveland 1979,
    "Robust Locally Weighted Regression and Smoothing Scatterplots"). So constant motion stays as it is, also at the
    ends of a track and beside gaps.

    Args:
        frames: The people of each frame, with `track_ids`.
        sigma_frames: Width of the Gaussian.
    """
    radius = math.ceil(3 * sigma_frames)

    def smooth(track: _Track) -> _Track:
        moments = np.zeros((3, *track.joint_scores.shape))
        sums = np.zeros((2, *track.keypoints.shape))
        scores, keypoints = _shifts(track.joint_scores, radius), _shifts(track.keypoints, radius)
        for position, step in enumerate(range(-radius, radius + 1)):
            weights = np.maximum(scores[position], 0.0) * math.exp(-0.5 * (step / sigma_frames) ** 2)
            moments += np.stack([weights, weights * step, weights * step**2])
            sums += np.stack(
                [weights[..., None] * keypoints[position], step * weights[..., None] * keypoints[position]]
            )
        spread = moments[0] * moments[2] - moments[1] ** 2
        # A single sighting in reach determines no line.
        is_line = spread > 1e-9 * np.square(moments[0])
        lines = (moments[2][..., None] * sums[0] - moments[1][..., None] * sums[1])[is_line] / spread[is_line][:, None]
        smoothed = track.keypoints.copy()
        smoothed[is_line] = lines
        is_joint = track.joint_scores > 0
        return dataclasses.replace(track, keypoints=np.where(is_joint[..., None], smoothed, track.keypoints))

    return _change_tracks(frames, smooth)


@dataclasses.dataclass(frozen=True)
class _Track:
    """One person in the F frames from the first to the last sighting.

    Attributes:
        keypoints: [F, J, 2] in original image pixels; any value where the score is 0.
        joint_scores: [F, J] scores of the joints.
        scores: [F] scores of the person.
        boxes: [F, 4] xyxy boxes of the person.
        is_seen: [F] bool, whether the frame has the person; the other arrays are 0 where it does not.
    """

    keypoints: np.ndarray
    joint_scores: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    is_seen: np.ndarray


def _change_tracks(frames: Sequence[Poses], change: Callable[[_Track], _Track]) -> list[Poses]:
    """Applies a function to each track and puts the people back, those who were there before in their order."""
    _check_track_ids(frames)
    if not any(map(len, frames)):
        return list(frames)
    people = vars(join_poses(frames))
    num_people = len(people["track_ids"])
    frame_of_person = np.repeat(np.arange(len(frames)), [len(poses) for poses in frames])
    order = np.argsort(people["track_ids"], kind="stable")
    _, starts = np.unique(people["track_ids"][order], return_index=True)
    parts, part_frames, part_places = [], [], []
    for rows in np.split(order, starts[1:]):
        first = frame_of_person[rows[0]]
        track = change(_gather(people, rows, frame_of_person[rows] - first))
        seen = np.flatnonzero(track.is_seen)
        places = np.full(len(track.is_seen), num_people)
        places[frame_of_person[rows] - first] = rows
        ids = np.full(len(seen), people["track_ids"][rows[0]])
        parts.append((track.keypoints[seen], track.joint_scores[seen], track.scores[seen], track.boxes[seen], ids))
        part_frames.append(first + seen)
        part_places.append(places[seen])
    changed = Poses(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    frame_numbers = np.concatenate(part_frames)
    changed = changed.select(np.lexsort((np.concatenate(part_places), frame_numbers)))
    return split_poses(changed, np.bincount(frame_numbers, minlength=len(frames)))


def _gather(people: dict[str, np.ndarray], rows: np.ndarray, frames: np.ndarray) -> _Track:
    """Returns the track whose people are in these rows, in these frames counted from its first one."""

    def spread(values: np.ndarray) -> np.ndarray:
        spread_out = np.zeros((frames[-1] + 1, *values.shape[1:]), values.dtype)
        spread_out[frames] = values[rows]
        return spread_out

    keypoints, joint_scores = spread(people["keypoints"]), spread(people["joint_scores"])
    is_seen = np.zeros(frames[-1] + 1, bool)
    is_seen[frames] = True
    return _Track(
        keypoints=np.where(joint_scores[..., None] > 0, keypoints, 0.0),
        joint_scores=joint_scores,
        scores=spread(people["scores"]),
        boxes=spread(people["boxes"]),
        is_seen=is_seen,
    )


def _shifts(values: np.ndarray, radius: int) -> list[np.ndarray]:
    """Returns the rows that lie -radius ... radius after each row, zeros where there is none."""
    padding = [(radius, radius)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, padding)
    return [padded[start : start + len(values)] for start in range(2 * radius + 1)]


def _check_track_ids(frames: Sequence[Poses]) -> None:
    for number, poses in enumerate(frames):
        ids = poses.track_ids.tolist()
        if len(set(ids)) != len(ids) or min(ids, default=0) < 0:
            raise ValueError(f"frame {number}: track_ids must be distinct and at least 0, got {ids}")
