"""Reads the labels of a SLEAP file (.slp)."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.hdf5_files import Hdf5Reader, open_hdf5, text_of, whole_numbers
from data_prep.labeled_videos import LARGEST_COORDINATE, NO_TRACK, LabeledVideo
from data_prep.slp.skeleton import read_skeleton
from data_prep.slp.videos import check_files_are_distinct, find_video, format_of, video_id
from tfpose.messages import quote
from tfpose.skeletons import Skeleton

WHAT = "a SLEAP file"
# Before this format, the center of the first pixel was at (0.5, 0.5); from it on, at (0, 0) as in tfpose.
# Source: sleap/io/format/hdf5.py and sleap_io/io/slp.py of github.com/talmolab.
_FIRST_FORMAT_WITH_PIXEL_CENTERS = 1.1
_USER, _PREDICTED = 0, 1
_MOST = 1 << 53

_FRAMES = {"frame_id": False, "video": True, "frame_idx": True, "instance_id_start": True, "instance_id_end": True}
_INSTANCES = {
    **{"instance_id": False, "instance_type": True, "frame_id": False, "skeleton": True, "track": True},
    **{"from_predicted": True, "score": False, "point_id_start": True, "point_id_end": True},
}
_POINTS = {"x": True, "y": True, "visible": True}


@dataclasses.dataclass(frozen=True)
class LabelChoice:
    """What to take of a SLEAP file.

    Attributes:
        takes_predicted: Whether to take animals that SLEAP predicted and nobody corrected.
        left_right_pairs: Pairs of joint names; None takes the symmetric nodes of the file, or the names.
        sigmas: OKS constants; None takes those of the COCO joints with similar names.
    """

    takes_predicted: bool = False
    left_right_pairs: Sequence[Sequence[str]] | None = None
    sigmas: Sequence[float] | None = None


@dataclasses.dataclass(frozen=True)
class SleapLabels:
    """The labels of a SLEAP file.

    Attributes:
        path: Path of the file.
        skeleton: Skeleton of the keypoints.
        videos: Videos with labeled frames.
        notes: What was left out, one line each.
    """

    path: pathlib.Path
    skeleton: Skeleton
    videos: tuple[LabeledVideo, ...]
    notes: tuple[str, ...]


def read_labels(path: pathlib.Path, choice: LabelChoice) -> SleapLabels:
    """Reads a SLEAP file.

    Raises:
        FileNotFoundError: The file or one of its labeled videos is missing.
        ValueError: The file is no SLEAP file or not valid; the message names the dataset, the rule and the value.
    """
    with open_hdf5(path, WHAT) as reader:
        metadata = _read_metadata(reader)
        table = _read_table(reader, choice)
        if not len(table.instances["skeleton"]):
            found = (
                f"{table.num_predicted} predicted animals; --predicted takes them" if table.num_predicted else "none"
            )
            raise ValueError(f"{path}: must hold labeled animals, got {found}")
        used = np.unique(table.instances["skeleton"])
        if len(used) > 1:
            raise ValueError(f"{path}: the animals must have one skeleton, got skeletons {', '.join(map(str, used))}")
        skeleton = read_skeleton(path, metadata, int(used[0]), choice.left_right_pairs, choice.sigmas)
        keypoints = _read_keypoints(reader, table.instances, skeleton.num_joints)
        tracks = _tracks(reader, metadata, table.instances["track"])
        descriptions = _read_videos(reader, metadata, table.frames["video"])
        videos, notes = _gather(reader, descriptions, table, keypoints, tracks)
    left_out = table.num_predicted - (table.instances["instance_type"] == _PREDICTED).sum()
    if left_out:
        hint = "" if choice.takes_predicted else "; --predicted takes those that nobody corrected"
        notes += (f"{left_out} animals that SLEAP predicted were left out{hint}",)
    return SleapLabels(path, skeleton, tuple(videos), tuple(f"{path.name}: {note}" for note in notes))


@dataclasses.dataclass(frozen=True)
class _Table:
    """The chosen animals: rows of `instances`, whose frame is row `frame_of` of `frames`."""

    frames: dict[str, np.ndarray]
    instances: dict[str, np.ndarray]
    frame_of: np.ndarray
    num_predicted: int


def _read_metadata(reader: Hdf5Reader) -> dict:
    text = text_of(reader.attribute("metadata", "json"))
    if text is None:
        raise ValueError(f"{reader.path}: must be {WHAT} with 'metadata' that holds 'json', got no such text")
    metadata = _parse(reader.path, "'json' of 'metadata'", text)
    if not isinstance(metadata, dict):
        raise ValueError(f"{reader.path}: 'json' of 'metadata' must be an object, got {quote(metadata)}")
    return metadata


def _parse(path: pathlib.Path, what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {what} must be JSON, got {quote(text)} ({error})") from error


def _json_list(reader: Hdf5Reader, metadata: dict, name: str) -> list:
    """Returns a list of the metadata, which newer files keep in a dataset with one JSON text in each row."""
    if reader.find(f"{name}_json") is None:
        entries = metadata.get(name)
        if not isinstance(entries, list):
            raise ValueError(f"{reader.path}: must hold a dataset '{name}_json', got none")
        return entries
    texts = [text_of(value) for value in reader.array(f"{name}_json").reshape(-1)]
    where = f"'{name}_json'"
    if None in texts:
        raise ValueError(
            f"{reader.path}: {where} must hold texts in UTF-8, got something else in row {texts.index(None)}"
        )
    return [_parse(reader.path, f"{where} in row {row}", text or "") for row, text in enumerate(texts)]


def _read_table(reader: Hdf5Reader, choice: LabelChoice) -> _Table:
    """Reads frames and animals, and chooses the animals that are labels."""
    raw = reader.columns("instances", _INSTANCES)
    count = len(raw["skeleton"])
    limits = {
        "instance_type": (_USER, _PREDICTED + 1),
        "skeleton": (0, _MOST),
        "track": (NO_TRACK, _MOST),
        "from_predicted": (-1, max(count, 1)),
        "point_id_start": (0, _MOST),
        "point_id_end": (0, _MOST),
    }
    instances = {
        name: whole_numbers(raw[name], f"{reader.path}: 'instances': {name!r}", *limit)
        for name, limit in limits.items()
    }
    raw = reader.columns("frames", _FRAMES)
    most = {"video": _MOST, "frame_idx": _MOST, "instance_id_start": count + 1, "instance_id_end": count + 1}
    frames = {
        name: whole_numbers(raw[name], f"{reader.path}: 'frames': {name!r}", 0, high) for name, high in most.items()
    }
    starts, ends = frames["instance_id_start"], frames["instance_id_end"]
    if (ends < starts).any():
        row = int(np.argmax(ends < starts))
        raise ValueError(
            f"{reader.path}: 'frames': 'instance_id_end' must be at least 'instance_id_start', got {ends[row]} and "
            f"{starts[row]} in row {row}"
        )
    # Each position is in memory once, whatever a damaged table says.
    if int((ends - starts).sum()) > count:
        raise ValueError(f"{reader.path}: 'frames' must name each of the {count} instances once, got some twice")
    frame_of = np.repeat(np.arange(len(starts)), ends - starts)
    rows = _positions(starts, ends)
    is_predicted = instances["instance_type"][rows] == _PREDICTED
    is_taken = ~is_predicted
    if choice.takes_predicted:
        is_taken |= _uncorrected(instances, rows, frame_of)
    chosen = {name: column[rows[is_taken]] for name, column in instances.items()}
    return _Table(frames, chosen, frame_of[is_taken], int(is_predicted.sum()))


def _positions(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the positions start, start + 1, ..., end - 1 of each of several ranges, joined."""
    counts = ends - starts
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + offsets


