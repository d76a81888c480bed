"""PoseTrack 2018."""

from data_prep.shards import PoseDatasetBuilder


class Builder(PoseDatasetBuilder):
    """PoseTrack 2018 as records."""

    HOMEPAGE = "https://posetrack.net"
