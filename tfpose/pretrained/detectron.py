"""Gives the weights of Detectron2 and of the original Detectron one set of names, and tells their conventions.

Sources: Wu et al., Detectron2, 2019; Girshick et al., Detectron, 2018, whose weights are blobs with Caffe2's names.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfpose.models.keypoint_rcnn.settings import StrideIn
from tfpose.pretrained.checkpoint_files import Tensor

# Means of the BGR channels of images whose white is 255.
DETECTRON2_MEAN = (103.53, 116.28, 123.675)
DETECTRON_MEAN = (102.9801, 115.9465, 122.7717)
_RESNEXT_STD = (57.375, 57.12, 58.395)
# The first kernels of ResNets include the scale.
_RESNET_STD = (1.0, 1.0, 1.0)
_DEPTHS = {6: 50, 23: 101}
_NUM_BOX_NUMBERS = 4
# Of 255. Files may hold float16.
_PIXEL_TOLERANCE = 0.1
# The network adds this to the variance. A variance of 1 minus this makes a normalization exactly affine.
_EPSILON = 1e-5

# Blobs that are no weights: momentum, Detectron's own notes, and the fixed bilinear kernel that enlarges the heatmaps.
_IGNORED_BLOBS = re.compile(r".*_momentum|__preserve__/.*|kps_score_[wb]|lr")
# Constants of the input and of the anchors, which Detectron2's files hold beside the weights.
IGNORED_TENSORS = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
_BLOB_RULES = (
    (r"conv1_(w)", r"backbone.bottom_up.stem.conv1"),
    (r"res_conv1_bn_(\w+)", r"backbone.bottom_up.stem.conv1.norm"),
    (r"res([2-5])_(\d+)_branch1_(w)", r"backbone.bottom_up.res\1.\2.shortcut"),
    (r"res([2-5])_(\d+)_branch1_bn_(\w+)", r"backbone.bottom_up.res\1.\2.shortcut.norm"),
    (r"res([2-5])_(\d+)_branch2([abc])_(w)", r"backbone.bottom_up.res\1.\2.conv\3"),
    (r"res([2-5])_(\d+)_branch2([abc])_bn_(\w+)", r"backbone.bottom_up.res\1.\2.conv\3.norm"),
    (r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?_([wb])", r"backbone.fpn_lateral\1"),
    (r"fpn_res([2-5])_\d+_sum_([wb])", r"backbone.fpn_output\1"),
    (r"conv_rpn_fpn2_([wb])", r"proposal_generator.rpn_head.conv"),
    (r"rpn_cls_logits_fpn2_([wb])", r"proposal_generator.rpn_head.objectness_logits"),
    (r"rpn_bbox_pred_fpn2_([wb])", r"proposal_generator.rpn_head.anchor_deltas"),
    (r"fc6_([wb])", r"roi_heads.box_head.fc1"),
    (r"fc7_([wb])", r"roi_heads.box_head.fc2"),
    (r"(cls_score|bbox_pred)_([wb])", r"roi_heads.box_predictor.\1"),
    (r"conv_fcn([1-8])_([wb])", r"roi_heads.keypoint_head.conv_fcn\1"),
    (r"kps_score_lowres_([wb])", r"roi_heads.keypoint_head.score_lowres"),
)
_CONVOLUTION_OF_BRANCH = {"a": "1", "b": "2", "c": "3"}
_BLOB_ENDS = {"w": "weight", "b": "bias"}
_NORMALIZATION_ENDS = {
    "s": "weight",
    "gamma": "weight",
    "b": "bias",
    "beta": "bias",
    "rm": "running_mean",
    "running_mean": "running_mean",
    "riv": "running_var",
    "running_var": "running_var",
}


@dataclasses.dataclass(frozen=True)
class KeypointRcnnVariant:
    """Kind of network that a file of Keypoint R-CNN holds, inferred from names and shapes.

    Attributes:
        depth: Depth of the ResNet, 50 or 101.
        num_groups: Number of groups of the 3x3 convolutions in bottlenecks: 1 is a ResNet, 32 a ResNeXt.
        width_per_group: Channels of a group in the first stage.
        stride_in: Convolution of a bottleneck that halves the size, '1x1' or '3x3'.
        pixel_mean: Means of the BGR channels of images whose white is 255.
        pixel_std: Standard deviations of these channels.
        is_legacy: Whether the conventions are those of the original Detectron, see `models.keypoint_rcnn.conventions`.
    """

    depth: int
    num_groups: int
    width_per_group: int
    stride_in: StrideIn
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    is_legacy: bool

    @property
    def name(self) -> str:
        """The name of the network in the model zoos, such as 'X-101-32x8d-FPN'."""
        if self.num_groups == 1:
            return f"R-{self.depth}-FPN"
        return f"X-{self.depth}-{self.num_groups}x{self.width_per_group}d-FPN"


def infer_variant(shapes: Mapping[str, tuple[int, ...]], is_legacy: bool) -> KeypointRcnnVariant:
    """Infers the variant from the names and shapes of the weights.

    Args:
        shapes: Shapes by Detectron2's names.
        is_legacy: Whether the weights are from the original Detectron.

    Raises:
        ValueError: Depth or groups belong to no known variant; the message names the tensor.
    """
    blocks = {int(match[1]) for match in map(re.compile(r".*\bres4\.(\d+)\.").match, shapes) if match}
    num_blocks = max(blocks, default=-1) + 1
    if num_blocks not in _DEPTHS:
        raise ValueError(f"res4 must have 6 blocks (depth 50) or 23 (depth 101), got {num_blocks}")
    name = "backbone.bottom_up.res2.0.conv2.weight"
    shape = shapes.get(name, ())
    if len(shape) != 4 or not shape[1] or shape[0] % shape[1]:
        raise ValueError(f"{name} must have shape (out, in / groups, 3, 3), got {shape or 'no such tensor'}")
    num_groups = shape[0] // shape[1]
    return KeypointRcnnVariant(
        depth=_DEPTHS[num_blocks],
        num_groups=num_groups,
        width_per_group=shape[1],
        stride_in="1x1" if num_groups == 1 else "3x3",
        pixel_mean=DETECTRON_MEAN if is_legacy else DETECTRON2_MEAN,
        pixel_std=_RESNET_STD if is_legacy or num_groups == 1 else _RESNEXT_STD,
        is_legacy=is_legacy,
    )


def select_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a Detectron2 file that are weights."""
    names = {re.sub(r"^(module\.)+", "", name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in names.items() if not IGNORED_TENSORS.fullmatch(name)}


def check_pixels(variant: KeypointRcnnVariant, tensors: Mapping[str, Tensor]) -> None:
    """Checks the mean and the scale of the pixels where a Detectron2 file holds them.

    Raises:
        ValueError: They are not those of the published networks, such as of RGB pixels; the message names the tensor.
    """
    for name, expected in (("pixel_mean", variant.pixel_mean), ("pixel_std", variant.pixel_std)):
        if name in tensors:
            found = np.ravel(tensors[name].to_array())
            if found.shape != (3,) or not np.allclose(found, expected, rtol=0, atol=_PIXEL_TOLERANCE):
                raise ValueError(f"{name} must be {expected} of BGR pixels, got {tuple(found[:4].tolist())}")


def check_anchors(sizes: Sequence[float], ratios: Sequence[float], tensors: Mapping[str, Tensor]) -> None:
    """Checks the anchors, [A, 4] xyxy around 0 for each level, where a Detectron2 file holds them.

    Raises:
        ValueError: They are not those of the published networks; the message names the tensor.
    """
    for level, size in enumerate(sizes):
        name = f"proposal_generator.anchor_generator.cell_anchors.{level}"
        if name not in tensors:
            continue
        widths = size / np.sqrt(ratios)
        expected = np.stack([-widths, -(size**2) / widths, widths, size**2 / widths], axis=1) / 2
        found = tensors[name].to_array()
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-2):
            raise ValueError(f"{name} must be boxes of size {size} and ratios {tuple(ratios)}, got {found.tolist()}")


