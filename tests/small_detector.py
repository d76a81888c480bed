"""A person detector small enough for tests, and a dataset for it."""

from __future__ import annotations

import dataclasses

from keypoint_rcnn_cases import SMALL
from record_writing import synthetic_image, write_dataset

from tfpose.data.detection_images import DetectionInput
from tfpose.data.records import RecordTable, read_table
from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
from tfpose.skeletons import POSETRACK15

SETTINGS = dataclasses.replace(SMALL, num_joints=POSETRACK15.num_joints, num_groups=1)
INPUT = DetectionInput(
    shortest_edges=(56, 64), longest_edge=128, padded_size=(64, 128), keeps_unlabeled=True, has_ignored_regions=True
)
SAMPLING = SamplingSettings(num_anchors=32, num_positive_anchors=16, num_proposals=12, num_positive_proposals=4)


def small_table(directory, num_images: int = 6, size: tuple[int, int] = (60, 90)) -> RecordTable:
    """Noisy pictures with 0, 1, 2, 0, ... people."""
    images = [synthetic_image(i, POSETRACK15, size, num_people=i % 3) for i in range(num_images)]
    return read_table(write_dataset(directory, POSETRACK15, images), "train")
