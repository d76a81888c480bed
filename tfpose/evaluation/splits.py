"""What is done with the people that a network found in a split: tracking, files, scores."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import __version__
from tfpose.data.records import RecordTable
from tfpose.evaluation.metrics_file import write_metrics
from tfpose.evaluation.pose_videos import write_pose_videos
from tfpose.evaluation.progress import LateProgress
from tfpose.evaluation.retracking import PREDICTIONS_FOLDER, WRITERS, track_sequence
from tfpose.evaluation.scoring import ScoringSettings, describe_scoring, print_report, write_pages
from tfpose.evaluation.tracker_flags import TrackerChoice
from tfpose.inference import results
from tfpose.inference.person_scores import score_poses
from tfpose.metrics.keypoints import CorrectKeypoints
from tfpose.metrics.posetrack import evaluate_sequences
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence
from tfpose.skeletons import POSETRACK15, Skeleton


@dataclasses.dataclass(frozen=True)
class SplitPrediction:
    """What a system found in a split.

    Attributes:
        poses: per image of the table, in image pixels.
        skeleton: of the poses.
        boxes: where the people's boxes come from, in words.
        weights: of the network.
        thresholds: and other settings of inference, for metrics.json.
        joint_threshold: joints with a lower score are not drawn.
        correct_keypoints: 'pck' and 'pckh', where they can be told.
    """

    poses: Sequence[Poses]
    skeleton: Skeleton
    boxes: str
    weights: str
    thresholds: Mapping[str, Any]
    joint_threshold: float
    correct_keypoints: Mapping[str, CorrectKeypoints] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SplitOutput:
    """Where results go, and how.

    Attributes:
        directory: for all of them.
        file_format: '2017' or '2018', of PoseTrack files.
        infers_head_joints: guess the head joints that a skeleton like COCO's lacks, for videos.
        num_pictures: how many images to draw the poses over.
        num_videos: how many videos to draw the poses and identities over.
        video_rate: frames per second of these.
    """

    directory: pathlib.Path
    file_format: str = "2018"
    infers_head_joints: bool = False
    num_pictures: int = 0
    num_videos: int = 0
    video_rate: float = 10.0


def evaluate_split(
    table: RecordTable,
    split: str,
    prediction: SplitPrediction,
    output: SplitOutput,
    settings: ScoringSettings,
    tracker: TrackerChoice | None,
) -> pathlib.Path:
    """Scores the people found in a split by COCO's rules, those of videos by PoseTrack's too, and writes everything.

    Args:
        table: the records.
        split: its name.
        prediction: what was found.
        output: what to write.
        settings: PoseTrack's figures to compute and to show.
        tracker: None leaves out identities, and with them all figures but AP.

    Returns:
        The path of metrics.json.
    """
    metrics: dict[str, Any] = {"coco": score_poses(table, prediction.poses, prediction.skeleton)}
    for name, count in prediction.correct_keypoints.items():
        metrics[name] = results.describe_correct_keypoints(count, prediction.skeleton)
    metrics["provenance"] = _describe(table, split, prediction)
    if output.infers_head_joints and any(table.images["sequence"]):
        poses = [results.infer_head_joints(people, prediction.skeleton) for people in prediction.poses]
        prediction = dataclasses.replace(prediction, poses=poses, skeleton=POSETRACK15)
    sequences = results.sequences_from_poses(table, prediction.poses, prediction.skeleton)
    if sequences:
        if tracker is not None:
            sequences = track_sequences(sequences, tracker)
            metrics["provenance"]["tracker"] = tracker.to_dict()
        metrics |= _evaluate_videos(table, sequences, output, settings, tracker is not None, metrics["provenance"])
        if output.num_videos:
            _draw_videos(table, sequences, prediction.joint_threshold, output)
    else:
        results.write_coco_predictions(output.directory / "predictions.json", table, prediction.poses)
    if output.num_pictures:
        _draw(table, prediction, output)
    path = write_metrics(output.directory, metrics)
    print(results.format_metrics(metrics))
    print(f"written: {path}")
    return path


def _draw(table: RecordTable, prediction: SplitPrediction, output: SplitOutput) -> None:
    poses, skeleton, threshold = prediction.poses, prediction.skeleton, prediction.joint_threshold
    results.write_pictures(output.directory / "pictures", table, poses, skeleton, output.num_pictures, threshold)


def _draw_videos(
    table: RecordTable, sequences: Sequence[PoseSequence], joint_threshold: float, output: SplitOutput
) -> None:
    folder, count = output.directory / "videos", output.num_videos
    write_pose_videos(folder, table, sequences, count, joint_threshold, output.video_rate)


def _evaluate_videos(
    table: RecordTable,
    sequences: Sequence[PoseSequence],
    output: SplitOutput,
    settings: ScoringSettings,
    is_tracked: bool,
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """Writes and scores videos; returns the blocks of metrics.json, and adds to the provenance."""
    for sequence in sequences:
        WRITERS[output.file_format](output.directory / PREDICTIONS_FOLDER / f"{sequence.name}.json", sequence)
    if not is_tracked:
        # AP does not look at identities, but evaluators want some.
        sequences = [_with_stand_in_ids(sequence) for sequence in sequences]
        settings = dataclasses.replace(settings, options=dataclasses.replace(settings.options, metrics=("ap",)))
    try:
        truth, needs_sequences = results.ground_truth_sequences(table), settings.per_sequence or settings.has_page
        report = evaluate_sequences(truth, sequences, settings.options, needs_sequences)
    except ValueError as error:
        print(f"note: PoseTrack's figures are left out: {error}")
        return {}
    shown = report if settings.per_sequence else dataclasses.replace(report, sequences={})
    print_report(shown, settings.table_formats)
    provenance["posetrack"] = describe_scoring(report, settings.options)
    write_pages(output.directory, [report], [output.directory], provenance, settings.has_page)
    return shown.to_dict()


def _describe(table: RecordTable, split: str, prediction: SplitPrediction) -> dict[str, Any]:
    """Whose boxes, which labels and thresholds the scores are of."""
    return {
        "boxes": prediction.boxes,
        "labels": f"{table.shards[0].parent} split {split}",
        "sequences": len({name for name in table.images["sequence"] if name}),
        "frames": table.num_images,
        "thresholds": dict(prediction.thresholds),
        "weights": prediction.weights,
        "version": __version__,
    }


def track_sequences(sequences: Sequence[PoseSequence], tracker: TrackerChoice) -> list[PoseSequence]:
    """Gives the people of each video identities."""
    tracked = []
    with LateProgress("tracking", "sequences") as progress:
        for sequence in sequences:
            tracked.append(track_sequence(sequence, tracker))
            progress(len(tracked), len(sequences))
    return tracked


def _with_stand_in_ids(sequence: PoseSequence) -> PoseSequence:
    frames = (dataclasses.replace(frame, track_ids=np.arange(frame.num_people)) for frame in sequence.frames)
    return dataclasses.replace(sequence, frames=tuple(frames))
