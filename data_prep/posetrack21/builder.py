"""Reads the layout of PoseTrack21."""

from __future__ import annotations

import pathlib

from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source
from data_prep.videos import read_video_source
from tfpose.posetrack import read_posetrack21


def read_source(source: pathlib.Path) -> Source:
    """Reads the folder that README.md describes.

    Raises:
        FileNotFoundError, ValueError: as `data_prep.videos.read_video_source`.
    """
    return read_video_source(source, read_posetrack21, ("annotations", "posetrack_data"))


class Builder(PoseDatasetBuilder):
    """PoseTrack21 as records."""

    HOMEPAGE = "https://github.com/anDoer/PoseTrack21"
