"""The boxes of people for the two-stage system: annotated boxes, boxes of a file, or boxes of a detector."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfpose.boxes import xywh_from_xyxy
from tfpose.coco import corners_note
from tfpose.coco_results import write_detections
from tfpose.data.picture_tensors import decode_picture
from tfpose.data.records import RecordTable
from tfpose.inference.detectors import load_detector
from tfpose.inference.detectors.boxes_file import BoxesFile
from tfpose.inference.detectors.detector import BoxesAndScores, Detector, Picture
from tfpose.inference.person_keypoints import PersonBoxes, ground_truth_boxes
from tfpose.messages import describe_error

DETECTIONS_FILE = "detections.json"
GROUND_TRUTH, DETECTOR = "ground_truth", "detector"


@dataclasses.dataclass(frozen=True)
class BoxSettings:
    """The source of the boxes, and the thresholds for keeping a box.

    Attributes:
        source: 'ground_truth', 'detector', or a file of COCO results or PoseTrack detections.
        detector: Name of a detector, see `detectors.load_detector`; empty unless `source` is 'detector'.
        detector_weights: 'best' or 'last', the weights of a detector's work folder.
        score_threshold: Boxes with a lower score are left out; None keeps all boxes of a file, and stands for the
            detector's own threshold.
        iou_threshold: A box is left out if its overlap with a better box of its image is larger; None keeps all boxes
            of a file, and stands for the detector's own threshold.
        margin_pixels: Image pixels by which crops reach beyond every side of a box; None keeps the keypoint network's
            margin.
        detector_dtype: "float32", or "bfloat16" for a detector that computes in bfloat16 where its kind can.
    """

    source: str = GROUND_TRUTH
    detector: str = ""
    detector_weights: str = "best"
    score_threshold: float | None = None
    iou_threshold: float | None = None
    margin_pixels: float | None = None
    detector_dtype: str = "float32"

    def __post_init__(self) -> None:
        if (self.source == DETECTOR) != bool(self.detector):
            raise ValueError(
                f"--boxes={DETECTOR} and --detector=WORKDIR must be given together, "
                f"got --boxes={self.source} and --detector={self.detector}"
            )
        if self.source == GROUND_TRUTH and (self.score_threshold, self.iou_threshold) != (None, None):
            raise ValueError(f"--box_score_threshold and --box_nms cannot be combined with --boxes={GROUND_TRUTH}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the thresholds that were given, by the names of their flags."""
        values = {
            "box_score_threshold": self.score_threshold,
            "box_nms": self.iou_threshold,
            "box_extension_pixels": self.margin_pixels,
        }
        return {name: value for name, value in values.items() if value is not None}


def find_boxes(table: RecordTable, settings: BoxSettings, output_dir: pathlib.Path) -> PersonBoxes:
    """Returns the boxes of a table's people; a detector's boxes are also written into `output_dir`.

    Args:
        table: Records.
        settings: Source of the boxes and thresholds.
        output_dir: Folder for `DETECTIONS_FILE`, which gives the same boxes when another run reads it.

    Raises:
        FileNotFoundError, ValueError: The detector, the file or a picture is missing or damaged.
    """
    if settings.source == GROUND_TRUTH:
        return ground_truth_boxes(table)
    if settings.source != DETECTOR:
        thresholds = (settings.score_threshold, settings.iou_threshold)
        found = boxes_of_table(table, BoxesFile(settings.source, *thresholds, table.category_id))
        sizes = table.sizes(found.images)[:, ::-1]
        for note in corners_note(xywh_from_xyxy(found.boxes), found.boxes, sizes):
            print(f"note: {settings.source}: {note}", file=sys.stderr)
        return found
    detector = load_detector(
        settings.detector,
        settings.detector_weights,
        settings.score_threshold,
        settings.iou_threshold,
        settings.detector_dtype,
    )
    path = output_dir / DETECTIONS_FILE
    people = boxes_of_table(table, detector, show_progress=True)
    columns = (table.image_ids[people.images], people.boxes, people.scores, table.category_id)
    write_detections(path, *columns)
    # Read back, so that the file gives exactly these boxes the next time.
    found = boxes_of_table(table, BoxesFile(path, settings.score_threshold, category_id=table.category_id))
    return dataclasses.replace(found, source=f"{detector.source} ({path})")


def boxes_of_table(
    table: RecordTable, detector: Detector, part: slice = slice(None), show_progress: bool = False
) -> PersonBoxes:
    """Returns the boxes of the people that a detector finds in the images of a table.

    Args:
        table: Records.
        detector: The detector.
        part: Images of the table in which it looks for people.
        show_progress: Draw a progress bar.

    Raises:
        ValueError: A picture cannot be decoded, or no box of a file is in an image of the table; names it. Or the
            detector does not return boxes and a score of each for each image.
    """
    rows = np.arange(table.num_images)[part]
    pictures = [Picture(functools.partial(_decode, table, row), int(table.image_ids[row])) for row in rows]
    found = detector.find_people(tqdm(pictures, unit=" images", desc="boxes", disable=not show_progress))
    found = _as_boxes(list(found), len(rows), detector.source)
    counts = [len(scores) for _, scores in found]
    return PersonBoxes(
        images=np.repeat(rows, counts),
        boxes=np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in found)]),
        scores=np.concatenate([np.zeros(0), *(scores for _, scores in found)]),
        rows=np.full(sum(counts), -1),
        source=detector.source,
    )


def _as_boxes(found: Sequence[BoxesAndScores], num_images: int, source: str) -> list[BoxesAndScores]:
    """Returns what a detector, perhaps of a user, found in each image, as boxes [N, 4] and scores [N]."""
    if len(found) != num_images:
        raise ValueError(f"{source}: find_people must return boxes of {num_images} pictures, got {len(found)}")
    people = []
    for number, (boxes, scores) in enumerate(found):
        # An empty list of boxes has only one axis.
        boxes, scores = (np.asarray(boxes, np.float64) if len(boxes) else np.zeros((0, 4))), np.asarray(scores)
        if scores.ndim != 1 or boxes.shape != (len(scores), 4):
            raise ValueError(
                f"{source}: find_people must return boxes [N, 4] and scores [N] of each picture, got {boxes.shape} "
                f"and {scores.shape} of picture {number}"
            )
        people.append((boxes, scores))
    return people


def _decode(table: RecordTable, row: int) -> np.ndarray:
    try:
        return decode_picture(table.read_image_bytes(row)).numpy()
    except tf.errors.InvalidArgumentError as error:
        reason = describe_error(error)
        raise ValueError(f"{table.describe(row)}: cannot decode the picture: {reason}") from error