def select_blobs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the blobs of an original Detectron file that are weights, by their own names.

    Raises:
        ValueError: A blob does not belong to a Keypoint R-CNN with FPN; the message names it.
    """
    blobs = {name: tensor for name, tensor in tensors.items() if not _IGNORED_BLOBS.fullmatch(name)}
    unknown = [name for name in blobs if detectron2_name(name) is None]
    if unknown:
        raise ValueError(f"{', '.join(unknown[:5])}: not a blob of Keypoint R-CNN with FPN ({len(unknown)} such blobs)")
    return blobs


def detectron2_name(blob: str) -> str | None:
    """Returns Detectron2's name of a blob of the original Detectron; None if it has none.

    >>> detectron2_name("res4_22_branch2b_bn_s")
    'backbone.bottom_up.res4.22.conv2.norm.weight'
    """
    for pattern, replacement in _BLOB_RULES:
        match = re.fullmatch(pattern, blob)
        if match is None:
            continue
        ends = _NORMALIZATION_ENDS if replacement.endswith(".norm") else _BLOB_ENDS
        end = ends.get(match.groups()[-1])
        layer = match.expand(replacement)
        branch = re.fullmatch(r"(.*\.conv)([abc])((?:\.norm)?)", layer)
        if branch:
            layer = f"{branch[1]}{_CONVOLUTION_OF_BRANCH[branch[2]]}{branch[3]}"
        return f"{layer}.{end}" if end else None
    return None


def convert_blobs(blobs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts the arrays of `select_blobs` to a state dict of Detectron2.

    The background moves from the first class to the last, and its box is dropped. Normalizations without statistics
    get those that make them exactly affine.

    Raises:
        ValueError: Two blobs have the same name in Detectron2, or a shape is wrong; the message names the blob.
    """
    arrays: dict[str, np.ndarray] = {}
    for blob, array in blobs.items():
        name = detectron2_name(blob)
        if name is None or name in arrays:
            raise ValueError(f"{blob}: {'there are two blobs for ' + name if name else 'not a blob of Keypoint R-CNN'}")
        arrays[name] = _CHANGES.get(blob.rsplit("_", 1)[0], lambda _, array: array)(blob, array)
    for name in [name for name in arrays if name.endswith(".norm.weight")]:
        layer = name.removesuffix(".weight")
        arrays.setdefault(f"{layer}.running_mean", np.zeros_like(arrays[name]))
        arrays.setdefault(f"{layer}.running_var", np.full_like(arrays[name], 1 - _EPSILON))
    return arrays


def _move_background(blob: str, array: np.ndarray) -> np.ndarray:
    if array.ndim < 1 or len(array) != 2:
        raise ValueError(f"{blob} must have 2 rows (background, person), got shape {array.shape}")
    return np.roll(array, -1, axis=0)


def _drop_background(blob: str, array: np.ndarray) -> np.ndarray:
    if array.ndim < 1 or len(array) != 2 * _NUM_BOX_NUMBERS:
        raise ValueError(f"{blob} must have 8 rows (box of the background, box of the person), got shape {array.shape}")
    return array[_NUM_BOX_NUMBERS:]


_CHANGES: Mapping[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "cls_score": _move_background,
    "bbox_pred": _drop_background,
}
