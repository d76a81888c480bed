"""Imports checkpoints of PicoDet from PaddleDetection."""

from __future__ import annotations

import dataclasses
import os
import re

from tfpose.importing.family import Targets, load_checkpoint, write_network
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.inference.picodet_system import PicodetSettings, write_picodet_settings
from tfpose.models.picodet import PICODET_STRIDES, PUBLISHED_SCALE, scaled_channels
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.picodet import PICODET_NAMES

# The published factors of PP-LCNet's channels.
_SCALES = (PUBLISHED_SCALE, 0.25, 0.35, 0.5, 1.0, 1.5, 2.0, 2.5)
_LAST_CHANNELS = 512
_SIZE_IN_NAME = re.compile(r"picodet_[a-z]+_(\d{2,4})")
_DEFAULT_SIZE = 320


@dataclasses.dataclass(frozen=True)
class PicodetFamily:
    """PicoDet with LCNet for one class of objects, people; see `family.Family`."""

    description: str = "PicoDet with LCNet of PaddleDetection, for pedestrians"

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Returns whether the tensors have PaddleDetection's names of a PicoDet."""
        return any(name.startswith("head.head_cls0.") for name in checkpoint.names)

    def convert(self, checkpoint: Checkpoint, targets: Targets, settings: ImportSettings, say: Say) -> None:
        """Writes the weights and the work folder, and says what was found and written; see `family.Family`."""
        if settings != dataclasses.replace(ImportSettings(), input_size=settings.input_size):
            raise ValueError("--stride_in, --skeleton and --decoding cannot be combined with a PicoDet")
        described, source = _infer_settings(checkpoint, settings)
        height, width = described.input_size
        say(f"input: RGB, stretched to {height}x{width} ({source})")
        network = build_unfilled(described.build_network)
        load_checkpoint(network, checkpoint, PICODET_NAMES)
        write_network(network, targets)
        write_picodet_settings(targets.workdir, described)
        say(f"written: {targets.weights}, {targets.workdir}{os.sep}")


def _infer_settings(checkpoint: Checkpoint, settings: ImportSettings) -> tuple[PicodetSettings, str]:
    """Returns the settings of the network, and the source of its input size."""
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    has_lcnet = any(name.startswith("backbone.blocks2.") for name in shapes)
    if not has_lcnet or "head.cls_align.0.dwconv.weight" not in shapes:
        raise ValueError(
            f"{checkpoint.path}: tensors must be those of a PicoDet with LCNet and an aligned head "
            "(picodet_*_lcnet_pedestrian), got an older kind of PicoDet"
        )
    width = shapes.get("neck.conv_t.convs.0.conv.weight", (0,))[0]
    last = shapes.get("backbone.blocks6.1.pw_conv.conv.weight", (0,))[0]
    scale = next((scale for scale in _SCALES if scaled_channels(_LAST_CHANNELS, scale) == last), None)
    if scale is None or width < 1:
        raise ValueError(f"{checkpoint.path}: backbone must have a published width, got {last} channels at its end")
    if settings.input_size:
        size, source = settings.input_size, "--input_size"
    else:
        match = _SIZE_IN_NAME.search(checkpoint.path.name.lower())
        side = int(match[1]) if match else _DEFAULT_SIZE
        size, source = (side, side), "the file name" if match else "assumed; otherwise give --input_size=192x192"
    if any(side % PICODET_STRIDES[-1] for side in size):
        raise ValueError(f"{checkpoint.path}: input size must be in multiples of {PICODET_STRIDES[-1]}, got {size}")
    return PicodetSettings(input_size=size, width=width, scale=scale), source
