"""The PyTorch side of network_speed.py: the same network, timed on request.

It needs only torch. It reads one JSON object per line from standard input, the arguments of `prepared`, runs that case
once, and answers with {"seconds": ...}. The first request of a case also builds the network and warms it up. With
--single_thread it computes in one thread and measures the processor time of the process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch_answers import answer_requests

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
NUM_WARMUP_RUNS = 2


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


def build_network(num_joints: int = 17) -> nn.Module:
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
    return nn.Sequential(*layers, nn.Conv2d(channels, num_joints, 1))


def build_training(batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """A training step on random images."""
    network = build_network().to(memory_format=LAYOUTS[layout]).train()
    images = torch.randn(batch, 3, height, width).to(memory_format=LAYOUTS[layout])
    target = torch.rand(batch, 17, height // 4, width // 4).to(memory_format=LAYOUTS[layout])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        loss = nn.functional.mse_loss(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build_inference(batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """Inference on random images."""
    network = build_network().to(memory_format=LAYOUTS[layout]).eval()
    images = torch.randn(batch, 3, height, width).to(memory_format=LAYOUTS[layout])

    @torch.inference_mode()
    def run() -> None:
        network(images)

    return run


@functools.cache
def prepared(case: str, batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """The function of a case, warmed up."""
    build = {"training": build_training, "inference": build_inference}[case]
    run = build(batch, layout, height, width)
    for _ in range(NUM_WARMUP_RUNS):
        run()
    return run


if __name__ == "__main__":
    answer_requests(prepared)
