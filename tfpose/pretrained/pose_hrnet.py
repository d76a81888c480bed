"""The names of HRNet's weights in the code of Sun et al. (2019, deep-high-resolution-net.pytorch) and in MMPose."""

from __future__ import annotations

from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.pretrained.published_names import PublishedNames

_MODULE = r"stage(\d)_module(\d+)_"

HRNET_NAMES = PublishedNames(
    network="build_pose_hrnet",
    layers=(
        (r"stem_(conv|bn)(\d)", r"\1\2"),
        (r"stage1_block(\d)_(conv|bn)(\d)", r"layer1.\1.\2\3"),
        (r"stage1_block(\d)_shortcut_conv", r"layer1.\1.downsample.0"),
        (r"stage1_block(\d)_shortcut_bn", r"layer1.\1.downsample.1"),
        # The transition to a new branch is a list of one step; the transitions of the first branches are not lists.
        (r"transition1_branch0_conv", r"transition1.0.0"),
        (r"transition1_branch0_bn", r"transition1.0.1"),
        (r"transition(\d)_branch(\d)_conv", r"transition\1.\2.0.0"),
        (r"transition(\d)_branch(\d)_bn", r"transition\1.\2.0.1"),
        (_MODULE + r"branch(\d)_block(\d+)_(conv|bn)(\d)", r"stage\1.\2.branches.\3.\4.\5\6"),
        (_MODULE + r"fuse(\d)from(\d)_conv", r"stage\1.\2.fuse_layers.\3.\4.0"),
        (_MODULE + r"fuse(\d)from(\d)_bn", r"stage\1.\2.fuse_layers.\3.\4.1"),
        (_MODULE + r"fuse(\d)from(\d)_step(\d)_conv", r"stage\1.\2.fuse_layers.\3.\4.\5.0"),
        (_MODULE + r"fuse(\d)from(\d)_step(\d)_bn", r"stage\1.\2.fuse_layers.\3.\4.\5.1"),
        (HEATMAP_LAYER, r"final_layer"),
    ),
    prefixes=("module.", "backbone.", "keypoint_head.", "head."),
    # Layers of the ImageNet classifier, which some files of MMPose also contain.
    ignored=r"(incre_modules|downsamp_modules|final_layer_cls|classifier)\..*",
)
