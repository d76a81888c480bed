"""Pictures and videos of a split with the predicted poses and identities drawn over them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from tfpose.data.detection_images import read_picture
from tfpose.data.records import RecordTable
from tfpose.evaluation.video_sequences import rows_by_sequence
from tfpose.picture_files import write_picture
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence, poses_from_frame
from tfpose.skeletons import Skeleton
from tfpose.video_files import VideoFileWriter
from tfpose.visualization import draw_identities, draw_poses


def write_pose_videos(
    directory: str | pathlib.Path,
    table: RecordTable,
    sequences: Sequence[PoseSequence],
    count: int,
    joint_threshold: float,
    frames_per_second: float,
) -> list[pathlib.Path]:
    """Writes <sequence>.webm for `count` videos, evenly spread over the table.

    Args:
        directory: Folder of the files; it is made if it is missing.
        table: Records.
        sequences: Tracked poses of each video of the table, with its frames in order.
        count: Number of videos; a larger number than there are writes all.
        joint_threshold: Joints with a lower score are not drawn.
        frames_per_second: Frame rate of the written videos.

    Returns:
        The paths of the files.

    Raises:
        OSError: A file cannot be written.
    """
    rows = rows_by_sequence(table)
    chosen = np.unique(np.linspace(0, len(sequences) - 1, min(count, len(sequences))).round().astype(int))
    paths = []
    for number in chosen:
        sequence = sequences[number]
        paths.append(pathlib.Path(directory) / f"{sequence.name}.webm")
        with VideoFileWriter(paths[-1], frames_per_second) as writer:
            for row, frame in zip(rows[sequence.name], sequence.frames, strict=True):
                poses = poses_from_frame(frame)
                picture = draw_poses(read_picture(table, row), poses, sequence.skeleton, joint_threshold)
                writer.write(draw_identities(picture, poses, joint_threshold))
    return paths


def write_pose_pictures(
    directory: str | pathlib.Path,
    table: RecordTable,
    poses: Sequence[Poses],
    skeleton: Skeleton,
    count: int,
    joint_threshold: float,
) -> None:
    """Draws the poses over `count` images, evenly spread over the table."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = np.unique(np.linspace(0, table.num_images - 1, min(count, table.num_images)).round().astype(int))
    for row in chosen:
        picture = draw_poses(read_picture(table, row), poses[row], skeleton, joint_threshold)
        name = pathlib.PurePosixPath(table.images["file_name"][row])
        write_picture(directory / "_".join(name.with_suffix(".jpg").parts[-2:]), picture)
