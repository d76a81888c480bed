"""PoseTrack21."""
