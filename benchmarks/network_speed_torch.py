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
from torch_networks import NETWORKS

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
NUM_WARMUP_RUNS = 2


def build_training(network: str, batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """A training step on random images."""
    model = NETWORKS[network]().to(memory_format=LAYOUTS[layout]).train()
    images = torch.randn(batch, 3, height, width).to(memory_format=LAYOUTS[layout])
    target = torch.rand(batch, 17, height // 4, width // 4).to(memory_format=LAYOUTS[layout])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        loss = nn.functional.mse_loss(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build_inference(network: str, batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """Inference on random images."""
    model = NETWORKS[network]().to(memory_format=LAYOUTS[layout]).eval()
    images = torch.randn(batch, 3, height, width).to(memory_format=LAYOUTS[layout])

    @torch.inference_mode()
    def run() -> None:
        model(images)

    return run


@functools.cache
def prepared(case: str, network: str, batch: int, layout: str, height: int, width: int) -> Callable[[], None]:
    """The function of a case, warmed up."""
    build = {"training": build_training, "inference": build_inference}[case]
    run = build(network, batch, layout, height, width)
    for _ in range(NUM_WARMUP_RUNS):
        run()
    return run


if __name__ == "__main__":
    answer_requests(prepared)
