"""Where the two-stage system looks for people: annotated boxes, those of a file, or those of a detector run here."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfpose.coco import write_detections
from tfpose.data.picture_tensors import decode_picture
from tfpose.data.records import RecordTable
from tfpose.inference.keras_hub_detector import PRESET_PREFIX, load_keras_hub_detector
from tfpose.inference.person_detector import BoxesAndScores, PersonDetector, load_person_detector
from tfpose.inference.person_keypoints import PersonBoxes, read_boxes
from tfpose.models.keypoint_rcnn.suppression import suppress_boxes

DETECTIONS_FILE = "detections.json"
GROUND_TRUTH, DETECTOR = "ground_truth", "detector"


class Detector(Protocol):
    """Finds people; see `PersonDetector.detect`."""

    source: str

    def detect(self, images: Sequence[np.ndarray]) -> list[BoxesAndScores]: ...


@dataclasses.dataclass(frozen=True)
class BoxSettings:
    """Where boxes come from, and which of them are kept.

    Attributes:
        source: 'ground_truth', 'detector', or a file of COCO results or PoseTrack detections.
        detector: work folder of a detector, or 'keras_hub:' and the name or folder of a preset.
        detector_weights: 'best' or 'last', of a work folder.
        score_threshold: boxes with less are left out; None takes all of a file, and the detector's own threshold.
        iou_threshold: a box that overlaps a better one of its image by more goes; None keeps all of a file, and takes
            the detector's own threshold.
        margin_pixels: of the crops on every side of a box, in place of the keypoint network's; None leaves that.
    """

    source: str = GROUND_TRUTH
    detector: str = ""
    detector_weights: str = "best"
    score_threshold: float | None = None
    iou_threshold: float | None = None
    margin_pixels: float | None = None

    def __post_init__(self) -> None:
        if (self.source == DETECTOR) != bool(self.detector):
            raise ValueError(
                f"--boxes={DETECTOR} and --detector=WORKDIR go together, "
                f"got --boxes={self.source} and --detector={self.detector}"
            )
        if self.source == GROUND_TRUTH and (self.score_threshold, self.iou_threshold) != (None, None):
            raise ValueError(f"--box_score_threshold and --box_nms have no meaning with --boxes={GROUND_TRUTH}")

    def to_dict(self) -> dict[str, Any]:
        """The thresholds that were given, by the names of their flags."""
        values = {
            "box_score_threshold": self.score_threshold,
            "box_nms": self.iou_threshold,
            "box_extension_pixels": self.margin_pixels,
        }
        return {name: value for name, value in values.items() if value is not None}


def find_boxes(table: RecordTable, settings: BoxSettings, output_dir: pathlib.Path) -> PersonBoxes:
    """The boxes of a table's people; a detector's are also left in `output_dir`.

    Args:
        table: the records.
        settings: see there.
        output_dir: for `DETECTIONS_FILE`, which gives the same boxes when it is read in another run.

    Raises:
        FileNotFoundError, ValueError: the detector, the file or a picture is missing or damaged.
    """
    source, threshold = settings.source, settings.score_threshold or 0.0
    if source != DETECTOR:
        found = read_boxes(table, source, threshold)
        return found if settings.iou_threshold is None else suppress_people(found, settings.iou_threshold)
    detector = load_detector(settings)
    path = output_dir / DETECTIONS_FILE
    detect_split(table, detector, path)
    # Read and not kept, so that the file gives these very boxes the next time.
    return dataclasses.replace(read_boxes(table, str(path), threshold), source=f"{detector.source} ({path})")


def load_detector(settings: BoxSettings) -> Detector:
    """The detector of the settings, with their thresholds.

    Raises:
        FileNotFoundError, ValueError: it is missing, damaged or needs a package that is not installed.
    """
    thresholds = {"score_threshold": settings.score_threshold, "iou_threshold": settings.iou_threshold}
    if settings.detector.startswith(PRESET_PREFIX):
        return load_keras_hub_detector(settings.detector.removeprefix(PRESET_PREFIX), **thresholds)
    return load_person_detector(settings.detector, settings.detector_weights, **thresholds)


def load_exportable_detector(settings: BoxSettings) -> PersonDetector:
    """Loads the detector of the settings for use in a SavedModel.

    Raises:
        FileNotFoundError, ValueError: It is missing, damaged or of a kind that cannot be exported.
    """
    if settings.detector.startswith(PRESET_PREFIX):
        raise ValueError(f"--detector={settings.detector}: must be the work folder of a Keypoint R-CNN here")
    thresholds = {"score_threshold": settings.score_threshold, "iou_threshold": settings.iou_threshold}
    return load_person_detector(settings.detector, settings.detector_weights, **thresholds)


def detect_split(table: RecordTable, detector: Detector, path: pathlib.Path) -> None:
    """Finds the people of every image of a table and writes them as COCO results.

    Raises:
        ValueError: a picture cannot be decoded; names it.
    """
    found = []
    for row in tqdm(range(table.num_images), unit=" images", desc="boxes"):
        found += detector.detect([_decode(table, row)])
    image_ids = np.repeat(table.images["image_id"], [len(scores) for _, scores in found])
    boxes = np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in found)])
    scores = np.concatenate([np.zeros(0), *(scores for _, scores in found)])
    write_detections(path, image_ids, boxes, scores)


def _decode(table: RecordTable, row: int) -> np.ndarray:
    try:
        return decode_picture(table.read_image_bytes(row)).numpy()
    except tf.errors.InvalidArgumentError as error:
        reason = error.message.splitlines()[0]
        raise ValueError(f"{table.describe(row)}: cannot decode the picture: {reason}") from error


def suppress_people(people: PersonBoxes, iou_threshold: float) -> PersonBoxes:
    """Without the boxes that overlap better ones of their image by more than `iou_threshold`; the best come first."""
    kept = [np.zeros(0, np.int64)]
    starts = np.flatnonzero(np.diff(people.images, prepend=-1))
    for rows in np.split(np.arange(len(people)), starts[1:]):
        boxes, scores = (tf.constant(values[rows], tf.float32) for values in (people.boxes, people.scores))
        kept.append(rows[suppress_boxes(boxes, scores, iou_threshold, len(rows)).numpy()])
    return people.select(np.concatenate(kept))
