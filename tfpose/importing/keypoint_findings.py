"""Infers what a keypoint network's checkpoint tells about the system around it: joints, input size and decoding.

A checkpoint only holds names and shapes of tensors. Its file name or the training config inside it may tell the other
settings. The import assumes the remaining settings and prints the assumptions.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfpose.crops import IMAGENET_MEAN, IMAGENET_STD
from tfpose.importing.import_settings import ImportSettings, checked_size
from tfpose.json_files import read_json
from tfpose.pretrained.named_tensors import HUB_CONFIG_FILE
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

# Sides of every network's input are multiples of this.
SIZE_MULTIPLE = 32
_SIZE_IN_NAME = re.compile(r"(?<!\d)(\d{2,4})x(\d{2,4})(?!\d)")
# Patterns in the text of an MMPose training config, which writes sizes as (width, height).
_SIZE_IN_CONFIG = re.compile(r"(?:input_size|image_size)\s*=\s*[(\[]\s*(\d+)\s*,\s*(\d+)")
# Hugging Face writes (height, width).
_SIZE_IN_HUB_CONFIG = re.compile(r'"image_size"\s*:\s*\[\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\]')
_DARK_IN_CONFIG = re.compile(r"unbiased\s*=\s*True|unbiased_decoding\s*=\s*True|post_process\s*=\s*['\"]unbiased['\"]")
# Size of the blur of DARK and UDP in MMPose 1.x and 0.x, and whether mirrored heatmaps are shifted by a cell.
_BLUR_IN_CONFIG = re.compile(r"(?:blur_kernel_size|modulate_kernel)\s*=\s*(\d{1,3})\b")
_SHIFT_IN_CONFIG = re.compile(r"shift_heatmap\s*=\s*(True|False)")
# Mean and standard deviation of the channels, of pixels from 0 to 255 or from 0 to 1, in the order of the network.
_CHANNELS = r"\s*=\s*[(\[]\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*,?\s*[)\]]"
_MEAN_IN_CONFIG, _STD_IN_CONFIG = re.compile(rf"\bmean{_CHANNELS}"), re.compile(rf"\bstd{_CHANNELS}")
_BGR_IN_CONFIG = re.compile(r"bgr_to_rgb\s*=\s*False")
# A joint in the description of a dataset that MMPose 0.x keeps in its config.
_JOINT_IN_CONFIG = re.compile(r"name\s*=\s*['\"]([^'\"]+)['\"]\s*,\s*id\s*=\s*(\d{1,4})\b")
_POSETRACK18_IN_CONFIG = re.compile(r"\w*PoseTrack18Dataset\b")
_UDP_IN_CONFIG = re.compile(r"UDPHeatmap|use_udp\s*=\s*True")


@dataclasses.dataclass(frozen=True)
class Finding:
    """The value of a setting and its source, such as 'the file name'."""

    value: Any
    source: str


def config_text(extras: Mapping[str, Any]) -> str:
    """Returns the training config that MMPose keeps in its files, or the config.json of Hugging Face; '' for none."""
    if isinstance(extras.get(HUB_CONFIG_FILE), str):
        return extras[HUB_CONFIG_FILE]
    meta = extras.get("meta")
    texts = [meta.get(key) for key in ("cfg", "config")] if isinstance(meta, dict) else []
    return next((text for text in texts if isinstance(text, str)), "")


def find_input_size(name: str, config: str, settings: ImportSettings, default: tuple[int, int]) -> Finding:
    """Finds the size (height, width) of the crops.

    Args:
        name: Name of the file in lower case.
        config: Training config in the file; '' if there is none.
        settings: What the user says.
        default: Size if nothing tells it.
    """
    if settings.input_size:
        return Finding(settings.input_size, "--input_size")
    in_hub_config = _SIZE_IN_HUB_CONFIG.search(config)
    if in_hub_config:
        return Finding(checked_size(int(in_hub_config[1]), int(in_hub_config[2])), HUB_CONFIG_FILE)
    in_config = _SIZE_IN_CONFIG.search(config)
    if in_config:
        return Finding(checked_size(int(in_config[2]), int(in_config[1])), "the config in the file")
    for match in _SIZE_IN_NAME.finditer(name):
        size = int(match[1]), int(match[2])
        if all(n % SIZE_MULTIPLE == 0 for n in size):
            return Finding(size, "the file name")
    return Finding(default, "assumed; otherwise give --input_size, such as --input_size=256x192")


def find_decoding(name: str, config: str, settings: ImportSettings, default: str) -> Finding:
    """Finds the method that turns heatmaps into keypoints; for the arguments see `find_input_size`."""
    if settings.decoding:
        return Finding(settings.decoding, "--decoding")
    for decoding, pattern in (("udp", _UDP_IN_CONFIG), ("dark", _DARK_IN_CONFIG)):
        if pattern.search(config):
            return Finding(decoding, "the config in the file")
    for decoding in ("udp", "dark"):
        if decoding in re.split(r"[^a-z]+", name):
            return Finding(decoding, "the file name")
    return Finding(default, "the family's default")


def find_reading(config: str) -> dict[str, Finding]:
    """Finds settings by which a training config reads heatmaps, by their names in `KeypointSettings`."""
    found = {}
    if match := _BLUR_IN_CONFIG.search(config):
        found["blur_kernel"] = Finding(int(match[1]), "the config in the file")
    if match := _SHIFT_IN_CONFIG.search(config):
        found["shift_one_cell"] = Finding(match[1] == "True", "the config in the file")
    return found


def find_normalization(config: str) -> dict[str, Any]:
    """Finds what a training config normalizes inputs by that is not usual, by its names in `Normalization`."""
    found: dict[str, Any] = {"channel_order": "bgr"} if _BGR_IN_CONFIG.search(config) else {}
    mean, std = _MEAN_IN_CONFIG.search(config), _STD_IN_CONFIG.search(config)
    if mean is None or std is None:
        return found
    values = np.array([mean.groups(), std.groups()], np.float64)
    values /= 255 if values.max() > 1 else 1
    if not np.allclose(values, [IMAGENET_MEAN, IMAGENET_STD], atol=1e-6):
        found |= {"mean": tuple(values[0].tolist()), "std": tuple(values[1].tolist())}
    return found


def find_skeleton(path: pathlib.Path, extras: Mapping[str, Any], num_joints: int, settings: ImportSettings) -> Finding:
    """Finds the skeleton whose joints the heatmaps stand for.

    Args:
        path: The file; its name may tell the dataset.
        extras: Content of the file beside the tensors, which may describe the dataset.
        num_joints: Number of heatmaps.
        settings: What the user says.

    Raises:
        ValueError: The user names a skeleton that is unknown or has another number of joints.
    """
    if settings.skeleton:
        return Finding(_asked_skeleton(settings.skeleton, num_joints), "--skeleton")
    described = _described_skeleton(extras, num_joints)
    if described is not None:
        return Finding(described, "the dataset described in the file")
    if num_joints == POSETRACK18.num_joints:
        if _POSETRACK18_IN_CONFIG.search(config_text(extras)):
            return Finding(POSETRACK18, "the config in the file")
        if "posetrack" in path.name.lower():
            return Finding(POSETRACK18, "the file name")
    for skeleton in (COCO17, POSETRACK15):
        if skeleton.num_joints == num_joints:
            return Finding(skeleton, "assumed from the number of joints; otherwise give --skeleton")
    names = [f"joint_{index}" for index in range(num_joints)]
    return Finding(
        skeleton_from_names("unnamed", names),
        "unknown names, so there is no flip test; name the joints with --skeleton=COCO_ANNOTATION_FILE",
    )


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
    """Returns the skeleton that MMPose describes in its files, 0.x in its config; None if there is none that fits."""
    meta = extras.get("meta")
    dataset = meta.get("dataset_meta") if isinstance(meta, dict) else None
    names = dataset.get("keypoint_id2name") if isinstance(dataset, dict) else None
    if names is None:
        names = {index: name for name, index in _JOINT_IN_CONFIG.findall(config_text(extras))}
    if not isinstance(names, dict) or sorted(map(str, names)) != sorted(map(str, range(num_joints))):
        return None
    joints = tuple(str(names[key]) for key in sorted(names, key=lambda key: int(key)))
    try:
        return KNOWN_SKELETONS.get(joints) or skeleton_from_names("from_file", joints)
    except ValueError:
        return None
