"""COCO's average precision of keypoints, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfpose.coco import PersonAnnotations, keypoint_results, person_annotations_to_dict
from tfpose.poses import Poses

STATISTICS = (
    "AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large",
)  # fmt: skip


def coco_average_precision(annotations: PersonAnnotations, poses: Sequence[Poses]) -> dict[str, float]:
    """Average precision and recall over OKS 0.50:0.05:0.95 (Lin et al., cocodataset.org/#keypoints-eval).

    Args:
        annotations: ground truth; its skeleton gives the OKS constants.
        poses: one entry per image of the annotations, in their order and skeleton.

    Returns:
        Percent by the names of `STATISTICS`; NaN where there is no ground truth to find.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = person_annotations_to_dict(annotations)
        truth.createIndex()
        predictions = _load_results(truth, annotations.image_ids, poses)
        evaluation = COCOeval(truth, predictions, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(annotations.skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools says -1 for a mean over nothing.
    values = [float("nan") if value < 0 else 100 * float(value) for value in evaluation.stats]
    return dict(zip(STATISTICS, values, strict=True))


def _load_results(truth: COCO, image_ids: np.ndarray, poses: Sequence[Poses]) -> COCO:
    results = [
        entry
        for image_id, people in zip(image_ids, poses, strict=True)
        for entry in keypoint_results(
            np.full(len(people), image_id), people.keypoints, people.joint_scores, people.scores
        )
    ]
    if results:
        return truth.loadRes(results)
    # loadRes fails on an empty list.
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
