"""Infers the system around an imported pose_resnet: network, skeleton, input and decoding.

A checkpoint only holds names and shapes of tensors. Its family fixes the order of color channels (BGR in Microsoft's
code, RGB in MMPose). Its file name or the training config inside it may tell the other settings. What nothing tells is
assumed, and the import prints the assumption.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from tfpose.crops import IMAGENET_MEAN, IMAGENET_STD
from tfpose.importing.import_settings import ImportSettings, checked_size
from tfpose.inference.keypoint_system import KeypointSystem, build_keypoint_system
from tfpose.json_files import read_json
from tfpose.models.pose_resnet import BASIC_BLOCK_DEPTHS, BLOCKS_PER_STAGE, INPUT_STRIDE
from tfpose.pretrained.named_tensors import Checkpoint
from tfpose.pretrained.pose_resnet import canonical_torch_name
from tfpose.skeletons import (
    COCO17,
    KNOWN_SKELETONS,
    POSETRACK15,
    POSETRACK18,
    SKELETONS_BY_NAME,
    Skeleton,
    skeleton_from_coco_category,
    skeleton_from_names,
)

PUBLISHED_BASE_WIDTH = 64
PUBLISHED_DECONV_FILTERS = 256
DEFAULT_INPUT_SIZE = (384, 288)
# Both families enlarge boxes by a quarter.
MARGIN_SCALE = 1.25
# Both families blur heatmaps with a kernel of 11 cells for any sigma of the targets.
DARK_BLUR_KERNEL = 11
_SIZE_IN_NAME = re.compile(r"(?<!\d)(\d{2,4})x(\d{2,4})(?!\d)")
# Patterns in the text of an MMPose training config, which writes sizes as (width, height).
_SIZE_IN_CONFIG = re.compile(r"(?:input_size|image_size)\s*=\s*[(\[]\s*(\d+)\s*,\s*(\d+)")
_CAFFE_IN_CONFIG = re.compile(r"style\s*=\s*['\"]caffe['\"]")
_DARK_IN_CONFIG = re.compile(r"unbiased\s*=\s*True|unbiased_decoding\s*=\s*True|post_process\s*=\s*['\"]unbiased['\"]")
_UDP_IN_CONFIG = re.compile(r"UDPHeatmap|use_udp\s*=\s*True")


@dataclasses.dataclass(frozen=True)
class Finding:
    """The value of a setting and its source, such as 'the file name'."""

    value: Any
    source: str


@dataclasses.dataclass(frozen=True)
class ImportedSystem:
    """A system and the sources of its settings.

    Attributes:
        system: Settings that surround the weights.
        findings: Findings by 'input size', 'stride in', 'joints' and 'decoding'.
    """

    system: KeypointSystem
    findings: Mapping[str, Finding]


def infer_system(checkpoint: Checkpoint, channel_order: str, settings: ImportSettings) -> ImportedSystem:
    """Infers the system of a checkpoint of Microsoft's code or of MMPose.

    Args:
        checkpoint: The checkpoint. Its file name may tell input size, decoding, stride and dataset.
        channel_order: Order of the color channels of the network's input, 'rgb' or 'bgr'.
        settings: What the user says, which overrules everything else.

    Raises:
        ValueError: No known network has such tensors, or a setting does not fit; the message names it.
    """
    path = checkpoint.path
    shapes = {canonical_torch_name(name): tensor.shape for name, tensor in checkpoint.tensors.items()}
    num_joints = _count_joints(path, shapes)
    config = _config_text(checkpoint.extras)
    name = path.name.lower()
    findings = {
        "input size": _find_input_size(name, config, settings),
        "stride in": _find_stride(name, config, settings),
        "joints": _find_skeleton(path, checkpoint.extras, num_joints, settings),
        "decoding": _find_decoding(name, config, settings),
    }
    skeleton, decoding = findings["joints"].value, findings["decoding"].value
    system = build_keypoint_system(
        skeleton,
        network={
            "depth": _infer_depth(path, shapes),
            "input_size": findings["input size"].value,
            "stride_in": findings["stride in"].value,
            "base_width": _usual_or_found(PUBLISHED_BASE_WIDTH, shapes, ("conv1.weight", 0), ("layer1.0.bn1.bias", 0)),
            "deconv_filters": _usual_or_found(
                PUBLISHED_DECONV_FILTERS, shapes, ("deconv_layers.0.weight", 1), ("deconv_layers.1.bias", 0)
            ),
        },
        crop={
            "margin_pixels": 0.0,
            "margin_scale": MARGIN_SCALE,
            "keep_aspect": True,
            "convention": "udp" if decoding == "udp" else "stride",
        },
        normalization={
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "channel_order": channel_order,
        },
        inference={
            "use_flip_test": _can_flip(skeleton),
            # Unbiased crops ('udp') do not shift mirrored heatmaps by a cell.
            "shift_one_cell": decoding != "udp",
            "decoding": decoding,
            "blur_kernel": DARK_BLUR_KERNEL,
        },
        selection={},
    )
    return ImportedSystem(system, findings)


def _count_joints(path: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> int:
    shape = shapes.get("final_layer.weight", ())
    if len(shape) != 4 or shape[0] < 1:
        found = shape or "no such tensor"
        raise ValueError(f"{path}: final_layer.weight must have shape (joints, filters, 1, 1), got {found}")
    return shape[0]


def _infer_depth(path: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Infers the depth from the number of blocks of each stage."""
    matches = [re.match(r"layer([1-4])\.(\d{1,3})\.", name) for name in shapes]
    blocks = {(int(match[1]), int(match[2])) for match in matches if match}
    counts = tuple(max((index + 1 for stage, index in blocks if stage == s), default=0) for s in (1, 2, 3, 4))
    is_bottleneck = any(re.match(r"layer\d\.\d+\.conv3\.", name) for name in shapes)
    for depth, expected in BLOCKS_PER_STAGE.items():
        if counts == expected and is_bottleneck == (depth not in BASIC_BLOCK_DEPTHS):
            return depth
    known = ", ".join(f"{expected} of depth {depth}" for depth, expected in BLOCKS_PER_STAGE.items())
    raise ValueError(
        f"{path}: blocks per stage must be those of a ResNet ({known}), got {counts} "
        f"{'bottlenecks' if is_bottleneck else 'basic blocks'}"
    )


