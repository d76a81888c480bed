"""A small evaluation with all that a report can show."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from report.report_cases import make_pair

from tfpose.evaluation.report_files import begin_evaluation
from tfpose.evaluation.report_videos import ScoredVideos, add_videos
from tfpose.metrics.intervals import NUM_RESAMPLES
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.posetrack import PoseSequence
from tfpose.report.evaluation_file import Evaluation, TrainingTables

PROVENANCE = {"version": "1.2.3", "config": "configs/small.py", "boxes": "ground truth", "weights_step": 400}
STEPS = [100.0, 200.0, 300.0, 400.0]
TRAINING = TrainingTables(
    {"step": STEPS, "loss": [0.5, 0.25, float("nan"), 0.125], "learning_rate": [1e-3, 1e-3, 5e-4, 0.0]},
    {"step": [200.0, 400.0], "AP": [51.25, 73.5], "AP50": [80.0, 90.0], "PCK": [60.0, 88.0]},
)


def make_videos(
    names: Sequence[str] = ("first", "second"), noise: float = 3.0, picture: np.ndarray | None = None
) -> ScoredVideos:
    pairs = [make_pair(name, seed, noise) for seed, name in enumerate(names)]
    return ScoredVideos(*(list(side) for side in zip(*pairs, strict=True)), lambda video, frame: picture)


def make_evaluation(
    directory: pathlib.Path, videos: ScoredVideos, metrics: Sequence[str] = ("ap", "mot")
) -> Evaluation:
    """Of these videos, with its pictures in the folder."""
    directory.mkdir(parents=True, exist_ok=True)
    report = evaluate_sequences(
        videos.truth, videos.predicted, PoseTrackOptions(metrics, num_resamples=NUM_RESAMPLES), per_sequence=True
    )
    evaluation = add_videos(begin_evaluation(directory, report, PROVENANCE), videos)
    return dataclasses.replace(
        evaluation,
        coco={"AP": 61.5, "AP50": 92.25},
        correct_keypoints={"pck": {"total": 81.5, "joints": {"nose": 90.0, "left_wrist": float("nan")}}},
        training=TRAINING,
    )


def cut(sequence: PoseSequence, num_frames: int) -> PoseSequence:
    return dataclasses.replace(sequence, frames=sequence.frames[:num_frames])
