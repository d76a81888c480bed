"""The names that PyTorch's checkpoints give to the weights of `build_pose_resnet`.

The checkpoints of Xiao et al. (2018, microsoft/human-pose-estimation.pytorch) and of MMPose have the same names and
layouts once the prefixes of their wrappers are dropped. The names do not say whether a bottleneck strides in its
3x3 or in its first 1x1 convolution: the network must have been built with the right `stride_in`.
"""

from __future__ import annotations

from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.pose_resnet import NUM_DECONVOLUTIONS
from tfpose.pretrained.published_names import PublishedNames

RESNET_NAMES = PublishedNames(
    network="build_pose_resnet without skip connections",
    layers=(
        (r"stem_conv", r"conv1"),
        (r"stem_bn", r"bn1"),
        (r"stage(\d)_block(\d+)_(conv|bn)(\d)", r"layer\1.\2.\3\4"),
        (r"stage(\d)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
        (r"stage(\d)_block(\d+)_shortcut_bn", r"layer\1.\2.downsample.1"),
        # Each transposed convolution is three PyTorch modules: convolution, normalization, ReLU.
        *((f"deconv{index + 1}_conv", f"deconv_layers.{3 * index}") for index in range(NUM_DECONVOLUTIONS)),
        *((f"deconv{index + 1}_bn", f"deconv_layers.{3 * index + 1}") for index in range(NUM_DECONVOLUTIONS)),
        (HEATMAP_LAYER, r"final_layer"),
    ),
    prefixes=("module.", "backbone.", "keypoint_head.", "head."),
    # The classifier of an ImageNet network.
    ignored=r"fc\.(weight|bias)",
)