def _usual_or_found(usual: int, shapes: Mapping[str, tuple[int, ...]], *places: tuple[str, int]) -> int:
    """Returns the published size if one of the places has it, so that a wrong tensor at the other one is reported."""
    sizes = [shapes[name][axis] for name, axis in places if len(shapes.get(name, ())) > axis]
    return usual if usual in sizes or not sizes else max(sizes[0], 1)


def _config_text(extras: Mapping[str, Any]) -> str:
    """Returns the training config that MMPose keeps in its files; '' if there is none."""
    meta = extras.get("meta")
    texts = [meta.get(key) for key in ("cfg", "config")] if isinstance(meta, dict) else []
    return next((text for text in texts if isinstance(text, str)), "")


def _find_input_size(name: str, config: str, settings: ImportSettings) -> Finding:
    if settings.input_size:
        return Finding(settings.input_size, "--input_size")
    in_config = _SIZE_IN_CONFIG.search(config)
    if in_config:
        return Finding(checked_size(int(in_config[2]), int(in_config[1])), "the config in the file")
    for match in _SIZE_IN_NAME.finditer(name):
        size = int(match[1]), int(match[2])
        if all(n % INPUT_STRIDE == 0 for n in size):
            return Finding(size, "the file name")
    return Finding(DEFAULT_INPUT_SIZE, "assumed; otherwise give --input_size=256x192")


def _find_stride(name: str, config: str, settings: ImportSettings) -> Finding:
    if settings.stride_in:
        return Finding(settings.stride_in, "--stride_in")
    if _CAFFE_IN_CONFIG.search(config):
        return Finding("1x1", "the config in the file")
    if "caffe" in name:
        return Finding("1x1", "the file name")
    return Finding("3x3", "the family's default; for a network of Caffe style give --stride_in=1x1")


def _find_decoding(name: str, config: str, settings: ImportSettings) -> Finding:
    if settings.decoding:
        return Finding(settings.decoding, "--decoding")
    for decoding, pattern in (("udp", _UDP_IN_CONFIG), ("dark", _DARK_IN_CONFIG)):
        if pattern.search(config):
            return Finding(decoding, "the config in the file")
    for decoding in ("udp", "dark"):
        if decoding in re.split(r"[^a-z]+", name):
            return Finding(decoding, "the file name")
    return Finding("quarter", "the family's default")


def _find_skeleton(path: pathlib.Path, extras: Mapping[str, Any], num_joints: int, settings: ImportSettings) -> Finding:
    if settings.skeleton:
        return Finding(_asked_skeleton(settings.skeleton, num_joints), "--skeleton")
    described = _described_skeleton(extras, num_joints)
    if described is not None:
        return Finding(described, "the dataset described in the file")
    if num_joints == POSETRACK18.num_joints and "posetrack" in path.name.lower():
        return Finding(POSETRACK18, "the file name")
    for skeleton in (COCO17, POSETRACK15):
        if skeleton.num_joints == num_joints:
            return Finding(skeleton, "assumed from the number of joints; otherwise give --skeleton")
    names = [f"joint_{index}" for index in range(num_joints)]
    return Finding(
        skeleton_from_names("unnamed", names),
        "unknown names, so there is no flip test; name the joints with --skeleton=COCO_ANNOTATION_FILE",
    )


def _can_flip(skeleton: Skeleton) -> bool:
    return len(skeleton.left_right_pairs) > 0


def _asked_skeleton(name: str, num_joints: int) -> Skeleton:
    known = SKELETONS_BY_NAME
    skeleton = known[name] if name in known else _read_skeleton(name, known)
    if skeleton.num_joints != num_joints:
        raise ValueError(
            f"--skeleton must have {num_joints} joints like the heatmaps, got {name} with {skeleton.num_joints} joints"
        )
    return skeleton


def _read_skeleton(path: str, known: Mapping[str, Skeleton]) -> Skeleton:
    """Reads the skeleton of the first category with joints in a COCO annotation file."""
    if not pathlib.Path(path).is_file():
        raise ValueError(f"--skeleton must be one of {', '.join(known)}, or a COCO annotation file, got {path!r}")
    content = read_json(path)
    categories = content.get("categories") if isinstance(content, dict) else None
    for category in categories if isinstance(categories, list) else []:
        if isinstance(category, dict) and category.get("keypoints"):
            return skeleton_from_coco_category(category)
    raise ValueError(f"{path}: 'categories' must contain one with 'keypoints', got none")


def _described_skeleton(extras: Mapping[str, Any], num_joints: int) -> Skeleton | None:
    """Returns the skeleton that MMPose 1.x describes in its files; None if there is none that fits."""
    meta = extras.get("meta")
    dataset = meta.get("dataset_meta") if isinstance(meta, dict) else None
    names = dataset.get("keypoint_id2name") if isinstance(dataset, dict) else None
    if not isinstance(names, dict) or sorted(map(str, names)) != sorted(map(str, range(num_joints))):
        return None
    joints = tuple(str(names[key]) for key in sorted(names, key=lambda key: int(key)))
    try:
        return KNOWN_SKELETONS.get(joints) or skeleton_from_names("from_file", joints)
    except ValueError:
        return None
