"""Boxes that were found before: a file of COCO results or PoseTrack detections as a detector."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tfpose.coco_results import read_detections
from tfpose.inference.detectors.detector import BoxesAndScores, Picture
from tfpose.messages import print_notes
from tfpose.models.keypoint_rcnn.suppression import suppress_boxes


class BoxesFile:
    """Finds the boxes of a picture by its image id, without looking at the picture.

    Args:
        path: File of COCO results or PoseTrack detections.
        score_threshold: Boxes with a lower score are left out; None stands for 0.
        iou_threshold: A box is left out if its overlap with a better box of its picture is larger; None keeps all.
        category_id: Identity of the category of people, see `read_detections`. Notes go to stderr.

    Raises:
        FileNotFoundError, ValueError: The file is missing or damaged, or has no boxes of people.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        category_id: int | None = 1,
    ) -> None:
        self.source = str(path)
        self.score_threshold, self.iou_threshold = score_threshold or 0.0, iou_threshold
        self._detections = read_detections(path, category_id)
        print_notes(self._detections.notes)
        self._order = np.argsort(self._detections.image_ids, kind="stable")

    @property
    def image_ids(self) -> np.ndarray:
        """The image ids of all boxes of the file [N] int64, in order."""
        return self._detections.image_ids

    def find_by_id(self, image_id: int) -> BoxesAndScores:
        """Returns the boxes of one picture, [N, 4] and [N]; empty for a picture that the file does not have."""
        start, stop = (np.searchsorted(self.image_ids, image_id, side, self._order) for side in ("left", "right"))
        return self._select(self._order[start:stop])

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Returns the boxes of each picture; see `Detector.find_people`.

        Raises:
            ValueError: The file has boxes, but none in one of the pictures.
        """
        image_ids, file_ids = np.array([picture.image_id for picture in pictures]), self.image_ids
        if len(file_ids) and not np.isin(image_ids, file_ids).any():
            raise ValueError(
                f"{self.source}: at least one of its {len(file_ids)} boxes must be in one of the {len(image_ids)} "
                f"images, got none; its first image_id is {file_ids[0]}"
            )
        num_elsewhere = int((~np.isin(file_ids, image_ids)).sum())
        if num_elsewhere:
            print(
                f"note: {self.source}: {num_elsewhere} of {len(file_ids)} boxes are left out: "
                "their image_id is not in the split",
                file=sys.stderr,
            )
        return [self.find_by_id(image_id) for image_id in image_ids]

    def _select(self, rows: np.ndarray) -> BoxesAndScores:
        rows = rows[self._detections.scores[rows] >= self.score_threshold]
        boxes, scores = self._detections.boxes[rows], self._detections.scores[rows]
        return (boxes, scores) if self.iou_threshold is None else suppress(boxes, scores, self.iou_threshold)


def suppress(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> BoxesAndScores:
    """Leaves out the boxes of one picture that overlap a better one by more than `iou_threshold`; best come first."""
    if not len(boxes):
        return boxes, scores
    kept = suppress_boxes(
        tf.constant(boxes, tf.float32), tf.constant(scores, tf.float32), iou_threshold, len(boxes)
    ).numpy()
    return boxes[kept], scores[kept]
