"""PoseTrack21."""

from data_prep.shards import PoseDatasetBuilder


class Builder(PoseDatasetBuilder):
    """PoseTrack21 as records."""

    HOMEPAGE = "https://github.com/anDoer/PoseTrack21"
