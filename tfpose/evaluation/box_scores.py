"""Metrics of the boxes and keypoints that a person detector found in a record table."""

from __future__ import annotations

import numpy as np

from tfpose.boxes import areas
from tfpose.coco import PersonAnnotations, build_person_annotations
from tfpose.data.records import RecordTable
from tfpose.evaluation.person_scores import score_poses
from tfpose.inference.person_keypoints import PersonBoxes
from tfpose.inference.table_people import TablePeople, poses_by_image
from tfpose.metrics.coco import BOX_STATISTICS, coco_box_average_precision
from tfpose.skeletons import Skeleton

# The names of the metrics of boxes during training.
BOX_METRICS = tuple(f"box_{name}" for name in BOX_STATISTICS)


def score_table_people(table: RecordTable, people: TablePeople, skeleton: Skeleton | None) -> dict[str, float]:
    """Returns COCO's metrics in percent: of boxes as `box_AP` and so on, of keypoints as `AP` and so on.

    Args:
        table: Records; images without annotations are skipped.
        people: People that the network found.
        skeleton: Skeleton of their keypoints; None scores boxes only.
    """
    metrics = {f"box_{name}": value for name, value in score_boxes(table, people).items()}
    if skeleton is not None and people.has_keypoints:
        metrics |= score_poses(table, poses_by_image(table, people), skeleton)
    return metrics


def score_boxes(table: RecordTable, people: TablePeople | PersonBoxes) -> dict[str, float]:
    """Returns COCO's metrics of boxes in percent; boxes found in ignore regions and crowds count neither way."""
    is_labeled = np.asarray(table.images["is_labeled"]) > 0
    is_counted = is_labeled[people.images]
    image_ids = table.image_ids[people.images[is_counted]]
    return coco_box_average_precision(
        box_annotations(table), image_ids, people.boxes[is_counted], people.scores[is_counted]
    )


def box_annotations(table: RecordTable) -> PersonAnnotations:
    """Returns the boxes of a table as COCO ground truth; an ignore region becomes a crowd with its bounding box."""
    regions = [
        (image, np.concatenate([region.min(axis=0), region.max(axis=0)]))
        for image, of_image in enumerate(table.images["ignore_regions"])
        for region in of_image
        if len(region)
    ]
    boxes = np.concatenate([table.people["box"], np.reshape([box for _, box in regions], (-1, 4))]).astype(np.float64)
    images = np.concatenate([table.image_of_person, np.array([image for image, _ in regions], np.int64)])
    is_crowd = np.append(table.people["is_crowd"] > 0, np.ones(len(regions), bool))
    box_areas = np.append(table.people["area"], areas(boxes[len(boxes) - len(regions) :]))
    order = np.argsort(images, kind="stable")
    joints = table.skeleton.num_joints
    return build_person_annotations(
        table.skeleton,
        table.image_ids,
        list(table.images["file_name"]),
        np.stack([table.images["height"], table.images["width"]], axis=1),
        images[order],
        # COCO's evaluation of boxes does not look at keypoints.
        np.zeros((len(boxes), joints, 2)),
        np.zeros((len(boxes), joints), np.int64),
        boxes=boxes[order],
        areas=box_areas[order],
        is_crowd=is_crowd[order],
        category_id=table.category_id,
    )
