"""ResNet with three transposed convolutions that predicts one heatmap per joint.

Xiao, Wu and Wei, "Simple Baselines for Human Pose Estimation and Tracking", 2018, section 2; the
second stage of Honda et al., 2018. Backbone: He et al., "Deep Residual Learning for Image
Recognition", 2015, Table 1.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import keras
from keras import KerasTensor, layers

from tfpose.models.convolutions import convolve, normalize, rectify
from tfpose.models.heatmap_network import (
    build_heatmap_network,
    check_counts,
    check_input_size,
    new_layer_initializer,
)
from tfpose.models.output_layers import output_dtype
from tfpose.models.subpixel import DECONVOLUTION_SIZE, DECONVOLUTION_STRIDE

NUM_DECONVOLUTIONS = 3
# The stem halves the size twice, and each stage but the first halves it once.
INPUT_STRIDE = 2**5
POSE_RESNET_STRIDE = INPUT_STRIDE // DECONVOLUTION_STRIDE**NUM_DECONVOLUTIONS
BOTTLENECK_EXPANSION = 4
Depth = Literal[18, 34, 50, 101, 152]
BLOCKS_PER_STAGE: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BASIC_BLOCK_DEPTHS = (18, 34)

StrideIn = Literal["1x1", "3x3"]


@dataclasses.dataclass(frozen=True)
class EncoderDecoder:
    """Size of the network up to its heatmaps; `build_pose_resnet` describes each field."""

    depth: int
    stride_in: StrideIn
    base_width: int
    deconv_filters: int
    skip_connections: bool


def build_pose_resnet(
    num_joints: int,
    depth: Depth = 50,
    input_size: tuple[int | None, int | None] = (384, 288),
    stride_in: StrideIn = "3x3",
    base_width: int = 64,
    deconv_filters: int = 256,
    skip_connections: bool = False,
    synchronize_batch_norm: bool = False,
    dtype: str | None = None,
    name: str = "pose_resnet",
) -> keras.Model:
    """Builds the network from normalized crops to heatmaps at a quarter of their size.

    Every layer is named: `stem_*`, `stage{1..4}_block{0..}_*`, `deconv{1..3}_*`, `skip{1..3}_*`, `heatmaps`.
    Padding is the same on both sides of an axis, as in PyTorch, so that public weights fit.

    Args:
        num_joints: Number of heatmaps J.
        depth: 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        input_size: (height, width) in pixels, multiples of 32; None where it may vary.
        stride_in: The convolution of a bottleneck that halves the size: `"3x3"` as in
            PyTorch, `"1x1"` (the first) as in the paper, Caffe and `keras.applications`.
            Basic blocks always stride in their first 3x3.
        base_width: Channels of the stem; 64 is the published network, less makes a small one.
        deconv_filters: Channels of each transposed convolution.
        skip_connections: Add the encoder's features of the same size to the output of each transposed convolution,
            through a 1x1 convolution `skip{1..3}_*`. Not in the paper; a small network learns the places of joints
            faster.
        synchronize_batch_norm: In training on several replicas, normalize by the statistics of
            the whole batch, not of the replica's part; TensorFlow only, and slower.
        dtype: Dtype policy of the layers; None takes Keras' global policy.
        name: Name of the model.

    Returns:
        A model from images [B, H, W, 3], normalized, to heatmaps [B, H/4, W/4, J] in float32
        (float64 under a float64 policy).

    Raises:
        ValueError: An argument is out of its range.
    """
    _check_arguments(num_joints, depth, input_size, stride_in, base_width, deconv_filters)
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    images = keras.Input((*input_size, 3), dtype=output_dtype(policy), name="images")
    settings = EncoderDecoder(depth, stride_in, base_width, deconv_filters, skip_connections)
    features = apply_encoder_decoder(images, settings, policy)
    return build_heatmap_network(images, features, num_joints, name, synchronize_batch_norm)


def apply_encoder_decoder(images: KerasTensor, settings: EncoderDecoder, policy: keras.DTypePolicy) -> KerasTensor:
    """Adds the network without its heatmaps.

    Args:
        images: Normalized images [B, H, W, 3].
        settings: Depth and widths.
        policy: Dtype policy of the layers.

    Returns:
        Features [B, H/4, W/4, deconv_filters].
    """
    x = _apply_stem(images, settings.base_width, policy)
    stages = []
    for stage in range(1, len(BLOCKS_PER_STAGE[settings.depth]) + 1):
        x = _apply_stage(x, stage, settings, policy)
        stages.append(x)
    for index in range(1, NUM_DECONVOLUTIONS + 1):
        skipped = stages[-1 - index] if settings.skip_connections else None
        x = apply_deconvolution(x, settings.deconv_filters, policy, f"deconv{index}", skipped, f"skip{index}")
    return x


def _check_arguments(
    num_joints: int,
    depth: int,
    input_size: tuple[int | None, int | None],
    stride_in: str,
    base_width: int,
    deconv_filters: int,
) -> None:
    if depth not in BLOCKS_PER_STAGE:
        raise ValueError(f"depth must be one of {sorted(BLOCKS_PER_STAGE)}, got {depth!r}.")
    if stride_in not in ("1x1", "3x3"):
        raise ValueError(f"stride_in must be '1x1' or '3x3', got {stride_in!r}.")
    check_counts(num_joints=num_joints, base_width=base_width, deconv_filters=deconv_filters)
    check_input_size(input_size, INPUT_STRIDE)


def _apply_stem(x: KerasTensor, filters: int, policy: keras.DTypePolicy) -> KerasTensor:
    x = convolve(x, filters, 7, 2, policy, "stem_conv")
    x = normalize(x, policy, "stem_bn")
    x = rectify(x, policy, "stem_relu")
    # Zeros can replace minus infinity, because the values come from a ReLU.
    x = layers.ZeroPadding2D(1, dtype=policy, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, 2, dtype=policy, name="stem_pool")(x)


def _apply_stage(x: KerasTensor, stage: int, settings: EncoderDecoder, policy: keras.DTypePolicy) -> KerasTensor:
    width = settings.base_width * 2 ** (stage - 1)
    apply_block: Callable[..., KerasTensor] = apply_basic_block
    if settings.depth not in BASIC_BLOCK_DEPTHS:
        apply_block = functools.partial(apply_bottleneck, stride_in=settings.stride_in)
    for block in range(BLOCKS_PER_STAGE[settings.depth][stage - 1]):
        stride = 2 if stage > 1 and block == 0 else 1
        x = apply_block(x, width, stride, policy=policy, name=f"stage{stage}_block{block}")
    return x


def apply_bottleneck(
    x: KerasTensor,
    width: int,
    stride: int,
    stride_in: StrideIn,
    policy: keras.DTypePolicy,
    name: str,
) -> KerasTensor:
    """Adds a bottleneck of 1x1, 3x3 and 1x1 convolutions with `4 * width` outputs (He et al. 2015, Figure 5, right)."""
    strides = (stride, 1, 1) if stride_in == "1x1" else (1, stride, 1)
    filters = (width, width, BOTTLENECK_EXPANSION * width)
    return _apply_residual(x, filters, (1, 3, 1), strides, policy, name)


def apply_basic_block(x: KerasTensor, width: int, stride: int, policy: keras.DTypePolicy, name: str) -> KerasTensor:
    """Adds a block of two 3x3 convolutions with `width` outputs (He et al. 2015, Figure 5, left)."""
    return _apply_residual(x, (width, width), (3, 3), (stride, 1), policy, name)


def _apply_residual(
    x: KerasTensor,
    filters: tuple[int, ...],
    kernel_sizes: tuple[int, ...],
    strides: tuple[int, ...],
    policy: keras.DTypePolicy,
    name: str,
) -> KerasTensor:
    """Adds a chain of convolutions to its input (He et al. 2015, Figure 5)."""
    shortcut = x
    stride = max(strides)
    if stride > 1 or x.shape[-1] != filters[-1]:
        shortcut = convolve(x, filters[-1], 1, stride, policy, f"{name}_shortcut_conv")
        shortcut = normalize(shortcut, policy, f"{name}_shortcut_bn")
    for index in range(len(filters)):
        if index > 0:
            x = rectify(x, policy, f"{name}_relu{index}")
        convolution = f"{name}_conv{index + 1}"
        x = convolve(x, filters[index], kernel_sizes[index], strides[index], policy, convolution)
        x = normalize(x, policy, f"{name}_bn{index + 1}")
    x = layers.Add(dtype=policy, name=f"{name}_add")([shortcut, x])
    return rectify(x, policy, f"{name}_relu{len(filters)}")


def apply_deconvolution(
    x: KerasTensor,
    filters: int,
    policy: keras.DTypePolicy,
    name: str,
    skipped: KerasTensor | None = None,
    skip_name: str = "",
) -> KerasTensor:
    """Doubles the size by a transposed convolution, adds the encoder's features of that size if any, and rectifies."""
    x = layers.Conv2DTranspose(
        filters,
        DECONVOLUTION_SIZE,
        strides=DECONVOLUTION_STRIDE,
        padding="same",
        use_bias=False,
        kernel_initializer=new_layer_initializer(),
        dtype=policy,
        name=f"{name}_conv",
    )(x)
    x = normalize(x, policy, f"{name}_bn")
    if skipped is not None:
        skipped = convolve(skipped, filters, 1, 1, policy, f"{skip_name}_conv")
        skipped = normalize(skipped, policy, f"{skip_name}_bn")
        x = layers.Add(dtype=policy, name=f"{skip_name}_add")([x, skipped])
    return rectify(x, policy, f"{name}_relu")
