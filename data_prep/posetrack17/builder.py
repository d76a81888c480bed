"""Reads the layout of PoseTrack 2017."""

from __future__ import annotations

import pathlib

from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source
from data_prep.videos import read_video_source
from tfpose.posetrack import read_posetrack


def read_source(source: pathlib.Path) -> Source:
    """Reads the folder that README.md describes.

    Raises:
        FileNotFoundError, ValueError: as `data_prep.videos.read_video_source`.
    """
    return read_video_source(source, read_posetrack)


class Builder(PoseDatasetBuilder):
    """PoseTrack 2017 as records."""

    HOMEPAGE = "https://posetrack.net"
