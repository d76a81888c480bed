"""Predicts a split with the two-stage system: boxes, then a keypoint network on each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from tfpose.data.records import RecordTable
from tfpose.evaluation.splits import SplitPrediction
from tfpose.inference.detected_boxes import GROUND_TRUTH, BoxSettings, find_boxes
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.person_keypoints import build_keypoint_function, poses_by_image, predict_people
from tfpose.messages import count_of


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The settings of the prediction of a split.

    Attributes:
        batch_size: Crops that go through the network at once.
        box_score_threshold: Boxes with a lower score are left out, unless the user gives a threshold.
    """

    batch_size: int = 32
    box_score_threshold: float = 0.0


def predict_split(
    table: RecordTable,
    network: Callable[[Any], Any],
    system: KeypointSystem,
    weights: str,
    boxes: BoxSettings,
    output_dir: pathlib.Path,
    settings: EvaluationSettings,
) -> SplitPrediction:
    """Finds the people of every image of a table.

    Args:
        table: Records of the split.
        network: Keypoint network in the form for inference, or in a LiteRT file.
        system: System of the network.
        weights: File that the weights came from, for reports.
        boxes: Source of the boxes around people.
        output_dir: Folder for the boxes that a detector finds.
        settings: Batch size and threshold.

    Raises:
        FileNotFoundError, ValueError: The boxes are missing or damaged.
    """
    people = find_boxes(table, boxes, output_dir)
    if boxes.score_threshold is None:
        people = people.select(people.scores >= settings.box_score_threshold)
    print(
        f"{weights}: {count_of(len(people), 'box', 'boxes')} ({people.source}) in {count_of(table.num_images, 'image')}"
    )
    find_keypoints = build_keypoint_function(network, system)
    keypoints, joint_scores = predict_people(
        find_keypoints, table, people, system, settings.batch_size, show_progress=True
    )
    return SplitPrediction(
        poses=poses_by_image(table, people, keypoints, joint_scores, system),
        skeleton=system.skeleton,
        boxes=people.source,
        weights=weights,
        thresholds={
            **dataclasses.asdict(system.selection),
            **dataclasses.asdict(system.keypoints),
            **boxes.to_dict(),
        },
        joint_threshold=system.selection.joint_threshold,
        has_annotated_boxes=boxes.source == GROUND_TRUTH,
    )
