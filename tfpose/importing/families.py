"""The families of public checkpoints that can be imported.

A new family is a file of its own in this folder, with a class that follows `family.Family`, and an entry of `FAMILIES`.
"""

from __future__ import annotations

from tfpose.importing.family import Family
from tfpose.importing.keypoint_rcnn_family import KeypointRcnnFamily, is_detectron, is_detectron2
from tfpose.importing.pose_resnet_family import PoseResnetFamily, is_microsoft, is_mmpose
from tfpose.pretrained.named_tensors import Checkpoint

# The first family that matches a checkpoint converts it.
FAMILIES: dict[str, Family] = {
    "detectron": KeypointRcnnFamily(
        "Keypoint R-CNN of the original Detectron (Caffe2 names)", is_detectron, is_legacy=True
    ),
    "detectron2": KeypointRcnnFamily("Keypoint R-CNN of Detectron2", is_detectron2, is_legacy=False),
    "mmpose": PoseResnetFamily("ResNet with a heatmap head of MMPose", is_mmpose, channel_order="rgb"),
    "microsoft": PoseResnetFamily(
        "pose_resnet of Microsoft's human-pose-estimation.pytorch", is_microsoft, channel_order="bgr"
    ),
}


def find_family(checkpoint: Checkpoint) -> Family:
    """Returns the family of a checkpoint.

    Raises:
        ValueError: No family has tensors with such names; the message describes them.
    """
    for family in FAMILIES.values():
        if family.matches(checkpoint):
            return family
    known = ", or ".join(family.description for family in FAMILIES.values())
    raise ValueError(f"{checkpoint.path}: tensors must be those of {known}, got {checkpoint.describe_tensors()}")
