"""Draws videos into files in the layout of PoseTrack 2018 and reads these."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from tqdm import tqdm

from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source
from data_prep.synthetic.posetrack_files import write_posetrack18
from data_prep.synthetic.scenes import SceneOptions
from data_prep.videos import source_from_files
from tfpose.posetrack import read_posetrack

# Keeps the videos of one split the same when another split grows.
_FIRST_SEEDS = {"train": 0, "val": 500_000, "test": 750_000}


def read_source(
    videos: pathlib.Path,
    num_videos: Mapping[str, int],
    num_frames: int | Mapping[str, int] = 15,
    image_size: tuple[int, int] = (270, 480),
    max_people: int = 5,
    options: SceneOptions | None = None,
    seed: int = 0,
    num_processes: int = 1,
) -> Source:
    """Draws the videos that are not there yet, and reads them all.

    Args:
        videos: folder for annotations/<split>/*.json and images/<split>/<sequence>/*.jpg.
        num_videos: by split, of 'train', 'val' and 'test'.
        num_frames: of each video; one number, or one per split.
        image_size: (height, width).
        max_people: labeled people of a video.
        options: what scenes contain.
        seed: of the first video of each split.
        num_processes: that draw at once.

    Raises:
        ValueError: if an argument is out of range.
    """
    seeds = {
        split: range(seed + _FIRST_SEEDS[split], seed + _FIRST_SEEDS[split] + count)
        for split, count in num_videos.items()
    }
    with tqdm(total=sum(num_videos.values()), unit=" videos", desc="drawing") as progress:
        files = write_posetrack18(
            videos,
            seeds,
            num_frames,
            image_size,
            max_people,
            options,
            report_progress=lambda *_: progress.update(),
            num_processes=num_processes,
        )
    return source_from_files(files, read_posetrack, videos)


class Builder(PoseDatasetBuilder):
    """Synthetic videos as records."""
