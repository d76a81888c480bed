"""PoseTrack 2017."""
