"""Finds the videos of a file and the order of their frames, by the names of the images."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfpose.posetrack.sequences import PoseSequence


def find_videos(sequence: PoseSequence) -> list[list[int]]:
    """Returns the positions of the frames of each video in a file, in the order of the frames.

    Frames whose images are in one folder and have one `vid_id` are a video, unless this is so for no two images. For
    the order of the frames see `in_frame_order`.
    """
    names = [frame.file_name for frame in sequence.frames]
    folders: dict[tuple[str, str], list[int]] = {}
    for position, frame in enumerate(sequence.frames):
        folder = frame.file_name.replace("\\", "/").rpartition("/")[0]
        folders.setdefault((folder, frame.video), []).append(position)
    if len(folders) == len(names):
        return [list(range(len(names)))]
    return [in_frame_order(names, positions) for positions in folders.values()]


def in_frame_order(file_names: Sequence[str], positions: Sequence[int]) -> list[int]:
    """Returns the positions of the frames of a video in the order of the last number in the names of their images.

    Where names lack a number or share it, the order is that of the file.

    Args:
        file_names: Names of the images, in the order of the file.
        positions: Positions of the frames of the video, rising.
    """
    names = (re.split(r"[/\\]", file_names[position])[-1].partition(".")[0] for position in positions)
    found = [re.findall(r"\d+", name) for name in names]
    numbers = [int(digits[-1]) for digits in found if digits]
    if len(set(numbers)) < len(positions):
        return list(positions)
    return [position for _, position in sorted(zip(numbers, positions, strict=True))]
