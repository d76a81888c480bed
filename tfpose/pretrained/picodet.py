"""The names of PicoDet's weights in PaddleDetection's files."""

from __future__ import annotations

from tfpose.pretrained.published_names import PublishedNames

_HEAD_ENDS = {"conv": "conv", "bn": "norm"}
_PARTS = {"depthwise": "dw_conv", "pointwise": "pw_conv"}
_NECK = {
    r"neck_down(\d)_block(\d)": r"top_down_blocks.\1.\2",
    r"neck_up(\d)_block(\d)": r"bottom_up_blocks.\1.\2",
}
_HALVES = {
    "neck_half(\\d)": r"downsamples.\1",
    "neck_top_first": "first_top_conv",
    "neck_top_second": "second_top_conv",
}
_HALF_PARTS = {"depthwise_conv": "dwconv", "depthwise_bn": "bn1", "pointwise_conv": "pwconv", "pointwise_bn": "bn2"}
_ALIGN = {"align0_conv": "dwconv", "align0_bn": "bn1", "align1_conv": "pwconv", "align1_bn": "bn2"}

PICODET_NAMES = PublishedNames(
    network="build_picodet",
    layers=(
        (r"stem_(conv|bn)", r"backbone.conv1.\1"),
        *(
            (rf"stage(\d)_block(\d)_{own}_(conv|bn)", rf"backbone.blocks\1.\2.{name}.\3")
            for own, name in _PARTS.items()
        ),
        (r"stage(\d)_block(\d)_se_(conv\d)", r"backbone.blocks\1.\2.se.\3"),
        (r"neck_lateral(\d)_(conv|bn)", r"neck.conv_t.convs.\1.\2"),
        *(
            (f"{pattern}_{own}_(conv|bn)", rf"neck.{blocks}.{name}.\3")
            for pattern, blocks in _NECK.items()
            for own, name in _PARTS.items()
        ),
        *(
            (f"{pattern}_{own}", f"neck.{half}.{name}")
            for pattern, half in _HALVES.items()
            for own, name in _HALF_PARTS.items()
        ),
        *(
            (rf"head(\d)_block(\d)_{own}_{end}", rf"head.conv_feat.cls_conv_{name[:2]}\1.\2.{_HEAD_ENDS[end]}")
            for own, name in _PARTS.items()
            for end in _HEAD_ENDS
        ),
        (r"head(\d)_se_fc", r"head.conv_feat.se.\1.fc"),
        *((rf"head(\d)_se_{end}", rf"head.conv_feat.se.\1.conv.{name}") for end, name in _HEAD_ENDS.items()),
        (r"head(\d)_class", r"head.head_cls\1"),
        (r"head(\d)_box", r"head.head_reg\1"),
        *((rf"head(\d)_{own}", rf"head.cls_align.\1.{name}") for own, name in _ALIGN.items()),
    ),
    # The tensors of the heads a second time, the distances 0 to 7, and scales that the network does not use.
    ignored=r"head\.(head_(cls|reg)_list\.\d\.(weight|bias)|distribution_project\.project|p[3-6]_feat\.scale_reg)",
    mean="_mean",
    variance="_variance",
)
