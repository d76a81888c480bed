"""Draws videos, writes them in the layout of PoseTrack 2018 and reads them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from data_prep.posetrack import source_from_files
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source
from data_prep.synthetic.posetrack_files import VideoSettings, write_posetrack18
from tfpose.messages import count_of

# Far apart, so that the videos of a split stay the same when another split grows.
_FIRST_SEEDS = {"train": 0, "val": 500_000, "test": 750_000}


def read_source(
    videos: pathlib.Path,
    num_videos: Mapping[str, int],
    num_frames: int | Mapping[str, int] = 15,
    settings: VideoSettings | None = None,
    seed: int = 0,
    num_processes: int = 1,
    replaces: bool = True,
) -> Source:
    """Draws the videos that are not there yet, and reads all of them.

    Args:
        videos: Folder for annotations/<split>/*.json and images/<split>/<sequence>/*.jpg.
        num_videos: Number of videos of each of the splits 'train', 'val' and 'test'.
        num_frames: Number of frames in a video; one number, or one per split.
        settings: Settings that all videos share; None takes the defaults.
        seed: Seed of the first training video; those of the other splits are far from it.
        num_processes: Number of processes that draw in parallel.
        replaces: Whether videos that were drawn with other arguments are drawn anew; otherwise they are an error.

    Raises:
        ValueError: An argument is out of range, or a video must not be replaced.
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
            settings,
            report_progress=lambda *_: progress.update(),
            num_processes=num_processes,
            replaces=replaces,
        )
    source = source_from_files(files, videos)
    return dataclasses.replace(source, notes=(*source.notes, *_note_others(files)))


def _note_others(files: Sequence[pathlib.Path]) -> tuple[str, ...]:
    """Returns a note about annotation files in the same folders that an earlier run drew."""
    others = sorted({path for folder in {file.parent for file in files} for path in folder.glob("*.json")} - {*files})
    if not others:
        return ()
    count = count_of(len(others), "file")
    return (f"{others[0].parent.parent}: holds {count} of an earlier run, such as {others[0].name}",)


class Builder(PoseDatasetBuilder):
    """Synthetic videos as records."""
