"""The transformers side of vitpose_poses.py: writes a network with `save_pretrained`, and the keypoints that it finds.

    python benchmarks/vitpose_transformers.py PICTURE FOLDER --boxes X Y WIDTH HEIGHT [--experts]

It needs torch, transformers, Pillow and scipy. If FOLDER holds no network, one with random weights is written, of the
size that keeps the activations alive. FOLDER then holds config.json, model.safetensors and poses.npz: boxes [P, 4] as
xywh, crops, heatmaps, keypoints.
"""

from __future__ import annotations

import argparse
import math
import pathlib

import numpy as np
import torch
from PIL import Image
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)

NUM_JOINTS = 17
NUM_EXPERTS = 6


def build_network(with_experts: bool) -> VitPoseForPoseEstimation:
    """ViTPose-B with the simple decoder, or ViTPose++-S with the classic one, with random weights."""
    if with_experts:
        size = {"hidden_size": 384, "num_experts": NUM_EXPERTS, "part_features": 96}
    else:
        size = {"hidden_size": 768}
    backbone = VitPoseBackboneConfig(image_size=[256, 192], num_attention_heads=12, out_indices=[12], **size)
    config = VitPoseConfig(backbone_config=backbone, num_labels=NUM_JOINTS, use_simple_decoder=not with_experts)
    network = VitPoseForPoseEstimation(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim in (2, 4):
                fan_in = parameter[0].numel() if "deconv" not in name else 4 * parameter.shape[0]
                gain = 0.35 if name.endswith(("fc2.weight", "dense.weight")) or "experts" in name else 1.0
                bound = gain * math.sqrt(6 / fan_in)
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 2 * bound - bound)
            elif parameter.ndim == 3:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return network


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--boxes", type=float, nargs="+", required=True, help="x, y, width and height of each box")
    parser.add_argument("--experts", action="store_true", help="ViTPose++-S instead of ViTPose-B")
    arguments = parser.parse_args()
    boxes = np.array(arguments.boxes).reshape(-1, 4)
    if (arguments.folder / "config.json").is_file():
        network = VitPoseForPoseEstimation.from_pretrained(arguments.folder).eval()
    else:
        network = build_network(arguments.experts)
        network.save_pretrained(arguments.folder)
    height, width = network.config.backbone_config.image_size
    processor = VitPoseImageProcessor(size={"height": height, "width": width})
    picture = Image.open(arguments.picture).convert("RGB")
    inputs = processor(picture, boxes=[boxes], return_tensors="pt")
    if arguments.experts:
        inputs["dataset_index"] = torch.zeros(len(boxes), dtype=torch.int64)
    with torch.inference_mode():
        outputs = network(**inputs)
    (poses,) = processor.post_process_pose_estimation(outputs, boxes=[boxes])
    np.savez(
        arguments.folder / "poses.npz",
        boxes=boxes,
        crops=inputs["pixel_values"].numpy(),
        heatmaps=outputs.heatmaps.numpy(),
        keypoints=np.stack([np.asarray(pose["keypoints"]) for pose in poses]),
    )


if __name__ == "__main__":
    main()
