"""Loads the weights of `build_pose_resnet` from arrays under PyTorch's names.

The checkpoints of Xiao et al. (2018, microsoft/human-pose-estimation.pytorch) and of MMPose have the same names and
layouts once the prefixes of their wrappers are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.pose_resnet import NUM_DECONVOLUTIONS
from tfpose.pretrained.published_names import PublishedNames, load_published_arrays

PREFIXES = ("module.", "backbone.", "keypoint_head.", "head.")
NAMES = PublishedNames(
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
    prefixes=PREFIXES,
    # The classifier of an ImageNet network.
    ignored=r"fc\.(weight|bias)",
)


def load_torch_arrays(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets the weights of a `build_pose_resnet` model from arrays under PyTorch's names.

    The arrays do not say whether a bottleneck strides in its 3x3 or in its first 1x1: the model must have been built
    with the right `stride_in`. An error changes nothing.

    Args:
        model: Model from `build_pose_resnet`.
        arrays: Arrays by name, kernels as (out, in, h, w) and transposed ones as (in, out, h, w). The names may have
            the prefixes of wrappers. `num_batches_tracked` and `fc.*` are ignored.

    Raises:
        ValueError: An array is missing, superfluous or has another shape; the message names it.
    """
    load_published_arrays(model, arrays, NAMES)


def canonical_torch_name(name: str) -> str:
    """Drops the prefixes of PyTorch wrappers and of MMPose.

    >>> canonical_torch_name("module.backbone.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    """
    return NAMES.canonical(name)
