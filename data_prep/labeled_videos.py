"""Labeled frames of videos, as tools for animals write them: splits into train and val, and arrangement as records."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data_prep.annotations import SplitAnnotations, photo_columns
from tfpose import boxes as box_math
from tfpose.messages import quote

# These files have no bounding boxes. Boxes are the extent of the joints with PoseTrack's margin, and their sides are at
# least this share of the typical extent of an animal: a single joint has no extent.
_BOX_MARGIN, _LEAST_SHARE_OF_EXTENT = 0.15, 0.25
NO_TRACK = -1
# Larger coordinates are damage. The product of two such lengths still fits into float32.
LARGEST_COORDINATE = 1e15


@dataclasses.dataclass(frozen=True)
class LabeledVideo:
    """The F labeled frames of a video, with P animals in all.

    The animals of frame i are rows `first_animal[i]:first_animal[i + 1]`.

    Attributes:
        name: Name of the video, distinct among the videos of a split.
        file_names: F names of the frames, for the records.
        image_paths: F image files, or `stored_frames.StoredFrame` inside other files.
        frames: [F] int, numbers of the frames in the video, rising.
        first_animal: [F + 1] int.
        keypoints: [P, J, 2] in pixels whose centers lie at whole numbers; NaN where a joint is not labeled.
        track_ids: [P] int, identity of each animal in the video; -1 where it is not known.
    """

    name: str
    file_names: Sequence[str]
    image_paths: Sequence[os.PathLike[str]]
    frames: np.ndarray
    first_animal: np.ndarray
    keypoints: np.ndarray
    track_ids: np.ndarray

    @property
    def num_frames(self) -> int:
        """The number of labeled frames F."""
        return len(self.frames)

    def select(self, rows: np.ndarray) -> LabeledVideo:
        """Returns some of the frames, by their rising positions [N]."""
        counts = np.diff(self.first_animal)
        animals = np.isin(np.repeat(np.arange(self.num_frames), counts), rows)
        return dataclasses.replace(
            self,
            file_names=[self.file_names[row] for row in rows],
            image_paths=[self.image_paths[row] for row in rows],
            frames=self.frames[rows],
            first_animal=_starts(counts[rows]),
            keypoints=self.keypoints[animals],
            track_ids=self.track_ids[animals],
        )

    def without_empty(self) -> LabeledVideo:
        """Returns the frames in which an animal has a labeled joint, with only such animals."""
        has_joint = np.isfinite(self.keypoints).all(axis=-1).any(axis=-1)
        frame_of = np.repeat(np.arange(self.num_frames), np.diff(self.first_animal))[has_joint]
        kept = dataclasses.replace(
            self,
            first_animal=_starts(np.bincount(frame_of, minlength=self.num_frames)),
            keypoints=self.keypoints[has_joint],
            track_ids=self.track_ids[has_joint],
        )
        return kept.select(np.unique(frame_of))

    def with_distinct_tracks(self) -> tuple[LabeledVideo, int]:
        """Removes the identity of an animal whose frame has it twice; returns how many lost theirs."""
        frame_of = np.repeat(np.arange(self.num_frames), np.diff(self.first_animal))
        _, first = np.unique(np.stack([frame_of, self.track_ids]), axis=1, return_index=True)
        is_again = np.ones(len(frame_of), bool)
        is_again[first] = False
        is_again &= self.track_ids != NO_TRACK
        tracks = np.where(is_again, NO_TRACK, self.track_ids)
        return dataclasses.replace(self, track_ids=tracks), int(is_again.sum())


@dataclasses.dataclass(frozen=True)
class SplitChoice:
    """Which labeled frames become the split `val`.

    Attributes:
        val_share: Share of the labeled frames, at the end of each video; from 0 to below 1.
        val_videos: Names of videos that become `val` whole; with any, `val_share` is not used.
    """

    val_share: float = 0.1
    val_videos: tuple[str, ...] = ()


def split_videos(videos: Sequence[LabeledVideo], choice: SplitChoice) -> dict[str, list[LabeledVideo]]:
    """Distributes labeled frames to the splits `train` and `val`; there is no empty split.

    Raises:
        ValueError: A video of the choice does not exist, or nothing is left for training.
    """
    if choice.val_videos:
        names = [video.name for video in videos]
        if unknown := [name for name in choice.val_videos if name not in names]:
            raise ValueError(f"--val_videos must be videos with labels ({', '.join(names)}), got {quote(unknown[0])}")
        parts = {
            "train": [video for video in videos if video.name not in choice.val_videos],
            "val": [video for video in videos if video.name in choice.val_videos],
        }
    else:
        parts = _last_parts(videos, choice.val_share)
    if not parts["train"]:
        raise ValueError("--val_videos must leave a video for training, got all videos")
    return {name: part for name, part in parts.items() if part}


def _last_parts(videos: Sequence[LabeledVideo], share: float) -> dict[str, list[LabeledVideo]]:
    """Gives the last frames of each video to `val`; the shares add up over short videos."""
    parts: dict[str, list[LabeledVideo]] = {"train": [], "val": []}
    total, num_val = 0, 0
    for video in videos:
        total += video.num_frames
        # Rounded first, since 0.1 * 30 is above 3.
        wanted = math.ceil(round(share * total, 6)) - num_val
        # The first frame is for training, so that training never lacks a video of several frames.
        count = min(max(wanted, 0), video.num_frames - (video.num_frames > 1 or not parts["train"]))
        num_val += count
        rows = np.arange(video.num_frames)
        cut = video.num_frames - count
        parts["train"] += [video.select(rows[:cut])] * (cut > 0)
        parts["val"] += [video.select(rows[cut:])] * (count > 0)
    return parts


def describe_splits(parts: Mapping[str, Sequence[LabeledVideo]], choice: SplitChoice) -> str:
    """Returns in words how the frames were distributed."""
    count = {name: sum(video.num_frames for video in part) for name, part in parts.items()}
    if "val" not in parts:
        return f"all {count['train']} labeled frames are in train; --val_share or --val_videos choose frames for val"
    total = sum(count.values())
    if choice.val_videos:
        return f"val holds {count['val']} of {total} labeled frames, the videos {', '.join(choice.val_videos)}"
    return (
        f"val holds {count['val']} of {total} labeled frames, the last ones of each video; --val_share changes their "
        "number, --val_videos takes whole videos"
    )


def build_splits(parts: Mapping[str, Sequence[LabeledVideo]]) -> dict[str, SplitAnnotations]:
    """Arranges labeled frames as records, with bounding boxes around the joints.

    A video in which an animal has an identity is a sequence; frames of other videos are photos.

    Args:
        parts: Videos by name of the split.
    """
    least_side = _least_side(video.keypoints for videos in parts.values() for video in videos)
    splits, num_images, num_animals = {}, 0, 0
    for name, videos in parts.items():
        split = _build_split(videos, least_side, (num_images + 1, num_animals + 1))
        splits[name] = split
        num_images, num_animals = num_images + split.num_images, num_animals + int(split.first_person[-1])
    return splits


def _build_split(videos: Sequence[LabeledVideo], least_side: float, first_ids: tuple[int, int]) -> SplitAnnotations:
    keypoints = np.concatenate([video.keypoints for video in videos])
    is_labeled = np.isfinite(keypoints).all(axis=-1)
    keypoints = np.where(is_labeled[..., None], keypoints, 0.0)
    boxes = _boxes(keypoints, is_labeled, least_side).astype(np.float32)
    num_images, num_animals = sum(video.num_frames for video in videos), len(keypoints)
    sequences = [video.name if (video.track_ids != NO_TRACK).any() else "" for video in videos]
    nothing = np.zeros(num_images, np.int64)
    return SplitAnnotations(
        image_paths=[path for video in videos for path in video.image_paths],
        images=photo_columns(num_images)
        | {
            "file_name": [name for video in videos for name in video.file_names],
            "image_id": first_ids[0] + np.arange(num_images),
            "height": nothing,  # The size is read from the picture.
            "width": nothing,
            "sequence": [s for s, video in zip(sequences, videos, strict=True) for _ in range(video.num_frames)],
            "frame": np.concatenate([video.frames for video in videos]),
        },
        people={
            "keypoints": keypoints.astype(np.float32),
            "visibility": np.where(is_labeled, 2, 0),
            "box": boxes,
            "head_box": np.full((num_animals, 4), np.nan, np.float32),
            "area": box_math.areas(boxes).astype(np.float32),
            "is_crowd": np.zeros(num_animals, np.int64),
            "track_id": np.concatenate([video.track_ids for video in videos]),
            "annotation_id": first_ids[1] + np.arange(num_animals),
            "segmentation": [""] * num_animals,
        },
        first_person=_starts(np.concatenate([np.diff(video.first_animal) for video in videos])),
    )


def _least_side(keypoints: Iterable[np.ndarray]) -> float:
    """Returns the least side of a box in pixels, by the longer side of the extents of animals with several joints."""
    extents = [np.zeros(0)]
    for points in keypoints:
        is_labeled = np.isfinite(points).all(axis=-1)
        boxes = box_math.around_keypoints(np.nan_to_num(points), is_labeled)
        extents.append((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)[is_labeled.sum(axis=1) > 1])
    joined = np.concatenate(extents)
    return max(1.0, _LEAST_SHARE_OF_EXTENT * float(np.median(joined))) if len(joined) else 1.0


def _boxes(keypoints: np.ndarray, is_labeled: np.ndarray, least_side: float) -> np.ndarray:
    boxes = box_math.around_keypoints(keypoints, is_labeled, _BOX_MARGIN)
    missing = np.maximum(0, least_side - (boxes[:, 2:] - boxes[:, :2])) / 2
    return boxes + np.concatenate([-missing, missing], axis=1)


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Returns names with a number behind each one that was there before: clip, clip_2."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return found
