"""The networks of network_speed.py in PyTorch; they need only torch, and ViTPose the package transformers too."""

from __future__ import annotations

import functools

import torch
from torch import nn

NUM_JOINTS = 17
HRNET_MODULES = (1, 4, 3)
HRNET_BLOCKS = 4
# The rate of the last block in training, as in configs/two_stage_vitpose_base_coco.py.
DROP_PATH_RATE = 0.3


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1, each with batch normalization, around a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *convolution(channels, width, 1),
            nn.ReLU(inplace=True),
            *convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *convolution(width, 4 * width, 1),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != 4 * width:
            self.shortcut = nn.Sequential(*convolution(channels, 4 * width, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the block."""
        return self.relu(self.branch(x) + self.shortcut(x))


def convolution(channels: int, filters: int, size: int, stride: int = 1) -> list[nn.Module]:
    """A convolution with batch normalization."""
    return [
        nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(filters),
    ]


def build_pose_resnet50() -> nn.Module:
    """ResNet-50 with three transposed convolutions (Xiao et al., 2018)."""
    layers = [*convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, num_blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(num_blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Bottleneck(channels, width, stride))
            channels = 4 * width
    for _ in range(3):
        layers += [
            nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
        ]
        channels = 256
    return nn.Sequential(*layers, nn.Conv2d(channels, NUM_JOINTS, 1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalization around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = convolution(channels, channels, 3), convolution(channels, channels, 3)
        self.branch = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the block."""
        return self.relu(self.branch(x) + x)


class BranchModule(nn.Module):
    """Residual blocks on each branch, then the sum of all branches at the size of each target."""

    def __init__(self, widths: list[int], num_targets: int) -> None:
        super().__init__()
        blocks = [nn.Sequential(*(BasicBlock(width) for _ in range(HRNET_BLOCKS))) for width in widths]
        self.branches = nn.ModuleList(blocks)
        paths = [[exchange(widths, i, k) for i in range(len(widths))] for k in range(num_targets)]
        self.paths = nn.ModuleList(nn.ModuleList(row) for row in paths)

    def forward(self, branches: list[torch.Tensor]) -> list[torch.Tensor]:
        """The branches after the exchange."""
        outputs = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [torch.relu(sum(path(x) for path, x in zip(row, outputs, strict=True))) for row in self.paths]


class PoseHrnet(nn.Module):
    """HRNet (Sun et al., 2019) with heatmaps on the largest branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        stem = [*convolution(3, 64, 3, 2), nn.ReLU(inplace=True), *convolution(64, 64, 3, 2), nn.ReLU(inplace=True)]
        self.stem = nn.Sequential(*stem, *(Bottleneck(64 if block == 0 else 256, 64, 1) for block in range(4)))
        self.transitions, self.stages = nn.ModuleList(), nn.ModuleList()
        before = [256]
        for stage, num_modules in enumerate(HRNET_MODULES):
            widths = [width * 2**branch for branch in range(stage + 2)]
            self.transitions.append(nn.ModuleList(transition(before, widths, branch) for branch in range(stage + 2)))
            is_last_stage = stage == len(HRNET_MODULES) - 1
            targets = [1 if is_last_stage and i == num_modules - 1 else stage + 2 for i in range(num_modules)]
            self.stages.append(nn.ModuleList(BranchModule(widths, num_targets) for num_targets in targets))
            before = widths
        self.head = nn.Conv2d(width, NUM_JOINTS, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps at a quarter of the size."""
        branches = [self.stem(images)]
        for layers, modules in zip(self.transitions, self.stages, strict=True):
            branches = [layer(branches[min(i, len(branches) - 1)]) for i, layer in enumerate(layers)]
            for module in modules:
                branches = module(branches)
        return self.head(branches[0])


def transition(before: list[int], widths: list[int], branch: int) -> nn.Module:
    """Brings a branch to its width, or starts it from the smallest one before."""
    source = before[min(branch, len(before) - 1)]
    if branch < len(before) and source == widths[branch]:
        return nn.Identity()
    stride = 1 if branch < len(before) else 2
    return nn.Sequential(*convolution(source, widths[branch], 3, stride), nn.ReLU(inplace=True))


def exchange(widths: list[int], source: int, target: int) -> nn.Module:
    """Brings a branch to the size and width of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        scale = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*convolution(widths[source], widths[target], 1), scale)
    layers = []
    for step in range(target - source):
        is_last = step == target - source - 1
        layers += convolution(widths[source], widths[target if is_last else source], 3, 2)
        layers += [] if is_last else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class HeatmapsOnly(nn.Module):
    """A network of transformers that returns its heatmaps alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps [B, J, h, w]."""
        return self.network(images).heatmaps


def build_pose_vit_base() -> nn.Module:
    """ViTPose-B of the package transformers with the classic decoder (Xu et al., 2022)."""
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    backbone = VitPoseBackboneConfig(image_size=[256, 192], out_indices=[12])
    config = VitPoseConfig(backbone_config=backbone, num_labels=NUM_JOINTS, use_simple_decoder=False)
    return HeatmapsOnly(VitPoseForPoseEstimation(config))


def build_pose_vit_base_training() -> nn.Module:
    """The same with the published stochastic depth of training: 0 in the first block to `DROP_PATH_RATE` in the last.

    As in the usual PyTorch layers, what an example skips is computed and multiplied by zero.
    """
    model = build_pose_vit_base()
    blocks = [module for module in model.modules() if type(module).__name__ == "VitPoseBackboneLayer"]
    for index, block in enumerate(blocks):
        drop = functools.partial(drop_examples, DROP_PATH_RATE * index / (len(blocks) - 1))
        block.attention.register_forward_hook(drop)
        block.mlp.register_forward_hook(drop)
    return model


def drop_examples(rate: float, module: nn.Module, _: object, outputs: torch.Tensor) -> torch.Tensor:
    """Multiplies the outputs of a part of a block by 0 or 1 / (1 - rate), drawn for each example."""
    if not module.training or not rate:
        return outputs
    is_kept = torch.rand(len(outputs), 1, 1) >= rate
    return outputs * (is_kept / (1 - rate))


NETWORKS = {
    "pose_resnet50": build_pose_resnet50,
    "pose_vit_base": build_pose_vit_base,
    "pose_vit_base_training": build_pose_vit_base_training,
    "pose_hrnet_w32": lambda: PoseHrnet(32),
    "pose_hrnet_w48": lambda: PoseHrnet(48),
}
