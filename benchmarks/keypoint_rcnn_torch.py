"""The PyTorch side of keypoint_rcnn.py: the parts of the network that are convolutions, timed on request.

It needs only torch. It reads one JSON object per line from standard input, {"model": ..., "part": ..., "num_people":
...}, runs that part once, and answers with {"seconds": ...}. The first request of a part also builds the part and warms
it up. With --single_thread it computes in one thread and measures the processor time of the process.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch_answers import answer_requests

IMAGE_SIZE = (800, 1216)
BLOCKS = {"R50": (3, 4, 6, 3), "X101": (3, 4, 23, 3)}
# Channels of the 3x3 convolutions of the first stage, and their groups.
INNER = {"R50": (64, 1), "X101": (256, 32)}
WIDTH = 256
NUM_PROPOSALS = 1000
NUM_WARMUP_RUNS = 2


class Bottleneck(nn.Module):
    """1x1, grouped 3x3, 1x1, each with a frozen normalization, around a shortcut."""

    def __init__(self, channels: int, inner: int, outer: int, stride: int, groups: int) -> None:
        super().__init__()
        first, second = (stride, 1) if groups == 1 else (1, stride)
        self.branch = nn.Sequential(
            *convolution(channels, inner, 1, first),
            nn.ReLU(inplace=True),
            *convolution(inner, inner, 3, second, groups),
            nn.ReLU(inplace=True),
            *convolution(inner, outer, 1),
        )
        self.shortcut = nn.Sequential()
        if channels != outer:
            self.shortcut = nn.Sequential(*convolution(channels, outer, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the block."""
        return self.relu(self.branch(x) + self.shortcut(x))


def convolution(channels: int, filters: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution with batch normalization."""
    return [
        nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    ]


class Trunk(nn.Module):
    """The residual network and the feature pyramid."""

    def __init__(self, model: str) -> None:
        super().__init__()
        inner, groups = INNER[model]
        self.stem = nn.Sequential(*convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.stages, self.laterals, self.outputs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 64
        for stage, num_blocks in enumerate(BLOCKS[model]):
            blocks = []
            for block in range(num_blocks):
                outer, stride = WIDTH * 2**stage, 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(channels, inner * 2**stage, outer, stride, groups))
                channels = outer
            self.stages.append(nn.Sequential(*blocks))
            self.laterals.append(nn.Conv2d(channels, WIDTH, 1))
            self.outputs.append(nn.Conv2d(WIDTH, WIDTH, 3, padding=1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The levels of the pyramid."""
        x = self.stem(x)
        sums = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            sums.append(lateral(x))
        for index in reversed(range(len(sums) - 1)):
            sums[index] = sums[index] + nn.functional.interpolate(sums[index + 1], scale_factor=2)
        levels = [output(values) for output, values in zip(self.outputs, sums, strict=True)]
        return [*levels, levels[-1][:, :, ::2, ::2]]


class ProposalHead(nn.Module):
    """Scores and box offsets of the anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True))
        self.outputs = nn.ModuleList([nn.Conv2d(WIDTH, 3, 1), nn.Conv2d(WIDTH, 12, 1)])

    def forward(self, *levels: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of every level."""
        hidden = [self.hidden(level) for level in levels]
        return [output(values) for values in hidden for output in self.outputs]


def box_head() -> nn.Module:
    """The layers that classify and refine boxes."""
    widths = (49 * WIDTH, 1024, 1024)
    layers = [(nn.Linear(*pair), nn.ReLU(inplace=True)) for pair in itertools.pairwise(widths)]
    return nn.Sequential(*(layer for pair in layers for layer in pair), nn.Linear(1024, 6))


def keypoint_head() -> nn.Module:
    """The layers that find the keypoints of people."""
    layers: list[nn.Module] = []
    for index in range(8):
        layers += [nn.Conv2d(WIDTH if index == 0 else 512, 512, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(512, 17, 4, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"))


@functools.cache
def prepared(model: str, part: str, num_people: int) -> Callable[[], None]:
    """The function of a part, warmed up."""
    height, width = IMAGE_SIZE
    levels = [torch.randn(1, WIDTH, -(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32, 64)]
    network, inputs = {
        "trunk": lambda: (Trunk(model), [torch.randn(1, 3, height, width)]),
        "proposal_head": lambda: (ProposalHead(), levels),
        "box_head": lambda: (box_head(), [torch.randn(NUM_PROPOSALS, 49 * WIDTH)]),
        "keypoint_head": lambda: (keypoint_head(), [torch.randn(num_people, WIDTH, 14, 14)]),
    }[part]()
    network.eval()

    @torch.inference_mode()
    def run() -> None:
        network(*inputs)

    for _ in range(NUM_WARMUP_RUNS):
        run()
    return run


if __name__ == "__main__":
    answer_requests(prepared)
