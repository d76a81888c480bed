"""Imports checkpoints of keypoint networks: ResNet, HRNet, PP-TinyPose and ViTPose, by the code that wrote them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from tfpose.checkpoints import RUN_CONFIG_FILE
from tfpose.crops import IMAGENET_MEAN, IMAGENET_STD
from tfpose.heatmaps import UNBIASED_DECODINGS
from tfpose.importing.config_file import check_replaceable, config_values, format_config
from tfpose.importing.family import Targets, load_checkpoint, write_network
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.importing.keypoint_findings import (
    Finding,
    config_text,
    find_decoding,
    find_input_size,
    find_normalization,
    find_reading,
    find_skeleton,
)
from tfpose.importing.keypoint_networks import Shapes
from tfpose.inference.keypoint_system import KeypointSystem, build_keypoint_system, write_keypoint_system
from tfpose.json_files import write_json, write_text
from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.download import digest_of_file
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.pose_vit import VIT_NAMES
from tfpose.pretrained.public_checkpoints import expected_scores
from tfpose.pretrained.published_names import WeightNames
from tfpose.skeletons import Skeleton

# All families enlarge boxes by a quarter.
MARGIN_SCALE = 1.25


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the publisher of a family reads the heatmaps.

    Attributes:
        channel_order: Order of the color channels of the network's input, 'rgb' or 'bgr'.
        decoding: Method that turns heatmaps into keypoints where the checkpoint does not name one.
        convention: Convention of crops for every decoding but the unbiased ones.
        blur_kernel: Size in cells of the blur of 'dark' and the unbiased decodings.
        input_size: Size (height, width) of the crops where the checkpoint does not tell it.
        clips_annotated_boxes: Whether the published scores are those of clipped annotated boxes, see `CropSettings`.
        reduces_images: Whether crops may be cut from reduced images, see `CropSettings`.
    """

    channel_order: str = "rgb"
    decoding: str = "quarter"
    convention: str = "stride"
    blur_kernel: int = 11
    input_size: tuple[int, int] = (384, 288)
    clips_annotated_boxes: bool = False
    reduces_images: bool = True


@dataclasses.dataclass(frozen=True)
class ImportedSystem:
    """A system and the sources of its settings.

    Attributes:
        system: Settings that surround the weights.
        findings: What was found, by its name.
    """

    system: KeypointSystem
    findings: Mapping[str, Finding]


