"""Predicts a split with the two-stage system: boxes, then a keypoint network on each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.checkpoints import load_for_inference
from tfpose.data.records import RecordTable
from tfpose.evaluation.person_scores import count_correct_keypoints
from tfpose.evaluation.splits import SplitPrediction
from tfpose.inference.detected_boxes import BoxSettings, find_boxes
from tfpose.inference.keypoint_system import read_keypoint_system, with_margin, with_settings
from tfpose.inference.person_keypoints import build_keypoint_function, poses_by_image, predict_people
from tfpose.models.batch_norm import fold_batch_norm


def predict_split(
    table: RecordTable,
    workdir: pathlib.Path,
    weights: str,
    boxes: BoxSettings,
    output_dir: pathlib.Path,
    inference: Mapping[str, Any],
    selection: Mapping[str, Any],
    batch_size: int,
    box_score_threshold: float,
) -> SplitPrediction:
    """Finds the people of every image of a table.

    Args:
        table: the records.
        workdir: of the training run.
        weights: 'best' or 'last'.
        boxes: where people are looked for.
        output_dir: for the boxes that a detector finds.
        inference: arguments of `KeypointSettings`.
        selection: arguments of `SelectionSettings`.
        batch_size: crops at a time.
        box_score_threshold: boxes with less are left out, unless `boxes` has a threshold of its own.

    Raises:
        FileNotFoundError, ValueError: the run or the boxes are missing or damaged.
    """
    system = with_settings(read_keypoint_system(workdir), inference, selection)
    if boxes.margin_pixels is not None:
        system = with_margin(system, boxes.margin_pixels)
    network = system.build_network()
    loaded = load_for_inference(network, workdir, weights)
    people = find_boxes(table, boxes, output_dir)
    if boxes.score_threshold is None:
        people = people.select(people.scores >= box_score_threshold)
    print(f"{loaded}: {len(people)} boxes ({people.source}) in {table.num_images} images")
    find_keypoints = build_keypoint_function(fold_batch_norm(network), system)
    keypoints, joint_scores = predict_people(find_keypoints, table, people, system, batch_size, show_progress=True)
    return SplitPrediction(
        poses=poses_by_image(table, people, keypoints, joint_scores, system),
        skeleton=system.skeleton,
        boxes=people.source,
        weights=str(loaded),
        thresholds={
            **dataclasses.asdict(system.selection),
            **dataclasses.asdict(system.keypoints),
            **boxes.to_dict(),
        },
        joint_threshold=system.selection.joint_threshold,
        correct_keypoints=count_correct_keypoints(table, people, keypoints, system.skeleton),
    )