def _uncorrected(instances: dict[str, np.ndarray], rows: np.ndarray, frame_of: np.ndarray) -> np.ndarray:
    """Returns which animals SLEAP predicted and no user corrected.

    A user corrected an animal if a user's animal of the same frame was made from it or is in the same track.
    """
    is_user = instances["instance_type"][rows] == _USER
    corrected = set(instances["from_predicted"][rows[is_user]].tolist())
    tracks = instances["track"][rows]
    labeled_tracks = set(zip(frame_of[is_user].tolist(), tracks[is_user].tolist(), strict=True))
    return np.array(
        [
            not user and row not in corrected and (track == NO_TRACK or (frame, track) not in labeled_tracks)
            for user, row, frame, track in zip(
                is_user.tolist(), rows.tolist(), frame_of.tolist(), tracks.tolist(), strict=True
            )
        ],
        bool,
    )


def _read_keypoints(reader: Hdf5Reader, instances: dict[str, np.ndarray], num_joints: int) -> np.ndarray:
    """Returns the joints of animals [P, J, 2], NaN where a joint is not labeled.

    SLEAP trains without the joints that are not visible, so they are not labeled.
    """
    keypoints = np.full((len(instances["skeleton"]), num_joints, 2), np.nan)
    for kind, name in ((_USER, "points"), (_PREDICTED, "pred_points")):
        rows = np.flatnonzero(instances["instance_type"] == kind)
        if not len(rows):
            continue
        columns = reader.columns(name, _POINTS)
        points = np.stack([columns["x"], columns["y"]], axis=-1).astype(np.float64)
        is_wrong = (np.abs(points) >= LARGEST_COORDINATE).any(axis=1)
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise ValueError(
                f"{reader.path}: {name!r} must hold pixels or NaN, got {points[row].tolist()} in row {row}"
            )
        points[columns["visible"] == 0] = np.nan
        starts, ends = instances["point_id_start"][rows], instances["point_id_end"][rows]
        is_outside = (ends - starts != num_joints) | (ends > len(points))
        if is_outside.any():
            first = int(np.argmax(is_outside))
            raise ValueError(
                f"{reader.path}: 'instances': an animal must have {num_joints} of the {len(points)} {name!r}, "
                f"got 'point_id_start' {starts[first]} and 'point_id_end' {ends[first]}"
            )
        keypoints[rows] = points[starts[:, None] + np.arange(num_joints)]
    return keypoints - 0.5 if format_of(reader) < _FIRST_FORMAT_WITH_PIXEL_CENTERS else keypoints


