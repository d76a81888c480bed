"""The settings of published keypoint networks, as the shapes of their tensors tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tfpose.importing.import_settings import ImportSettings
from tfpose.importing.keypoint_findings import Finding
from tfpose.models.pose_hrnet import FIRST_STAGE_WITH_BRANCHES
from tfpose.models.pose_resnet import BASIC_BLOCK_DEPTHS, BLOCKS_PER_STAGE
from tfpose.models.pose_vit import PUBLISHED_SIZES

Shapes = Mapping[str, tuple[int, ...]]

_PUBLISHED_BASE_WIDTH = 64
_PUBLISHED_DECONV_FILTERS = 256
# In the config.json of Hugging Face.
_NUM_HEADS_IN_CONFIG = re.compile(r'"num_attention_heads"\s*:\s*(\d{1,3})\b')
_NORM_EPSILON_IN_CONFIG = re.compile(r'"layer_norm_eps"\s*:\s*([0-9.eE+-]{1,20})')
_PUBLISHED_NORM_EPSILON = 1e-6
_CAFFE_IN_CONFIG = re.compile(r"style\s*=\s*['\"]caffe['\"]")


def infer_pose_resnet(shapes: Shapes, name: str, config: str, settings: ImportSettings) -> dict[str, Finding]:
    """Infers the settings of `build_pose_resnet`.

    Args:
        shapes: Shapes of the tensors by their names without the prefixes of wrappers.
        name: Name of the file in lower case.
        config: Training config in the file; '' if there is none.
        settings: What the user says.

    Returns:
        Findings by the arguments of the build function.

    Raises:
        ValueError: No such network has these tensors; the message names them.
    """
    base_width = _usual_or_found(_PUBLISHED_BASE_WIDTH, shapes, ("conv1.weight", 0), ("layer1.0.bn1.bias", 0))
    filters = _usual_or_found(
        _PUBLISHED_DECONV_FILTERS, shapes, ("deconv_layers.0.weight", 1), ("deconv_layers.1.bias", 0)
    )
    return {
        "depth": Finding(_infer_depth(shapes), "the tensors"),
        "stride_in": _find_stride(name, config, settings),
        "base_width": Finding(base_width, "the tensors"),
        "deconv_filters": Finding(filters, "the tensors"),
    }


def infer_pose_hrnet(shapes: Shapes, name: str, config: str, settings: ImportSettings) -> dict[str, Finding]:
    """Infers the settings of `build_pose_hrnet`; for the arguments see `infer_pose_resnet`."""
    width = shapes.get("stage2.0.branches.0.0.conv1.weight", (0,))[0]
    first = FIRST_STAGE_WITH_BRANCHES
    modules = tuple(_count(rf"stage{stage}\.(\d+)\.", shapes) for stage in range(first, first + 3))
    blocks = _count(r"stage2\.0\.branches\.0\.(\d+)\.", shapes)
    if not width or not blocks or not all(modules):
        raise ValueError("tensors must be those of an HRNet with branches in stages 2, 3 and 4, got others")
    values = {"width": width, "modules": modules, "blocks_per_branch": blocks}
    return {argument: Finding(value, "the tensors") for argument, value in values.items()}


def infer_tinypose(shapes: Shapes, name: str, config: str, settings: ImportSettings) -> dict[str, Finding]:
    """Infers the settings of `build_tinypose`; for the arguments see `infer_pose_resnet`."""
    half = shapes.get("stage0.0.layers.0.0.branch2.0.conv.weight", (0,))[0]
    modules = tuple(_count(rf"stage{stage}\.(\d+)\.", shapes) for stage in range(3))
    units = _count(r"stage0\.0\.layers\.0\.(\d+)\.", shapes)
    if not half or not units or not all(modules):
        raise ValueError("tensors must be those of a PP-TinyPose with three stages of shuffle units, got others")
    values = {"width": 2 * half, "modules": modules, "units_per_branch": units}
    return {argument: Finding(value, "the tensors") for argument, value in values.items()}


def infer_pose_vit(shapes: Shapes, name: str, config: str, settings: ImportSettings) -> dict[str, Finding]:
    """Infers the settings of `build_pose_vit`; for the arguments see `infer_pose_resnet`."""
    width = shapes.get("patches.weight", (0,))[0]
    depth = _count(r"block(\d+)\.", shapes)
    if not width or not depth:
        raise ValueError("tensors must be those of a ViTPose with patches and blocks, got others")
    num_experts = _count(r"block0\.expert(\d+)\.", shapes)
    is_simple = "deconv1_conv.weight" not in shapes
    values = {
        "width": width,
        "depth": depth,
        "decoder": "simple" if is_simple else "classic",
        "num_experts": num_experts,
        "expert_width": shapes.get("block0.expert0.weight", (0,))[0],
    }
    return {
        **{argument: Finding(value, "the tensors") for argument, value in values.items()},
        "num_heads": _find_num_heads(width, config),
        "norm_epsilon": _find_norm_epsilon(shapes, config),
    }


def _find_num_heads(width: int, config: str) -> Finding:
    """Finds the number of heads, which no tensor tells."""
    if found := _NUM_HEADS_IN_CONFIG.search(config):
        return Finding(int(found[1]), "the config")
    published = {size: num_heads for size, _, num_heads in PUBLISHED_SIZES.values()}
    if width not in published:
        raise ValueError(
            f"num_attention_heads must be in a config.json beside the file, because no published ViTPose is {width} "
            "channels wide, got no such file"
        )
    return Finding(published[width], f"the published network of width {width}")


def _find_norm_epsilon(shapes: Shapes, config: str) -> Finding:
    if found := _NORM_EPSILON_IN_CONFIG.search(config):
        return Finding(float(found[1]), "the config")
    return Finding(_PUBLISHED_NORM_EPSILON, "the published networks")


def _count(pattern: str, shapes: Shapes) -> int:
    """Returns how many numbers from 0 on a pattern finds at the beginning of the names, at most 99."""
    matches = [re.match(pattern, name) for name in shapes]
    return max((int(match[1][:2]) + 1 for match in matches if match), default=0)


def _infer_depth(shapes: Shapes) -> int:
    """Infers the depth of a ResNet from the number of blocks of each stage."""
    matches = [re.match(r"layer([1-4])\.(\d{1,3})\.", name) for name in shapes]
    blocks = {(int(match[1]), int(match[2])) for match in matches if match}
    counts = tuple(max((index + 1 for stage, index in blocks if stage == s), default=0) for s in (1, 2, 3, 4))
    is_bottleneck = any(re.match(r"layer\d\.\d+\.conv3\.", name) for name in shapes)
    for depth, expected in BLOCKS_PER_STAGE.items():
        if counts == expected and is_bottleneck == (depth not in BASIC_BLOCK_DEPTHS):
            return depth
    known = ", ".join(f"{expected} of depth {depth}" for depth, expected in BLOCKS_PER_STAGE.items())
    raise ValueError(
        f"blocks per stage must be those of a ResNet ({known}), got {counts} "
        f"{'bottlenecks' if is_bottleneck else 'basic blocks'}"
    )


def _usual_or_found(usual: int, shapes: Shapes, *places: tuple[str, int]) -> int:
    """Returns the published size if one of the places has it, so that a wrong tensor at the other one is reported."""
    sizes = [shapes[name][axis] for name, axis in places if len(shapes.get(name, ())) > axis]
    return usual if usual in sizes or not sizes else max(sizes[0], 1)


def _find_stride(name: str, config: str, settings: ImportSettings) -> Finding:
    if settings.stride_in:
        return Finding(settings.stride_in, "--stride_in")
    if _CAFFE_IN_CONFIG.search(config):
        return Finding("1x1", "the config in the file")
    if "caffe" in name:
        return Finding("1x1", "the file name")
    return Finding("3x3", "the family's default; for a network of Caffe style give --stride_in=1x1")
