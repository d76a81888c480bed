"""Tracks, scores and writes the people that a network found in a split."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose import __version__
from tfpose.data.records import RecordTable
from tfpose.evaluation.metrics_file import (
    CORRECT_KEYPOINTS_TITLES,
    describe_correct_keypoints,
    format_metrics,
    write_metrics,
)
from tfpose.evaluation.person_scores import count_correct_keypoints, score_poses
from tfpose.evaluation.pose_drawings import write_pose_pictures, write_pose_videos
from tfpose.evaluation.report_files import begin_evaluation, try_add_videos, write_report
from tfpose.evaluation.report_splits import TrainingRun, add_photos, add_training, picture_reader
from tfpose.evaluation.report_videos import ScoredVideos
from tfpose.evaluation.scoring import ScoringSettings, describe_scoring, print_report
from tfpose.evaluation.teacher_agreement import as_agreement, format_agreement
from tfpose.evaluation.video_sequences import ground_truth_sequences
from tfpose.evaluation.written_poses import poses_to_write
from tfpose.inference.posetrack_joints import infer_head_joints
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence
from tfpose.report.evaluation_file import Evaluation
from tfpose.skeletons import POSETRACK15, Skeleton
from tfpose.tracking.choice import TrackerChoice


@dataclasses.dataclass(frozen=True)
class SplitPrediction:
    """The people that a system found in a split.

    Attributes:
        poses: Poses of each image of the table, in image pixels.
        skeleton: Skeleton of the poses.
        boxes: Where the people's boxes come from, in words.
        weights: File of the network's weights.
        thresholds: Thresholds and other settings of inference, for metrics.json.
        joint_threshold: Joints with a lower score are not drawn.
        has_annotated_boxes: Whether the poses were found in the annotated boxes, so that their PCK is known.
    """

    poses: Sequence[Poses]
    skeleton: Skeleton
    boxes: str
    weights: str
    thresholds: Mapping[str, Any]
    joint_threshold: float
    has_annotated_boxes: bool = False


@dataclasses.dataclass(frozen=True)
class SplitOutput:
    """The results to write, and the folder for them.

    Attributes:
        directory: Folder of all results.
        file_format: Format of PoseTrack files, '2017' or '2018'.
        infers_head_joints: Guess the head joints of PoseTrack that a skeleton like COCO's lacks, for videos.
        num_pictures: Number of images to draw the poses over.
        num_videos: Number of videos to draw the poses and identities over.
        video_rate: Frame rate of the written videos.
    """

    directory: pathlib.Path
    file_format: str = "2018"
    infers_head_joints: bool = False
    num_pictures: int = 0
    num_videos: int = 0
    video_rate: float = 10.0


@dataclasses.dataclass(frozen=True)
class _ScoredSequences:
    """Videos and their PoseTrack metrics."""

    report: PoseTrackReport
    truth: Sequence[PoseSequence]
    predicted: Sequence[PoseSequence]
    options: PoseTrackOptions


def with_dtype(prediction: SplitPrediction, dtype: str) -> SplitPrediction:
    """Returns a prediction whose settings in metrics.json name the number format of inference, unless float32."""
    if dtype == "float32":
        return prediction
    return dataclasses.replace(prediction, thresholds={**prediction.thresholds, "inference_dtype": dtype})


def evaluate_split(
    table: RecordTable,
    split: str,
    prediction: SplitPrediction,
    output: SplitOutput,
    settings: ScoringSettings,
    tracker: TrackerChoice | None,
    run: TrainingRun | None = None,
) -> pathlib.Path:
    """Scores the people found in a split and writes poses, metrics, drawings and the report.

    Single photos are scored by COCO's rules, videos by PoseTrack's rules too. All metrics are those of the poses as the
    files hold them: after the thresholds, the suppression of near copies and the tracker.

    Args:
        table: Records of the split.
        split: Name of the split.
        prediction: People that a system found.
        output: Which results are written.
        settings: PoseTrack metrics to compute and to show.
        tracker: Tracker of videos; without one people get no identities, so of PoseTrack's metrics only AP is computed.
        run: Training run that the network comes from, if it is known.

    Returns:
        The path of metrics.json.
    """
    if output.infers_head_joints and any(table.images["sequence"]):
        poses = [infer_head_joints(people, prediction.skeleton) for people in prediction.poses]
        prediction = dataclasses.replace(prediction, poses=poses, skeleton=POSETRACK15)
    written_poses = poses_to_write(table, prediction.poses, prediction.skeleton, tracker)
    written_poses.write(output.directory, table, output.file_format)
    prediction = dataclasses.replace(prediction, poses=written_poses.poses, skeleton=written_poses.skeleton)
    metrics = _score_people(table, prediction)
    metrics["provenance"] = _describe(table, split, prediction) | ({} if run is None else run.describe())
    scored = None
    if written_poses.sequences and not table.teacher:
        if tracker is not None:
            metrics["provenance"]["tracker"] = tracker.to_dict()
        scored = _evaluate_videos(table, written_poses.posetrack_sequences, settings, tracker is not None)
        if scored is not None:
            metrics |= _shown_report(scored.report, settings).to_dict()
            metrics["provenance"]["posetrack"] = describe_scoring(scored.report, scored.options)
    if written_poses.sequences and output.num_videos:
        _draw_videos(table, written_poses.sequences, prediction.joint_threshold, output)
    if table.teacher:
        metrics = as_agreement(metrics, table.teacher)
    if output.num_pictures:
        _draw(table, prediction, output)
    written = [write_metrics(output.directory, metrics, settings.has_page)]
    print(format_agreement(metrics) if table.teacher else format_metrics(metrics))
    if settings.has_page:
        evaluation = _begin_report(scored, output, metrics, run)
        written += write_report(_add_pictures(evaluation, table, prediction, scored, output, tracker))
    print(f"written: {', '.join(map(str, written))}")
    return written[0]


def _begin_report(
    scored: _ScoredSequences | None, output: SplitOutput, metrics: Mapping[str, Any], run: TrainingRun | None
) -> Evaluation:
    """Starts the report: its metrics and the training behind them."""
    if scored is None:
        evaluation = begin_evaluation(output.directory, None, metrics["provenance"])
    else:
        rule = scored.options.tie_rule
        evaluation = begin_evaluation(output.directory, scored.report, metrics["provenance"], rule)
    measures = {name: metrics[name] for name in CORRECT_KEYPOINTS_TITLES if name in metrics}
    evaluation = dataclasses.replace(evaluation, coco=metrics["coco"], correct_keypoints=measures)
    return add_training(evaluation, run)


def _add_pictures(
    evaluation: Evaluation,
    table: RecordTable,
    prediction: SplitPrediction,
    scored: _ScoredSequences | None,
    output: SplitOutput,
    tracker: TrackerChoice | None,
) -> Evaluation:
    """Returns the report with its pictures and video."""
    threshold = prediction.joint_threshold
    if scored is None:
        return add_photos(evaluation, table, prediction.poses, prediction.skeleton, threshold)
    pictures, is_tracked = picture_reader(table), tracker is not None
    videos = ScoredVideos(scored.truth, scored.predicted, pictures, is_tracked, threshold, output.video_rate)
    return try_add_videos(evaluation, videos)


def _draw(table: RecordTable, prediction: SplitPrediction, output: SplitOutput) -> None:
    poses, skeleton, threshold = prediction.poses, prediction.skeleton, prediction.joint_threshold
    write_pose_pictures(output.directory / "pictures", table, poses, skeleton, output.num_pictures, threshold)


def _draw_videos(
    table: RecordTable, sequences: Sequence[PoseSequence], joint_threshold: float, output: SplitOutput
) -> None:
    folder, count = output.directory / "videos", output.num_videos
    write_pose_videos(folder, table, sequences, count, joint_threshold, output.video_rate)


def _score_people(table: RecordTable, prediction: SplitPrediction) -> dict[str, Any]:
    """Returns the metrics by COCO's rules and, in annotated boxes, the shares of correct keypoints."""
    metrics: dict[str, Any] = {"coco": score_poses(table, prediction.poses, prediction.skeleton)}
    if prediction.has_annotated_boxes:
        counts = count_correct_keypoints(table, prediction.poses, prediction.skeleton)
        metrics |= {name: describe_correct_keypoints(count, prediction.skeleton) for name, count in counts.items()}
    return metrics


