"""PoseTrack 2018."""
