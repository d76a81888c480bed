"""Annotation and prediction files of PoseTrack 2017, 2018 and PoseTrack21. NumPy only.

- 2017: `annolist`, as the MATLAB structures of MPII became JSON: every value in a list, joints by number.
- 2018: COCO-like with 17 joint names (the ears are never annotated), tracks, head boxes and ignore regions.
- PoseTrack21: the 2018 layout in one fixed order of joints; predictions need no `categories`.

One file is one sequence. The evaluators accept more than these formats define; the descriptions of the fields say what
exactly. References: Andriluka et al., "PoseTrack: A Benchmark for Human Pose Estimation and Tracking", CVPR 2018;
Doering et al., "PoseTrack21: A Dataset for Person Search, Multi-Object Tracking and Multi-Person Pose Tracking",
CVPR 2022; the evaluators leonid-pishchulin/poseval and anDoer/PoseTrack21.
"""

from tfpose.posetrack.files import read_posetrack, read_posetrack21, write_posetrack17, write_posetrack18
from tfpose.posetrack.format_2018 import image_id_of
from tfpose.posetrack.sequences import (
    JOINTS_BY_NUMBER,
    NO_IMAGE_ID,
    NO_SCORE,
    NO_TRACK_ID,
    POSETRACK_BOX_MARGIN,
    Frame,
    PoseSequence,
    SurplusPoints,
    build_frame,
    frame_from_poses,
    poses_from_frame,
)

__all__ = [
    "JOINTS_BY_NUMBER",
    "NO_IMAGE_ID",
    "NO_SCORE",
    "NO_TRACK_ID",
    "POSETRACK_BOX_MARGIN",
    "Frame",
    "PoseSequence",
    "SurplusPoints",
    "build_frame",
    "frame_from_poses",
    "image_id_of",
    "poses_from_frame",
    "read_posetrack",
    "read_posetrack21",
    "write_posetrack17",
    "write_posetrack18",
]
