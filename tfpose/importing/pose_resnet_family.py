"""Imports checkpoints of ResNets with a heatmap head from Microsoft's code and from MMPose."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from tfpose.importing.config_file import check_replaceable, format_config
from tfpose.importing.family import Targets, write_network
from tfpose.importing.import_settings import ImportSettings
from tfpose.importing.pose_resnet_system import ImportedSystem, infer_system
from tfpose.inference.keypoint_system import write_keypoint_system
from tfpose.json_files import write_text
from tfpose.pretrained.checkpoint_files import read_arrays
from tfpose.pretrained.download import sha256_of_file
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.pose_resnet import load_torch_arrays
from tfpose.pretrained.public_checkpoints import expected_scores


@dataclasses.dataclass(frozen=True)
class PoseResnetFamily:
    """One of both families, see `family.Family`.

    Attributes:
        description: Name of the network and of the code that wrote the checkpoint, for messages.
        matches: Function that returns whether a checkpoint is of this family.
        channel_order: Order of the color channels of the network's input, 'rgb' or 'bgr'.
    """

    description: str
    matches: Callable[[Checkpoint], bool]
    channel_order: str

    def convert(self, checkpoint: Checkpoint, targets: Targets, settings: ImportSettings) -> None:
        """Writes weights, config and work folder, and prints what was found and written; see `family.Family`."""
        check_replaceable(targets.config)
        imported = infer_system(checkpoint, self.channel_order, settings)
        summary = _describe(checkpoint, imported)
        print(summary)
        network = imported.system.build_network()
        arrays = read_arrays(checkpoint.path, checkpoint.tensors)
        try:
            load_torch_arrays(network, arrays)
        except ValueError as error:
            raise ValueError(f"{checkpoint.path}: {error}") from error
        write_network(network, targets)
        write_keypoint_system(targets.workdir, imported.system)
        title = f"{self.description}, imported."
        provenance = f"From {checkpoint.path.name}, SHA-256 {sha256_of_file(checkpoint.path)}.\n{summary}"
        write_text(targets.config, format_config(imported.system, title, provenance, targets.config, targets.workdir))
        print(f"written: {targets.weights}, {targets.config}, {targets.workdir}{os.sep}")
        print(f"evaluate: tfpose evaluate --config={targets.config} --workdir={targets.workdir} --output_dir=results")


def is_mmpose(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have MMPose's names."""
    return _has_name(checkpoint, "head.", "keypoint_head.") and _has_name(checkpoint, "backbone.")


def is_microsoft(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have the names of Microsoft's code."""
    return _has_name(checkpoint, "final_layer.", "deconv_layers.")


def _has_name(checkpoint: Checkpoint, *starts: str) -> bool:
    return any(name.startswith(starts) for name in checkpoint.names)


def _describe(checkpoint: Checkpoint, imported: ImportedSystem) -> str:
    """Describes what was found, a line for each setting with where its value comes from."""
    system = imported.system
    height, width = system.crop.crop_size
    values = {
        "input size": f"{height}x{width}",
        "stride in": f"the {system.network['stride_in']} convolutions of bottlenecks",
        "joints": f"{system.skeleton.num_joints} ({system.skeleton.name})",
        "decoding": system.keypoints.decoding,
    }
    lines = [
        f"network: ResNet-{system.network['depth']}, {system.skeleton.num_joints} heatmaps",
        f"input: {system.normalization.channel_order.upper()}, mean {system.normalization.mean}, "
        f"std {system.normalization.std}, boxes times {system.crop.margin_scale}",
        *(f"{name}: {value} ({imported.findings[name].source})" for name, value in values.items()),
    ]
    expected = expected_scores(checkpoint.path)
    return "\n".join(lines + ([f"published: {expected}"] if expected else []))