@dataclasses.dataclass(frozen=True)
class KeypointFamily:
    """A family of keypoint networks, see `family.Family`.

    Attributes:
        description: Name of the network and of the code that wrote the checkpoint, for messages.
        matches: Function that returns whether a checkpoint is of this family.
        network: Name of the network in `inference.keypoint_networks.NETWORKS`.
        names: How the family names the weights.
        infer_network: Function that infers the settings of the network, see `keypoint_networks.infer_pose_resnet`.
        last_layer: Name, without the prefixes of wrappers, of the layer that writes the heatmaps.
        protocol: How the publisher reads the heatmaps.
    """

    description: str
    matches: Callable[[Checkpoint], bool]
    network: str
    names: WeightNames
    infer_network: Callable[[Shapes, str, str, ImportSettings], dict[str, Finding]]
    last_layer: str = "final_layer"
    protocol: Protocol = Protocol()

    def infer_system(self, checkpoint: Checkpoint, settings: ImportSettings) -> ImportedSystem:
        """Infers the system of a checkpoint.

        Args:
            checkpoint: The checkpoint. Its file name may tell input size, decoding, stride and dataset.
            settings: What the user says, which overrules everything else.

        Raises:
            ValueError: No known network has such tensors, or a setting does not fit; the message names it.
        """
        path, protocol = checkpoint.path, self.protocol
        name, config = path.name.lower(), config_text(checkpoint.extras)
        shapes = {self.names.canonical(key): tensor.shape for key, tensor in checkpoint.tensors.items()}
        num_joints = self._count_joints(shapes, path)
        try:
            of_network = self.infer_network(shapes, name, config, settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        findings = {
            "input size": find_input_size(name, config, settings, protocol.input_size),
            "joints": find_skeleton(path, checkpoint.extras, num_joints, settings),
            "decoding": find_decoding(name, config, settings, protocol.decoding),
        }
        values = {argument: finding.value for argument, finding in of_network.items()}
        network = {"name": self.network, "input_size": findings["input size"].value, **values}
        skeleton, decoding = findings["joints"].value, findings["decoding"].value
        reading = find_reading(config)
        changes = {key: found.value for key, found in reading.items()}, find_normalization(config)
        system = self._build_system(skeleton, network, decoding, *changes)
        return ImportedSystem(system, {**findings, **reading, **of_network})

    def convert(self, checkpoint: Checkpoint, targets: Targets, settings: ImportSettings, say: Say) -> None:
        """Writes weights, config and work folder, and says what was found and written; see `family.Family`."""
        check_replaceable(targets.config)
        imported = self.infer_system(checkpoint, settings)
        summary = _describe(checkpoint, imported)
        say(summary)
        network = build_unfilled(imported.system.build_network)
        load_checkpoint(network, checkpoint, self.names)
        write_network(network, targets)
        write_keypoint_system(targets.workdir, imported.system)
        title = f"{self.description}, imported."
        provenance = f"From {checkpoint.path.name}, SHA-256 {digest_of_file(checkpoint.path)}.\n{summary}"
        write_json(targets.workdir / RUN_CONFIG_FILE, config_values(imported.system), indent=2)
        write_text(targets.config, format_config(imported.system, title, provenance, targets.config, targets.workdir))
        say(f"written: {targets.weights}, {targets.config}, {targets.workdir}{os.sep}")
        say(f"evaluate: tfpose evaluate --config={targets.config} --workdir={targets.workdir} --output_dir=results")

    def _count_joints(self, shapes: Shapes, path: os.PathLike) -> int:
        name = f"{self.last_layer}.weight"
        shape = shapes.get(name, ())
        if len(shape) != 4 or shape[0] < 1:
            raise ValueError(
                f"{path}: {name} must have shape (joints, filters, height, width), got {shape or 'no such tensor'}"
            )
        return shape[0]

    def _build_system(
        self,
        skeleton: Skeleton,
        network: Mapping[str, object],
        decoding: str,
        reading: Mapping[str, object],
        normalization: Mapping[str, Any],
    ) -> KeypointSystem:
        protocol = self.protocol
        usual = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "channel_order": protocol.channel_order}
        return build_keypoint_system(
            skeleton,
            network=network,
            crop={
                "margin_pixels": 0.0,
                "margin_scale": MARGIN_SCALE,
                "keep_aspect": True,
                "convention": "udp" if decoding in UNBIASED_DECODINGS else protocol.convention,
                "clips_annotated_boxes": protocol.clips_annotated_boxes,
                "reduces_images": protocol.reduces_images,
            },
            normalization={**usual, **normalization},
            inference={
                "use_flip_test": len(skeleton.left_right_pairs) > 0,
                # Unbiased crops do not shift mirrored heatmaps by a cell.
                "shift_one_cell": decoding not in UNBIASED_DECODINGS,
                "decoding": decoding,
                "blur_kernel": protocol.blur_kernel,
                **reading,
            },
            selection={},
        )


def is_mmpose(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have MMPose's names of a ResNet with a heatmap head."""
    return _has_name(checkpoint, "head.", "keypoint_head.") and _has_name(checkpoint, "backbone.layer4.")


def is_microsoft(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have the names of Microsoft's code of 2018."""
    return _has_name(checkpoint, "final_layer.", "deconv_layers.") and not is_hrnet(checkpoint)


def is_hrnet(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have the names of an HRNet, in Microsoft's code or in MMPose."""
    return _has_name(checkpoint, "stage4.0.branches.", "backbone.stage4.0.branches.")


def is_tinypose(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have PaddleDetection's names of a PP-TinyPose."""
    return _has_name(checkpoint, "backbone.head_layer.projects.") and _has_name(checkpoint, "final_conv.")


def is_vitpose(checkpoint: Checkpoint) -> bool:
    """Returns whether the tensors have one of the three sets of names of a ViTPose with its decoder."""
    names = {VIT_NAMES.canonical(name) for name in checkpoint.tensors}
    return {"patches.weight", f"{HEATMAP_LAYER}.weight", "block0.norm1.weight"} <= names


def _has_name(checkpoint: Checkpoint, *starts: str) -> bool:
    return any(name.startswith(starts) for name in checkpoint.names)


def _describe(checkpoint: Checkpoint, imported: ImportedSystem) -> str:
    """Describes what was found, a line for each setting with where its value comes from."""
    system = imported.system
    shown = {
        "input size": f"{system.crop.crop_size[0]}x{system.crop.crop_size[1]}",
        "joints": f"{system.skeleton.num_joints} ({system.skeleton.name})",
    }
    lines = [
        f"network: {system.network['name']}, {system.skeleton.num_joints} heatmaps",
        f"input: {system.normalization.channel_order.upper()}, mean {system.normalization.mean}, "
        f"std {system.normalization.std}, boxes times {system.crop.margin_scale}",
        *(f"{name}: {shown.get(name, found.value)} ({found.source})" for name, found in imported.findings.items()),
    ]
    expected = expected_scores(checkpoint.path)
    return "\n".join(lines + ([f"published: {expected}"] if expected else []))
