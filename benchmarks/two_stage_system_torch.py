"""The PyTorch side of two_stage_system.py: torchvision's detector and a pose network, timed on request.

It needs torch, torchvision and Pillow. It reads one JSON object per line from standard input, the arguments of
`prepared`, runs that part once, and answers with {"seconds": ...}. The first request of a part also builds the system
and warms it up. With --single_thread it computes in one thread and measures the processor time of the process.
"""

from __future__ import annotations

import functools
import io
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torch_answers import answer_requests
from torch_networks import build_pose_resnet50

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
NUM_WARMUP_RUNS = 2
CROP_SIZE = (384, 288)
MARGIN_SCALE = 1.25
STRIDE = 4
NUM_PROPOSALS = 1000
FLIP_ORDER = [0, *(index for pair in range(8) for index in (2 * pair + 2, 2 * pair + 1))]
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def build_detector(layout: str, num_people: int, has_keypoint_head: bool) -> nn.Module:
    """Keypoint R-CNN with random weights that give finite features, and a fixed number of people."""
    detector = torchvision.models.detection.keypointrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        rpn_nms_thresh=1.0,
        box_score_thresh=-1.0,
        box_detections_per_img=num_people,
    )
    for name, module in detector.backbone.named_modules():
        if name.endswith("bn3"):
            nn.init.constant_(module.weight, 0.1)
    if not has_keypoint_head:
        heads = detector.roi_heads
        heads.keypoint_roi_pool = heads.keypoint_head = heads.keypoint_predictor = None
    return detector.to(memory_format=LAYOUTS[layout]).eval()


def decode(data: bytes) -> torch.Tensor:
    """The picture [3, H, W] float32 from 0 to 1."""
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def crop_scales(boxes: torch.Tensor) -> torch.Tensor:
    """Image pixels [P] in a pixel of the crop of each box."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return MARGIN_SCALE * torch.maximum(sides[:, 0] / CROP_SIZE[1], sides[:, 1] / CROP_SIZE[0])


def cut_crops(picture: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Normalized crops [P, 3, h, w] of boxes [P, 4]."""
    height, width = picture.shape[1:]
    centers, scales = (boxes[:, :2] + boxes[:, 2:]) / 2, crop_scales(boxes)
    axes = []
    for axis, size, length in ((0, CROP_SIZE[1], width), (1, CROP_SIZE[0], height)):
        places = centers[:, axis, None] + (torch.arange(size) - size / 2) * scales[:, None]
        axes.append((2 * places + 1) / length - 1)
    grid_x, grid_y = torch.broadcast_tensors(axes[0][:, None, :], axes[1][:, :, None])
    grid = torch.stack([grid_x, grid_y], dim=-1)
    crops = nn.functional.grid_sample(picture.expand(len(boxes), -1, -1, -1), grid, align_corners=False)
    return (crops - MEAN) / STD


def find_heatmaps(network: nn.Module, crops: torch.Tensor, layout: str) -> torch.Tensor:
    """Heatmaps [P, J, h, w], the mean of those of the crops and of their mirror images."""
    both = torch.cat([crops, crops.flip(3)]).contiguous(memory_format=LAYOUTS[layout])
    heatmaps, mirrored = network(both).chunk(2)
    mirrored = mirrored.flip(3)[:, FLIP_ORDER]
    mirrored[..., 1:] = mirrored[..., :-1].clone()
    return (heatmaps + mirrored) / 2


def decode_heatmaps(heatmaps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Joints [P, J, 3] as x, y in image pixels and score: peaks, a quarter cell towards the higher neighbor."""
    people, joints, height, width = heatmaps.shape
    scores, places = heatmaps.flatten(2).max(dim=2)
    x, y = places % width, places // width
    rows = torch.arange(people)[:, None], torch.arange(joints)[None]
    left, right = heatmaps[*rows, y, (x - 1).clamp(min=0)], heatmaps[*rows, y, (x + 1).clamp(max=width - 1)]
    upper, lower = heatmaps[*rows, (y - 1).clamp(min=0), x], heatmaps[*rows, (y + 1).clamp(max=height - 1), x]
    cells = torch.stack([x + torch.sign(right - left) / 4, y + torch.sign(lower - upper) / 4], dim=-1)
    offsets = cells * STRIDE - torch.tensor([CROP_SIZE[1] / 2, CROP_SIZE[0] / 2])
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = centers[:, None] + offsets * crop_scales(boxes)[:, None, None]
    return torch.cat([points, scores[..., None]], dim=-1)


@functools.cache
def prepared(
    part: str, picture: str, layout: str, has_keypoint_head: bool, boxes: tuple[tuple[float, ...], ...]
) -> Callable[[], object]:
    """The function of a part of the system, warmed up: 'whole', 'detector' or 'keypoints'."""
    data, people = pathlib.Path(picture).read_bytes(), torch.tensor(boxes)
    detector = build_detector(layout, len(boxes), has_keypoint_head)
    network = build_pose_resnet50().to(memory_format=LAYOUTS[layout]).eval()

    def find_keypoints(frame: torch.Tensor) -> torch.Tensor:
        return decode_heatmaps(find_heatmaps(network, cut_crops(frame, people), layout), people)

    @torch.inference_mode()
    def run() -> object:
        frame = decode(data)
        found = detector([frame]) if part != "keypoints" else None
        return found, find_keypoints(frame) if part != "detector" else None

    counts: list[int] = []
    hook = detector.rpn.register_forward_hook(lambda module, inputs, outputs: counts.append(len(outputs[0][0])))
    found, _ = run()
    hook.remove()
    if found is not None and (counts != [NUM_PROPOSALS] or len(found[0]["boxes"]) != len(boxes)):
        raise ValueError(f"there must be {NUM_PROPOSALS} proposals and {len(boxes)} people, got {counts} and {found}")
    for _ in range(NUM_WARMUP_RUNS - 1):
        run()
    return run


def prepare(boxes: Sequence[Sequence[float]], **request: object) -> Callable[[], object]:
    """Calls `prepared` with arguments that can be keys."""
    return prepared(boxes=tuple(map(tuple, boxes)), **request)


if __name__ == "__main__":
    answer_requests(prepare)