def _tracks(reader: Hdf5Reader, metadata: dict, tracks: np.ndarray) -> np.ndarray:
    if (tracks == NO_TRACK).all():
        return tracks
    count = len(_json_list(reader, metadata, "tracks"))
    return whole_numbers(tracks, f"{reader.path}: 'instances': 'track'", NO_TRACK, count)


def _read_videos(reader: Hdf5Reader, metadata: dict, numbers: np.ndarray) -> dict[int, tuple[Any, int]]:
    """Returns the description and the position of each video, by its number in the table of frames."""
    entries = _json_list(reader, metadata, "videos")
    ids = [video_id(video, position) for position, video in enumerate(entries)]
    if len(set(ids)) < len(ids):
        # Videos of several packages have datasets of the same name. Their places tell them apart.
        ids = list(range(len(entries)))
    found = {number: (video, position) for position, (number, video) in enumerate(zip(ids, entries, strict=True))}
    for number in np.unique(numbers).tolist():
        if number not in found:
            raise ValueError(
                f"{reader.path}: 'frames': 'video' must be one of the {len(entries)} videos "
                f"({', '.join(map(str, found))}), got {number}"
            )
    return found


def _gather(
    reader: Hdf5Reader,
    descriptions: dict[int, tuple[Any, int]],
    table: _Table,
    keypoints: np.ndarray,
    tracks: np.ndarray,
) -> tuple[list[LabeledVideo], tuple[str, ...]]:
    """Gathers the animals by video and frame; returns also notes of what was left out."""
    videos, num_kept, num_doubled = [], 0, 0
    found_videos = []
    video_of, number_of = (table.frames[name][table.frame_of] for name in ("video", "frame_idx"))
    for video, (description, position) in descriptions.items():
        animals = np.flatnonzero(video_of == video)
        if not len(animals):
            continue
        found = find_video(reader, description, position)
        found_videos.append(found)
        animals = animals[np.argsort(number_of[animals], kind="stable")]
        frames, counts = np.unique(number_of[animals], return_counts=True)
        if found.images and frames[-1] >= len(found.images):
            raise ValueError(
                f"{reader.path}: 'frames': 'frame_idx' must be below {len(found.images)}, the number of images of "
                f"video {position}, got {frames[-1]}"
            )
        pictures = [found.picture(frame) for frame in frames.tolist()]
        labeled = LabeledVideo(
            name=found.name,
            file_names=[name for name, _ in pictures],
            image_paths=[path for _, path in pictures],
            frames=frames,
            first_animal=np.concatenate([[0], np.cumsum(counts)]),
            keypoints=keypoints[animals],
            track_ids=tracks[animals],
        ).without_empty()
        labeled, count = labeled.with_distinct_tracks()
        num_doubled += count
        num_kept += len(labeled.keypoints)
        videos += [labeled] * (labeled.num_frames > 0)
    check_files_are_distinct(reader.path, found_videos)
    notes = []
    # Two rows of the table may be of one frame.
    num_frames = len(set(zip(*(table.frames[name].tolist() for name in ("video", "frame_idx")), strict=True)))
    if count := num_frames - sum(video.num_frames for video in videos):
        notes.append(f"{count} frames without labels were left out")
    if count := len(keypoints) - num_kept:
        notes.append(f"{count} animals without a labeled joint were left out")
    if num_doubled:
        notes.append(f"{num_doubled} animals have no identity, since another one of their frame is in the same track")
    if not videos:
        raise ValueError(f"{reader.path}: must hold labeled joints, got none for {len(keypoints)} animals")
    return videos, tuple(notes)
