"""Says what a checkpoint is: whose code wrote it, and of which network its tensors are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tfpose.pretrained.checkpoint_files import CheckpointFile, Tensor
from tfpose.pretrained.pickled_arrays import PickledArray
from tfpose.pretrained.torch_files import PickledTensor

Family = Literal["microsoft", "mmpose", "detectron2", "detectron"]

DESCRIPTIONS: Mapping[str, str] = {
    "microsoft": "pose_resnet of Microsoft's human-pose-estimation.pytorch",
    "mmpose": "ResNet with a heatmap head of MMPose",
    "detectron2": "Keypoint R-CNN of Detectron2",
    "detectron": "Keypoint R-CNN of the original Detectron (Caffe2 names)",
}
# What wraps the tensors in the file, outermost first.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "blobs")
_MOST_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Recognized:
    """A checkpoint of a known kind.

    Attributes:
        family: whose it is.
        tensors: by the names in the file, not yet read.
        extras: what else the file holds, such as 'epoch', 'meta'.
    """

    family: Family
    tensors: Mapping[str, Tensor]
    extras: Mapping[str, Any]


def recognize(file: CheckpointFile) -> Recognized:
    """Tells the family of a checkpoint from the names of its tensors.

    Raises:
        ValueError: it is of no known family; says what was found.
    """
    wrapper, tensors, extras = _find_tensors(file)
    family = _family_of(wrapper, tensors)
    if family is None:
        raise ValueError(
            f"{file.path}: expected {', or '.join(DESCRIPTIONS.values())}; found {_describe_names(tensors)}"
        )
    return Recognized(family, tensors, extras)


def _find_tensors(file: CheckpointFile) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """The wrapper's name ('' if there is none), the named tensors, and what stands beside the wrapper."""
    content = file.content
    if not isinstance(content, dict):
        raise ValueError(f"{file.path}: expected named tensors, found a {type(content).__name__}")
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, dict) and any(map(_is_tensor, inner.values())):
            return wrapper, _checked_tensors(file, inner), {k: v for k, v in content.items() if k != wrapper}
    if not any(map(_is_tensor, content.values())):
        raise ValueError(f"{file.path}: expected named tensors, found none; it holds {_shortened(map(str, content))}")
    return "", _checked_tensors(file, content), {}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (PickledTensor, PickledArray))


def _checked_tensors(file: CheckpointFile, tensors: Mapping[Any, Any]) -> dict[str, Tensor]:
    for name, value in tensors.items():
        if not isinstance(name, str) or not _is_tensor(value):
            raise ValueError(f"{file.path}: {name}: expected a tensor, found a {type(value).__name__}")
    return dict(tensors)


def _family_of(wrapper: str, tensors: Iterable[str]) -> Family | None:
    names = [re.sub(r"^(module\.)+", "", name) for name in tensors]
    # Blobs have no dots; in the plain pickles of ImageNet networks there is no wrapper.
    if wrapper == "blobs" or any(re.fullmatch(r"conv_rpn_fpn\d+_w", name) for name in names):
        return "detectron"
    if any(name.startswith(("backbone.bottom_up.", "roi_heads.")) for name in names):
        return "detectron2"
    if any(name.startswith(("head.", "keypoint_head.")) for name in names):
        return "mmpose" if any(name.startswith("backbone.") for name in names) else None
    has_head = any(name.startswith(("final_layer.", "deconv_layers.")) for name in names)
    return "microsoft" if has_head else None


def _describe_names(tensors: Mapping[str, Tensor]) -> str:
    names = list(tensors)
    if any(name.endswith("fc.weight") for name in names) and any("layer1.0." in name for name in names):
        return "an ImageNet classifier without heatmaps"
    return f"{len(names)} tensors such as {_shortened(names)}"


def _shortened(names: Iterable[str]) -> str:
    return ", ".join(name[:80] for name in list(names)[:_MOST_SHOWN])
