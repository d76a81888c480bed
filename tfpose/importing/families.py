"""The families of public checkpoints that can be imported.

A new family is a file of its own in this folder, with a class that follows `family.Family`, and an entry of `FAMILIES`.
"""

from __future__ import annotations

from tfpose.importing.family import Family
from tfpose.importing.keypoint_family import (
    KeypointFamily,
    Protocol,
    is_hrnet,
    is_microsoft,
    is_mmpose,
    is_tinypose,
    is_vitpose,
)
from tfpose.importing.keypoint_networks import infer_pose_hrnet, infer_pose_resnet, infer_pose_vit, infer_tinypose
from tfpose.importing.keypoint_rcnn_family import KeypointRcnnFamily, is_detectron, is_detectron2
from tfpose.importing.picodet_family import PicodetFamily
from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.pose_hrnet import HRNET_NAMES
from tfpose.pretrained.pose_resnet import RESNET_NAMES
from tfpose.pretrained.pose_vit import VIT_NAMES
from tfpose.pretrained.tinypose import TINYPOSE_NAMES

# The first family that matches a checkpoint converts it.
FAMILIES: dict[str, Family] = {
    "detectron": KeypointRcnnFamily(
        "Keypoint R-CNN of the original Detectron (Caffe2 names)", is_detectron, is_legacy=True
    ),
    "detectron2": KeypointRcnnFamily("Keypoint R-CNN of Detectron2", is_detectron2, is_legacy=False),
    "vitpose": KeypointFamily(
        "ViTPose of its authors, of MMPose or of Hugging Face",
        is_vitpose,
        "pose_vit",
        VIT_NAMES,
        infer_pose_vit,
        last_layer=HEATMAP_LAYER,
        protocol=Protocol(decoding="udp", input_size=(256, 192), reduces_images=False),
    ),
    "mmpose": KeypointFamily(
        "ResNet with a heatmap head of MMPose", is_mmpose, "pose_resnet", RESNET_NAMES, infer_pose_resnet
    ),
    "hrnet": KeypointFamily(
        "HRNet of Microsoft's deep-high-resolution-net.pytorch or of MMPose",
        is_hrnet,
        "pose_hrnet",
        HRNET_NAMES,
        infer_pose_hrnet,
        protocol=Protocol(input_size=(256, 192)),
    ),
    "tinypose": KeypointFamily(
        "PP-TinyPose of PaddleDetection",
        is_tinypose,
        "tinypose",
        TINYPOSE_NAMES,
        infer_tinypose,
        last_layer="final_conv",
        protocol=Protocol(
            decoding="dark",
            convention="paddle",
            blur_kernel=3,
            input_size=(256, 192),
            clips_annotated_boxes=True,
            reduces_images=False,
        ),
    ),
    "picodet": PicodetFamily(),
    "microsoft": KeypointFamily(
        "pose_resnet of Microsoft's human-pose-estimation.pytorch",
        is_microsoft,
        "pose_resnet",
        RESNET_NAMES,
        infer_pose_resnet,
        protocol=Protocol(channel_order="bgr"),
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
