"""The poses of a split as its files hold them. What is written is what is scored and drawn."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from tfpose.coco_results import write_keypoint_results
from tfpose.data.records import RecordTable
from tfpose.evaluation.progress import LateProgress
from tfpose.evaluation.retracking import WRITERS, note_other_files, track_sequence
from tfpose.evaluation.video_sequences import has_posetrack_videos, poses_from_sequences, sequences_from_poses
from tfpose.inference.posetrack_joints import map_poses
from tfpose.metrics.posetrack import PREDICTIONS_FOLDER
from tfpose.poses import Poses
from tfpose.posetrack import Frame, PoseSequence
from tfpose.skeletons import POSETRACK15, Skeleton, map_joints
from tfpose.tracking.choice import PREFIX, TrackerChoice

COCO_RESULTS_FILE = "predictions.json"


@dataclasses.dataclass(frozen=True)
class WrittenPoses:
    """The poses of a split as its files hold them.

    Attributes:
        poses: Poses of each image of the table, in image pixels; a joint that is not there lies at (0, 0).
        skeleton: Skeleton of the poses.
        sequences: The same poses as videos; empty for a split of single photos.
    """

    poses: Sequence[Poses]
    skeleton: Skeleton
    sequences: Sequence[PoseSequence]

    @property
    def posetrack_sequences(self) -> list[PoseSequence]:
        """The videos with the joints that PoseTrack's files hold; none if the poses have none of these joints."""
        if not set(self.skeleton.joints) & set(POSETRACK15.joints):
            return []
        return [_with_posetrack_joints(sequence) for sequence in self.sequences]

    def write(self, directory: pathlib.Path, table: RecordTable, file_format: str) -> None:
        """Writes PoseTrack files of the videos, and COCO results of what these files do not hold.

        Args:
            directory: Folder of the results.
            table: Records of the split.
            file_format: Format of PoseTrack files, '2017' or '2018'.
        """
        folder, sequences = directory / PREDICTIONS_FOLDER, self.posetrack_sequences
        for sequence in sequences:
            WRITERS[file_format](folder / f"{sequence.name}.json", sequence)
        if folder.is_dir():
            note_other_files(folder, {f"{sequence.name}.json" for sequence in sequences})
        lost = [joint for joint in self.skeleton.joints if joint not in POSETRACK15.joints]
        is_photo = np.array([not name for name in table.images["sequence"]], bool)
        rows = np.flatnonzero(is_photo | bool(lost))
        if self.sequences and lost:
            print(
                f"note: PoseTrack's files lack {', '.join(lost)}; {COCO_RESULTS_FILE} holds all joints of the dataset",
                file=sys.stderr,
            )
        if len(rows) or not self.sequences:
            write_coco_predictions(directory / COCO_RESULTS_FILE, table, self.poses, rows)


def poses_to_write(
    table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton, tracker: TrackerChoice | None
) -> WrittenPoses:
    """Returns the poses that a network found in a split as its files will hold them, with the people of videos tracked.

    Videos have PoseTrack's joints if its files hold all joints of the dataset; all else has the dataset's joints.
    A line on stderr names the joints of the network that are left out.

    Args:
        table: Records of the split.
        poses: Poses of each image of the table.
        skeleton: Skeleton of the poses.
        tracker: Tracker of the people in videos; None gives them no identities.
    """
    joints = POSETRACK15 if has_posetrack_videos(table) else table.skeleton
    left_out = [joint for joint in skeleton.joints if joint not in joints.joints]
    if left_out:
        print(f"note: the files lack joints that the dataset does not label: {', '.join(left_out)}", file=sys.stderr)
    sequences = sequences_from_poses(table, poses, skeleton, joints)
    if tracker is not None:
        sequences = track_sequences(sequences, tracker)
    written = [map_poses(people, skeleton, joints).as_written() for people in poses]
    return WrittenPoses(poses_from_sequences(table, sequences, written), joints, sequences)


def track_sequences(sequences: Sequence[PoseSequence], tracker: TrackerChoice) -> list[PoseSequence]:
    """Gives the people of each video identities; a line on stderr says how many people the tracker removed."""
    tracked = []
    with LateProgress("tracking", "sequences") as progress:
        for sequence in sequences:
            tracked.append(track_sequence(sequence, tracker))
            progress(len(tracked), len(sequences))
    before, after = (sum(f.num_people for s in videos for f in s.frames) for videos in (sequences, tracked))
    if after < before:
        print(
            f"note: --{PREFIX}settings={tracker.name} removed {before - after} of {before} people in the videos",
            file=sys.stderr,
        )
    return tracked


def _with_posetrack_joints(sequence: PoseSequence) -> PoseSequence:
    joints, target = sequence.skeleton.joints, POSETRACK15.joints
    if joints == target:
        return sequence

    def convert(frame: Frame) -> Frame:
        return dataclasses.replace(
            frame,
            keypoints=map_joints(frame.keypoints, joints, target),
            visibility=map_joints(frame.visibility[..., None], joints, target)[..., 0],
            joint_scores=map_joints(frame.joint_scores[..., None], joints, target)[..., 0],
        )

    return dataclasses.replace(sequence, skeleton=POSETRACK15, frames=tuple(map(convert, sequence.frames)))


def write_coco_predictions(
    path: str | pathlib.Path, table: RecordTable, poses: Sequence[Poses], rows: Sequence[int] | np.ndarray | None = None
) -> None:
    """Writes the poses of the images in these rows of the table, or of all, as COCO keypoint results."""
    rows = np.arange(table.num_images) if rows is None else np.asarray(rows, np.int64)
    people = [poses[row] for row in rows.tolist()]
    columns = [
        np.concatenate([getattr(of_image, name) for of_image in people])
        for name in ("keypoints", "joint_scores", "scores")
    ]
    track_ids = np.concatenate([of_image.track_ids for of_image in people])
    image_ids = np.repeat(table.image_ids[rows], [len(of_image) for of_image in people])
    write_keypoint_results(path, image_ids, *columns, table.category_id, track_ids)
