"""Evaluates a person detector alone: its boxes against the annotated ones, and its keypoints if it has them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

from tfpose import __version__
from tfpose.checkpoints import load_for_inference
from tfpose.coco_results import write_detections
from tfpose.data.records import RecordTable
from tfpose.evaluation.box_scores import score_boxes
from tfpose.evaluation.dtype_choice import choose_dtype
from tfpose.evaluation.metrics_file import write_metrics
from tfpose.evaluation.person_scores import score_poses
from tfpose.evaluation.teacher_agreement import as_agreement, format_agreement
from tfpose.evaluation.written_poses import COCO_RESULTS_FILE, write_coco_predictions
from tfpose.inference.detected_boxes import DETECTIONS_FILE, boxes_of_table
from tfpose.inference.detectors.detector import Detector
from tfpose.inference.inference_dtype import FLOAT32, InferenceDtype
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings
from tfpose.inference.person_keypoints import PersonBoxes
from tfpose.inference.table_people import TablePeople, build_find_function, find_table_people, poses_by_image
from tfpose.messages import count_of
from tfpose.metrics.report import format_number
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.simplification import simplify_keypoint_rcnn
from tfpose.models.unfilled import build_unfilled
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The settings of the prediction of a split.

    Attributes:
        batch_size: Images of one size that go through the network at once.
    """

    batch_size: int = 1


@dataclasses.dataclass(frozen=True)
class DetectorRun:
    """The weights of a Keypoint R-CNN.

    Attributes:
        workdir: Work folder of the training run or the imported checkpoint.
        weights: 'best' or 'last'.
        dtype: Number format in which the network computes; "auto" measures the AP of its boxes.
    """

    workdir: pathlib.Path
    weights: str = "best"
    dtype: InferenceDtype = FLOAT32


class ThresholdDetector(Detector, Protocol):
    """A detector that tells its thresholds, for reports."""

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """The thresholds by name."""


def evaluate_detector(
    table: RecordTable,
    split: str,
    skeleton: Skeleton,
    run: DetectorRun,
    output_dir: pathlib.Path,
    batch_size: int = 1,
) -> pathlib.Path:
    """Finds the people of every image of a table, and writes and prints what is found.

    Args:
        table: Records of the split.
        split: Name of the split.
        skeleton: Skeleton of the network's keypoints, if it has any.
        run: The weights.
        output_dir: Folder for `DETECTIONS_FILE`, metrics.json and, where the network finds keypoints, predictions.json.
        batch_size: Images of one size that go through the network at once.

    Returns:
        The path of metrics.json.

    Raises:
        FileNotFoundError, ValueError: The run or an image is missing or damaged.
    """
    settings = read_keypoint_rcnn_settings(run.workdir)
    if settings.has_keypoint_head and settings.num_joints != skeleton.num_joints:
        raise ValueError(
            f"{run.workdir}: the network has {settings.num_joints} joints, skeleton {skeleton.name} has "
            f"{skeleton.num_joints}; --config.skeleton must name the skeleton of the network"
        )
    network = build_unfilled(lambda: build_keypoint_rcnn(settings))
    loaded = load_for_inference(network, run.workdir, run.weights)
    dtype = _choose_dtype(network, run.dtype, batch_size)
    print(f"{loaded}: {count_of(table.num_images, 'image')}")
    find = build_find_function(simplify_keypoint_rcnn(network, dtype))
    people = find_table_people(find, table, batch_size, show_progress=True)
    written = [_write_boxes(table, people, output_dir)]
    metrics: dict[str, Any] = {"boxes": score_boxes(table, people)}
    if people.has_keypoints:
        poses = poses_by_image(table, people)
        metrics["coco"] = score_poses(table, poses, skeleton)
        written.append(output_dir / COCO_RESULTS_FILE)
        write_coco_predictions(written[-1], table, poses)
    thresholds = dataclasses.asdict(settings.detections) | ({} if dtype == "float32" else {"inference_dtype": dtype})
    metrics["provenance"] = _describe(table, split, people, str(loaded), thresholds)
    return _report(metrics, output_dir, written, table.teacher)


def _choose_dtype(network: KeypointRcnn, wanted: InferenceDtype, batch_size: int) -> str:
    """Returns the number format in which the network finds people."""

    def score(table: RecordTable, dtype: str) -> float:
        find = build_find_function(simplify_keypoint_rcnn(network, dtype))
        return float(score_boxes(table, find_table_people(find, table, batch_size))["AP"])

    return choose_dtype(wanted, score)


def evaluate_boxes(
    table: RecordTable, split: str, detector: ThresholdDetector, output_dir: pathlib.Path
) -> pathlib.Path:
    """Finds the boxes of people in every image of a table, and writes and prints what is found.

    Args:
        table: Records of the split.
        split: Name of the split.
        detector: The detector.
        output_dir: Folder for `DETECTIONS_FILE` and metrics.json.

    Returns:
        The path of metrics.json.

    Raises:
        ValueError: An image is damaged.
    """
    print(f"{detector.source}: {count_of(table.num_images, 'image')}")
    people = boxes_of_table(table, detector, show_progress=True)
    written = [_write_boxes(table, people, output_dir)]
    metrics = {
        "boxes": score_boxes(table, people),
        "provenance": _describe(table, split, people, detector.source, detector.thresholds),
    }
    return _report(metrics, output_dir, written, table.teacher)


def _write_boxes(table: RecordTable, people: TablePeople | PersonBoxes, output_dir: pathlib.Path) -> pathlib.Path:
    path = output_dir / DETECTIONS_FILE
    columns = (table.image_ids[people.images], people.boxes, people.scores, table.category_id)
    write_detections(path, *columns)
    return path


def _describe(
    table: RecordTable,
    split: str,
    people: TablePeople | PersonBoxes,
    weights: str,
    thresholds: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "labels": f"{table.shards[0].parent} split {split}",
        "frames": table.num_images,
        "detections": len(people),
        "thresholds": dict(thresholds),
        "weights": weights,
        "version": __version__,
    }


def _report(
    metrics: dict[str, Any], output_dir: pathlib.Path, written: list[pathlib.Path], teacher: str
) -> pathlib.Path:
    metrics = as_agreement(metrics, teacher) if teacher else metrics
    path = write_metrics(output_dir, metrics)
    print(format_agreement(metrics) if teacher else format_metrics(metrics))
    print(f"written: {', '.join(map(str, [*written, path]))}")
    return path


def format_metrics(metrics: dict[str, Any]) -> str:
    """Writes the metrics as lines for a terminal."""
    titles = {
        "boxes": "COCO boxes of people (overlap), percent",
        "coco": "COCO keypoints (object keypoint similarity), percent",
    }
    return "\n".join(
        f"{title}\n  " + "  ".join(f"{metric} {format_number(value)}" for metric, value in metrics[name].items())
        for name, title in titles.items()
        if name in metrics
    )
