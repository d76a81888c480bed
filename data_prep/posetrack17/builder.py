"""PoseTrack 2017."""

from data_prep.shards import PoseDatasetBuilder


class Builder(PoseDatasetBuilder):
    """PoseTrack 2017 as records."""

    HOMEPAGE = "https://posetrack.net"