def _evaluate_videos(
    table: RecordTable, sequences: Sequence[PoseSequence], settings: ScoringSettings, is_tracked: bool
) -> _ScoredSequences | None:
    """Scores and prints videos; returns None, with a note, if they or their annotations do not suit the metrics."""
    if not sequences:
        print("note: PoseTrack's metrics are left out: the poses have none of PoseTrack's joints", file=sys.stderr)
        return None
    options = settings.options
    if not is_tracked:
        # AP does not depend on identities, but the evaluators require some.
        sequences = [_with_stand_in_ids(sequence) for sequence in sequences]
        options = dataclasses.replace(options, metrics=("ap",))
    try:
        truth, needs_sequences = ground_truth_sequences(table), settings.per_sequence or settings.has_page
        report = evaluate_sequences(truth, sequences, options, needs_sequences)
    except ValueError as error:
        print(f"note: PoseTrack's metrics are left out: {error}", file=sys.stderr)
        return None
    print_report(_shown_report(report, settings), settings.table_formats)
    return _ScoredSequences(report, truth, sequences, options)


def _shown_report(report: PoseTrackReport, settings: ScoringSettings) -> PoseTrackReport:
    return report if settings.per_sequence else dataclasses.replace(report, sequences={})


def _describe(table: RecordTable, split: str, prediction: SplitPrediction) -> dict[str, Any]:
    """Returns the provenance of the metrics: boxes, annotations, thresholds and weights."""
    return {
        "boxes": prediction.boxes,
        "labels": f"{table.shards[0].parent} split {split}",
        "sequences": len({name for name in table.images["sequence"] if name}),
        "frames": table.num_images,
        "thresholds": dict(prediction.thresholds),
        "weights": prediction.weights,
        **_weights_step(prediction.weights),
        "version": __version__,
    }


def _weights_step(weights: str) -> dict[str, int]:
    """Returns the training step of a checkpoint, which exported weights do not know."""
    found = re.fullmatch(r"step_(\d+)", pathlib.Path(weights).stem)
    return {"weights_step": int(found[1])} if found else {}


def _with_stand_in_ids(sequence: PoseSequence) -> PoseSequence:
    frames = (dataclasses.replace(frame, track_ids=np.arange(frame.num_people)) for frame in sequence.frames)
    return dataclasses.replace(sequence, frames=tuple(frames))
