"""Selects the frames, people and points of a pair of PoseTrack files that the official evaluators use. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfpose.messages import quote
from tfpose.metrics import ignore_regions
from tfpose.metrics.matching import People, head_sizes
from tfpose.posetrack.columns import PersonColumns
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_TRACK_ID


@dataclasses.dataclass(frozen=True)
class SelectedPeople:
    """The evaluated frames and people of one sequence.

    Attributes:
        name: Name of the sequence.
        num_frames: Number of evaluated frames; the frames of the people count from 0.
        true: The people of the ground truth.
        predicted: The predicted people.
    """

    name: str
    num_frames: int
    true: People
    predicted: People


def select_people(true: PersonColumns, predicted: PersonColumns) -> SelectedPeople:
    """Selects the people and points that poseval evaluates: in frames with true people, outside of ignored regions.

    Raises:
        ValueError: The numbers of frames differ, a region has one or two corners, or people in a frame with people on
            both sides lack a track id or (true people) a head box.
    """
    _check_num_frames(true, predicted)
    is_evaluated = np.bincount(true.frames, minlength=true.num_frames) > 0
    selected = _select(true, predicted, is_evaluated)
    _check_comparable(true, predicted, selected)
    return _build(true, predicted, selected, is_evaluated)


def select_people21(
    true: PersonColumns, predicted: PersonColumns, accepts_empty_frames: bool = False
) -> SelectedPeople:
    """Selects the people and points that PoseTrack21's evaluator evaluates: in labeled frames, outside ignored regions.

    Args:
        true: The ground truth.
        predicted: The predictions.
        accepts_empty_frames: Whether to accept labeled frames without true people, at which the official evaluator
            stops.

    Raises:
        ValueError: The frames differ, a labeled frame has no true people, or as in `select_people`.
    """
    _check_num_frames(true, predicted)
    differs = np.flatnonzero(true.image_ids != predicted.image_ids)
    if len(differs):
        frame = int(differs[0])
        raise ValueError(
            f"{predicted.path}: frame {frame}: image 'id' must be that of the ground truth, "
            f"{true.image_ids[frame]}, got {predicted.image_ids[frame]}"
        )
    selected = _select(true, predicted, true.is_labeled)
    _check_comparable(true, predicted, selected)
    has_people = np.zeros(true.num_frames, bool)
    has_people[true.frames[selected[0].people]] = True
    empty = np.flatnonzero(true.is_labeled & ~has_people)
    if len(empty) and not accepts_empty_frames:
        frame = int(empty[0])
        raise ValueError(
            f"{true.path}: frame {frame} ({true.frame_names[frame]!r}): a labeled frame must have people outside of "
            "ignored regions, got none; PoseTrack21's evaluator stops there"
        )
    return _build(true, predicted, selected, true.is_labeled)


def pairing_notes(true: PersonColumns, predicted: PersonColumns) -> list[str]:
    """Returns lines on what was left out of the files, and on frames that are paired by position but named otherwise.

    Official evaluators do not look at the names of images. Only the name and the folder of an image are compared, since
    folders above them differ between machines.
    """
    notes = [f"{columns.path}: {note}" for columns in (true, predicted) for note in columns.notes]
    names = [[_image_name(name) for name in columns.frame_names] for columns in (true, predicted)]
    differing = [index for index, pair in enumerate(zip(*names, strict=False)) if all(pair) and pair[0] != pair[1]]
    if differing:
        first = differing[0]
        same = "; the same images are in another order" if sorted(names[0]) == sorted(names[1]) else ""
        notes.append(
            f"{predicted.path}: frames are paired by position as poseval does, and {len(differing)} of {len(names[0])} "
            f"have another image than in {true.path.name}: frame {first} is {quote(predicted.frame_names[first])}, "
            f"in the ground truth {quote(true.frame_names[first])}{same}"
        )
    return notes


def _image_name(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")[-2:]) if name else ()


def _check_num_frames(true: PersonColumns, predicted: PersonColumns) -> None:
    if true.num_frames != predicted.num_frames:
        raise ValueError(
            f"{predicted.path}: must have {true.num_frames} frames as the ground truth, got {predicted.num_frames}"
        )


@dataclasses.dataclass(frozen=True)
class _Selected:
    """Positions of the selected people and points of one file."""

    people: np.ndarray
    points: np.ndarray


def _select(true: PersonColumns, predicted: PersonColumns, is_evaluated: np.ndarray) -> tuple[_Selected, _Selected]:
    regions = [(frame, polygon) for frame, polygon in true.regions if is_evaluated[frame]]
    for frame, polygon in regions:
        if 0 < len(polygon) < 3:
            raise ValueError(
                f"{true.path}: frame {frame} ({true.frame_names[frame]!r}): ignore regions must have at least 3 "
                f"corners, got {len(polygon)}"
            )
    return _select_of(true, is_evaluated, regions), _select_of(predicted, is_evaluated, regions)


def _select_of(
    columns: PersonColumns, is_evaluated: np.ndarray, regions: Sequence[tuple[int, np.ndarray]]
) -> _Selected:
    is_kept = is_evaluated[columns.frames] & columns.has_points
    is_point_kept = is_kept[columns.point_people]
    if regions:
        region_frames = np.array([frame for frame, _ in regions])
        point_frames = columns.frames[columns.point_people]
        polygons = [polygon for _, polygon in regions]
        is_point_kept &= ~ignore_regions.points_inside(columns.points, point_frames, polygons, region_frames)
        has_points = np.bincount(columns.point_people[is_point_kept], minlength=columns.num_people) > 0
        is_kept &= has_points | ~np.isin(columns.frames, region_frames)
    return _Selected(np.flatnonzero(is_kept), np.flatnonzero(is_point_kept))


def _check_comparable(true: PersonColumns, predicted: PersonColumns, selected: tuple[_Selected, _Selected]) -> None:
    """Raises an error where people lack track ids or head boxes in frames with people on both sides."""
    frames = true.frames[selected[0].people], predicted.frames[selected[1].people]
    for columns, kept, own, others in zip((true, predicted), selected, frames, frames[::-1], strict=True):
        people = kept.people[np.isin(own, others)]
        lacks_id = people[columns.track_ids[people] == NO_TRACK_ID]
        if len(lacks_id):
            raise ValueError(
                f"{columns.where(int(lacks_id[0]))}: 'track_id' must be a whole number, got nothing; tfpose track "
                "gives people identities, and --metrics=ap needs none"
            )
        if columns is true:
            lacks_head = people[np.isnan(columns.head_boxes[people]).any(axis=1)]
            if len(lacks_head):
                raise ValueError(
                    f"{columns.where(int(lacks_head[0]))}: must have a head box ('bbox_head', or 'x1' to 'y2' in "
                    "2017 files), got none; PoseTrack's metrics measure distances in head sizes"
                )


def _build(
    true: PersonColumns, predicted: PersonColumns, selected: tuple[_Selected, _Selected], is_evaluated: np.ndarray
) -> SelectedPeople:
    number = np.cumsum(is_evaluated) - 1
    return SelectedPeople(
        name=true.name,
        num_frames=int(is_evaluated.sum()),
        true=_people(true, selected[0], number),
        predicted=_people(predicted, selected[1], number),
    )


def _people(columns: PersonColumns, selected: _Selected, frame_numbers: np.ndarray) -> People:
    keypoints = np.full((columns.num_people, len(JOINTS_BY_NUMBER), 2), np.nan)
    scores = np.full((columns.num_people, len(JOINTS_BY_NUMBER)), np.nan)
    points = selected.points[columns.point_joints[selected.points] >= 0]
    # Written in reverse order, so that of repeated joints the first stays.
    points = points[::-1]
    place = columns.point_people[points] * len(JOINTS_BY_NUMBER) + columns.point_joints[points]
    keypoints.reshape(-1, 2)[place], scores.reshape(-1)[place] = columns.points[points], columns.point_scores[points]
    people = selected.people
    return People(
        frames=frame_numbers[columns.frames[people]],
        track_ids=columns.track_ids[people],
        keypoints=keypoints[people],
        scores=scores[people],
        head_sizes=head_sizes(columns.head_boxes[people]),
    )
