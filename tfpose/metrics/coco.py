"""COCO's average precision of keypoints and of boxes, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfpose.coco import PersonAnnotations, detection_results, keypoint_results, person_annotations_to_dict
from tfpose.poses import Poses

STATISTICS = (
    "AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large",
)  # fmt: skip
BOX_STATISTICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


def coco_average_precision(annotations: PersonAnnotations, poses: Sequence[Poses]) -> dict[str, float]:
    """Returns average precision and recall over OKS 0.50:0.05:0.95 (Lin et al., cocodataset.org/#keypoints-eval).

    Args:
        annotations: Ground truth, with the skeleton whose constants OKS uses.
        poses: Poses of each image of the annotations, in the same order and skeleton.

    Returns:
        Metrics in percent by the names of `STATISTICS`; NaN where there is no ground truth.
    """
    results = [
        entry
        for image_id, people in zip(annotations.image_ids, poses, strict=True)
        for entry in keypoint_results(
            np.full(len(people), image_id), people.keypoints, people.joint_scores, people.scores
        )
    ]
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
    results = detection_results(image_ids, boxes, scores)
    return dict(zip(BOX_STATISTICS, _evaluate(annotations, results, "bbox"), strict=True))


def _evaluate(annotations: PersonAnnotations, results: list[dict], kind: Literal["keypoints", "bbox"]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = person_annotations_to_dict(annotations)
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
