"""Checkpoints of Detectron2 and of the original Detectron: one set of names, and the conventions that go with them.

Sources: Wu et al., Detectron2, 2019; Girshick et al., Detectron, 2018 (its blobs have the names of Caffe2).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

import numpy as np

from tfpose.pretrained.checkpoint_files import Tensor

# By BGR channel, for a white of 255.
DETECTRON2_MEAN = (103.53, 116.28, 123.675)
DETECTRON_MEAN = (102.9801, 115.9465, 122.7717)
_RESNEXT_STD = (57.375, 57.12, 58.395)
# The others' first kernel has the scale inside.
_RESNET_STD = (1.0, 1.0, 1.0)
_DEPTHS = {6: 50, 23: 101}
_NUM_BOX_NUMBERS = 4
# Added to the variance by the network; with it a normalisation without statistics is exactly affine.
_EPSILON = 1e-5

# Not weights: momentum, what Detectron keeps for itself, the fixed bilinear kernel behind the heatmaps.
_IGNORED_BLOBS = re.compile(r".*_momentum|__preserve__/.*|kps_score_[wb]|lr")
_IGNORED_TENSORS = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
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
    """What a file of Keypoint R-CNN does not say, from what it does.

    Attributes:
        depth: 50 or 101.
        num_groups: of the 3x3 convolutions of bottlenecks; 1 is a ResNet, 32 a ResNeXt.
        width_per_group: channels of a group in the first stage.
        stride_in: the convolution of a bottleneck that halves the size, '1x1' or '3x3'.
        pixel_mean: by BGR channel, for a white of 255.
        pixel_std: likewise.
        is_legacy: the conventions of the original Detectron, see `models.keypoint_rcnn.conventions`.
    """

    depth: int
    num_groups: int
    width_per_group: int
    stride_in: str
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    is_legacy: bool

    @property
    def name(self) -> str:
        """Such as 'X-101-32x8d-FPN'."""
        if self.num_groups == 1:
            return f"R-{self.depth}-FPN"
        return f"X-{self.depth}-{self.num_groups}x{self.width_per_group}d-FPN"


def infer_variant(shapes: Mapping[str, tuple[int, ...]], is_legacy: bool) -> KeypointRcnnVariant:
    """The variant from names and shapes of a Detectron2 state dict.

    Args:
        shapes: by Detectron2's names.
        is_legacy: the weights are of the original Detectron.

    Raises:
        ValueError: depth or groups are of no known variant; names the tensor.
    """
    blocks = {int(match[1]) for match in map(re.compile(r".*\bres4\.(\d+)\.").match, shapes) if match}
    num_blocks = max(blocks, default=-1) + 1
    if num_blocks not in _DEPTHS:
        raise ValueError(f"expected 6 (depth 50) or 23 (depth 101) blocks in res4, found {num_blocks}")
    name = "backbone.bottom_up.res2.0.conv2.weight"
    shape = shapes.get(name, ())
    if len(shape) != 4 or not shape[1] or shape[0] % shape[1]:
        raise ValueError(f"{name}: expected shape (out, in / groups, 3, 3), found {shape or 'no such tensor'}")
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
    """The tensors of a Detectron2 file that are weights: without constants of the input and of the anchors."""
    names = {re.sub(r"^(module\.)+", "", name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in names.items() if not _IGNORED_TENSORS.fullmatch(name)}


def select_blobs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The blobs of an original Detectron file that are weights, by their own names.

    Raises:
        ValueError: a blob is not one of Keypoint R-CNN with FPN; names it.
    """
    blobs = {name: tensor for name, tensor in tensors.items() if not _IGNORED_BLOBS.fullmatch(name)}
    unknown = [name for name in blobs if detectron2_name(name) is None]
    if unknown:
        raise ValueError(f"{', '.join(unknown[:5])}: not a blob of Keypoint R-CNN with FPN ({len(unknown)} such)")
    return blobs


def detectron2_name(blob: str) -> str | None:
    """Detectron2's name of a blob of the original Detectron; None if it has none.

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
    """A Detectron2 state dict from the arrays of `select_blobs`.

    The background moves from the first class to the last, its box is dropped, and normalisations without statistics
    get those that make them exactly affine.

    Raises:
        ValueError: two blobs have the same name in Detectron2, or a shape is wrong; names it.
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
        raise ValueError(f"{blob}: expected 2 rows (background, person), found shape {array.shape}")
    return np.roll(array, -1, axis=0)


def _drop_background(blob: str, array: np.ndarray) -> np.ndarray:
    if array.ndim < 1 or len(array) != 2 * _NUM_BOX_NUMBERS:
        raise ValueError(f"{blob}: expected 8 rows (background's box, person's), found shape {array.shape}")
    return array[_NUM_BOX_NUMBERS:]


_CHANGES: Mapping[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "cls_score": _move_background,
    "bbox_pred": _drop_background,
}
