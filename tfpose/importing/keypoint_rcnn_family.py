"""Imports checkpoints of Keypoint R-CNN from Detectron2 and from the original Detectron."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable

from tfpose.importing.family import Targets, write_network
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.inference.keypoint_rcnn_system import write_keypoint_rcnn_settings
from tfpose.pretrained.keypoint_rcnn import read_keypoint_rcnn
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.skeletons import COCO17


@dataclasses.dataclass(frozen=True)
class KeypointRcnnFamily:
    """One of both families, see `family.Family`.

    Attributes:
        description: Name of the network and of the code that wrote the checkpoint, for messages.
        matches: Function that returns whether a checkpoint is of this family.
        is_legacy: Whether names and conventions are those of the original Detectron.
    """

    description: str
    matches: Callable[[Checkpoint], bool]
    is_legacy: bool

    def convert(self, checkpoint: Checkpoint, targets: Targets, settings: ImportSettings, say: Say) -> None:
        """Writes the weights and the work folder, and says what was found and written; see `family.Family`."""
        if settings != ImportSettings():
            raise ValueError(
                "--input_size, --stride_in, --skeleton and --decoding cannot be combined with a Keypoint R-CNN"
            )
        network, variant = read_keypoint_rcnn(checkpoint, self.is_legacy)
        say(
            f"network: {variant.name}, {network.settings.num_joints} joints\n"
            f"input: BGR, mean {variant.pixel_mean}, std {variant.pixel_std}\n"
            f"stride in: the {variant.stride_in} convolutions of bottlenecks"
        )
        if self.is_legacy:
            say("conventions: those of Detectron (boxes of whole pixels, rounded anchors, features half a cell off)")
        write_network(network, targets)
        # Detectron's networks of people find the joints of COCO.
        is_coco = network.settings.num_joints == COCO17.num_joints
        write_keypoint_rcnn_settings(targets.workdir, network.settings, COCO17 if is_coco else None)
        say(f"written: {targets.weights}, {targets.workdir}{os.sep}")


def is_detectron(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors are blobs with Caffe2's names."""
    # Plain pickles of ImageNet networks keep their blobs without a wrapper.
    return checkpoint.wrapper == "blobs" or any(re.fullmatch(r"conv_rpn_fpn\d+_w", name) for name in checkpoint.names)


def is_detectron2(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have Detectron2's names."""
    return any(name.startswith(("backbone.bottom_up.", "roi_heads.")) for name in checkpoint.names)
