"""The parts of a report that belong to a split of records: its pictures and the training run of the network."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.data.detection_images import read_picture
from tfpose.data.records import RecordTable
from tfpose.evaluation.report_pictures import Candidate, DrawnPeople, write_gallery
from tfpose.evaluation.report_videos import LOWEST_SCORE
from tfpose.evaluation.video_sequences import rows_by_sequence
from tfpose.oks import object_keypoint_similarity
from tfpose.poses import Poses
from tfpose.report.evaluation_file import Evaluation
from tfpose.report.training import has_training_tables, read_training_tables
from tfpose.skeletons import Skeleton, map_joints

SCORE_NAME = (
    "The score of a picture is the mean over its annotated people: for each of them the similarity (OKS) of the most "
    "similar predicted person."
)


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """The training run that the network of an evaluation comes from.

    Attributes:
        workdir: Work folder of the run.
        config: Path of the config file.
        overrides: Values of the config that were set by flag, by name.
    """

    workdir: pathlib.Path
    config: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Returns entries of the block `provenance` of metrics.json."""
        changes = {name: str(value) for name, value in self.overrides.items()}
        return {"config": self.config, "config_overrides": changes, "workdir": str(self.workdir)}


def add_training(evaluation: Evaluation, run: TrainingRun | None) -> Evaluation:
    """Returns the evaluation with the curves of the run, if the run wrote any."""
    if run is None or not has_training_tables(run.workdir):
        return evaluation
    return dataclasses.replace(evaluation, training=read_training_tables(run.workdir))


def read_frame(table: RecordTable, rows: Mapping[str, Sequence[int]], video: int, frame: int) -> np.ndarray:
    """Reads a frame of a video of a table, by their positions in `rows_by_sequence`."""
    return read_picture(table, list(rows.values())[video][frame])


def picture_reader(table: RecordTable) -> Callable[[int, int], np.ndarray]:
    """Returns `read_frame` of a table as a function of the positions of the video and of the frame."""
    return functools.partial(read_frame, table, rows_by_sequence(table))


def add_photos(
    evaluation: Evaluation,
    table: RecordTable,
    poses: Sequence[Poses],
    skeleton: Skeleton,
    joint_threshold: float,
) -> Evaluation:
    """Returns the evaluation with a gallery of single photos; writes the gallery into the evaluation's folder.

    Args:
        evaluation: Evaluation with its metrics.
        table: Records.
        poses: Poses found in each image.
        skeleton: Skeleton of the poses.
        joint_threshold: Joints with a lower score are drawn thin.
    """
    candidates = list(_photo_candidates(table, poses, skeleton, joint_threshold))
    gallery = write_gallery(evaluation.directory, candidates)
    return dataclasses.replace(evaluation, gallery=gallery, score_name=SCORE_NAME)


def _photo_candidates(
    table: RecordTable, poses: Sequence[Poses], skeleton: Skeleton, joint_threshold: float
) -> Iterator[Candidate]:
    people, joints = table.people, table.skeleton.joints
    true = map_joints(people["keypoints"], joints, skeleton.joints)
    is_labeled = map_joints(people["visibility"][..., None], joints, skeleton.joints)[..., 0] > 0
    is_wanted = is_labeled.any(axis=1) & (people["is_crowd"] == 0)
    for row in range(table.num_images):
        start, stop = table.first_person[row], table.first_person[row + 1]
        wanted = start + np.flatnonzero(is_wanted[start:stop])
        if len(wanted):
            score = _likeness(true[wanted], is_labeled[wanted], people["area"][wanted], poses[row], skeleton)
            yield Candidate(
                group=table.images["file_name"][row],
                name=table.images["file_name"][row],
                score=100 * score,
                weight=len(wanted),
                details=f"{len(wanted)} annotated, {len(poses[row])} predicted people",
                read=functools.partial(_read_photo, table, row, poses[row], skeleton, joint_threshold),
            )


def _likeness(true: np.ndarray, is_labeled: np.ndarray, areas: np.ndarray, poses: Poses, skeleton: Skeleton) -> float:
    """Returns the mean over the annotated people [P, J, 2] of their best OKS, in [0, 1]."""
    if not len(poses):
        return 0.0
    best = []
    for keypoints, labeled, area in zip(true, is_labeled, areas, strict=True):
        own, others = np.array([area]), np.full(len(poses), area)
        sigmas = skeleton.sigmas
        likeness = object_keypoint_similarity(keypoints[None], poses.keypoints, own, others, sigmas, labeled)
        best.append(likeness.max())
    return float(np.mean(best))


def _read_photo(
    table: RecordTable, row: int, poses: Poses, skeleton: Skeleton, joint_threshold: float
) -> tuple[np.ndarray, DrawnPeople, DrawnPeople]:
    rows = slice(table.first_person[row], table.first_person[row + 1])
    people = table.people
    visibility = people["visibility"][rows]
    annotated = Poses(
        keypoints=people["keypoints"][rows].astype(np.float64),
        joint_scores=(visibility > 0).astype(np.float64),
        scores=np.ones(len(visibility)),
        boxes=people["box"][rows].astype(np.float64),
        track_ids=np.full(len(visibility), -1),
    )
    truth = DrawnPeople(annotated, table.skeleton, LOWEST_SCORE)
    return read_picture(table, row), truth, DrawnPeople(poses, skeleton, joint_threshold)
