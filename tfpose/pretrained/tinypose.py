"""The names of PP-TinyPose's weights in PaddleDetection's files."""

from __future__ import annotations

from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.pretrained.published_names import PublishedNames

_MODULE = r"stage(\d)_module(\d+)_"
_SEQUENCE = {"depthwise_conv": 0, "depthwise_bn": 1, "pointwise_conv": 2, "pointwise_bn": 3}
_UNIT = {"pointwise1": 0, "depthwise": 1, "pointwise2": 2}
_STEM = {
    "": "conv1",
    "first_depthwise_": "branch1.0",
    "first_pointwise_": "branch1.1",
    "second_expand_": "expand_conv",
    "second_depthwise_": "depthwise_conv",
    "second_pointwise_": "linear_conv",
}
_ENDS = {"conv": "conv", "bn": "norm"}

TINYPOSE_NAMES = PublishedNames(
    network="build_tinypose",
    layers=(
        *((f"stem_{own}{end}", f"stem.{name}.{_ENDS[end]}") for own, name in _STEM.items() for end in _ENDS),
        # The transition to a new branch is a list of one step; the transition of the first branch is not a list.
        *((f"transition0_branch0_{own}", f"transition0.0.{place}") for own, place in _SEQUENCE.items()),
        *((rf"transition(\d)_branch(\d)_{own}", rf"transition\1.\2.0.{place}") for own, place in _SEQUENCE.items()),
        *(
            (
                _MODULE + rf"branch(\d)_unit(\d)_{own}_{end}",
                rf"stage\1.\2.layers.\3.\4.branch2.{place}.{_ENDS[end]}",
            )
            for own, place in _UNIT.items()
            for end in _ENDS
        ),
        (_MODULE + r"fuse(\d)from(\d)_conv", r"stage\1.\2.fuse_layers.\3.\4.0"),
        (_MODULE + r"fuse(\d)from(\d)_bn", r"stage\1.\2.fuse_layers.\3.\4.1"),
        *(
            (_MODULE + rf"fuse(\d)from(\d)_step(\d)_{own}", rf"stage\1.\2.fuse_layers.\3.\4.\5.{place}")
            for own, place in _SEQUENCE.items()
        ),
        *(
            (rf"head_project(\d)_(depthwise|pointwise)_{end}", rf"head_layer.projects.\1.\2_conv.{name}")
            for end, name in _ENDS.items()
        ),
        (HEATMAP_LAYER, "final_conv"),
    ),
    prefixes=("backbone.",),
    mean="_mean",
    variance="_variance",
)
