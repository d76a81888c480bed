"""COCO's average precision of keypoints and of boxes, computed by pycocotools."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfpose.boxes import xywh_from_xyxy
from tfpose.coco import PersonAnnotations, person_annotations_to_dict
from tfpose.coco_results import detection_results, keypoint_results
from tfpose.poses import Poses

STATISTICS = (
    "AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large",
)  # fmt: skip
BOX_STATISTICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


def coco_average_precision(
    annotations: PersonAnnotations, poses: Sequence[Poses], has_boxes: bool = False
) -> dict[str, float]:
    """Returns average precision and recall over OKS 0.50:0.05:0.95 (Lin et al., cocodataset.org/#keypoints-eval).

    The metrics are those that pycocotools gives for a file of the poses: a joint that is not there lies at (0, 0).

    Args:
        annotations: Ground truth, with the skeleton whose constants OKS uses.
        poses: Poses of each image of the annotations, in the same order and skeleton.
        has_boxes: Whether the file holds the boxes of the people, as those of PoseTrack do and COCO results do not.
            pycocotools then takes a person's size, which counts for `_medium` and `_large`, from the box.

    Returns:
        Metrics in percent by the names of `STATISTICS`; NaN where there is no ground truth.
    """
    results = []
    for image_id, people in zip(annotations.image_ids, poses, strict=True):
        columns = (people.keypoints, people.joint_scores, people.scores, annotations.category_id)
        of_image = keypoint_results(np.full(len(people), image_id), *columns)
        boxes = xywh_from_xyxy(people.boxes).tolist() if has_boxes else [None] * len(people)
        results += [entry if box is None else entry | {"bbox": box} for entry, box in zip(of_image, boxes, strict=True)]
    return dict(zip(STATISTICS, _evaluate(annotations, results, "keypoints"), strict=True))


def coco_box_average_precision(
    annotations: PersonAnnotations, image_ids: np.ndarray, boxes: np.ndarray, scores: np.ndarray
) -> dict[str, float]:
    """Returns average precision and recall of boxes over IoU 0.50:0.05:0.95 (cocodataset.org/#detection-eval).

    Args:
        annotations: Ground truth; boxes in crowds count neither as right nor as wrong.
        image_ids: [N] identities of the boxes' images.
        boxes: [N, 4] xyxy boxes in image pixels.
        scores: [N] scores of the boxes.

    Returns:
        Metrics in percent by the names of `BOX_STATISTICS`; NaN where there is no ground truth.
    """
    results = detection_results(image_ids, boxes, scores, annotations.category_id)
    return dict(zip(BOX_STATISTICS, _evaluate(annotations, results, "bbox"), strict=True))


def _evaluate(annotations: PersonAnnotations, results: list[dict], kind: Literal["keypoints", "bbox"]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # COCO's evaluation reads the id 0 as "not matched", so the ids of the file do not matter here.
        numbered = dataclasses.replace(annotations, annotation_ids=np.arange(1, annotations.num_people + 1))
        truth.dataset = person_annotations_to_dict(numbered)
        truth.createIndex()
        evaluation = COCOeval(truth, _load_results(truth, results), kind)
        evaluation.params.kpt_oks_sigmas = np.asarray(annotations.skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools returns -1 for a mean over nothing.
    return [float("nan") if value < 0 else 100 * float(value) for value in evaluation.stats]


def _load_results(truth: COCO, results: list[dict]) -> COCO:
    if results:
        return truth.loadRes(results)
    # loadRes fails on an empty list.
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
