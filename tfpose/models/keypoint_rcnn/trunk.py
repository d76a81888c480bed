"""The trunk: a residual network with a feature pyramid on top.

He et al., "Deep Residual Learning for Image Recognition", 2015; Xie et al., "Aggregated Residual Transformations for
Deep Neural Networks", 2017; Lin et al., "Feature Pyramid Networks for Object Detection", 2017, section 3.
"""

from __future__ import annotations

import keras
from keras import KerasTensor, layers

from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution
from tfpose.models.keypoint_rcnn.settings import LOWEST_LEVEL, KeypointRcnnSettings

STAGE_NAMES = ("stem", "res2", "res3", "res4", "res5")


def build_trunk(settings: KeypointRcnnSettings, name: str = "trunk") -> keras.Model:
    """Builds the part from images to the feature pyramid; every layer is named as in Detectron2.

    Returns:
        A model from normalized images [B, H, W, 3], both sizes multiples of 32, to a list of p2..p6,
        [B, H / 4, W / 4, C] to [B, ceil(H / 64), ceil(W / 64), C].
    """
    images = keras.Input((None, None, 3), name="images")
    stages = _apply_residual_stages(images, settings)
    model = keras.Model(images, _apply_pyramid(stages, settings), name=name)
    for layer in model.layers:
        if layer.name.startswith(STAGE_NAMES[: settings.num_frozen_stages]):
            layer.trainable = False
    return model


def _apply_residual_stages(x: KerasTensor, settings: KeypointRcnnSettings) -> list[KerasTensor]:
    x = _convolve(x, settings.stem_width, 7, "stem_conv1", settings, strides=2)
    # Zeros can replace minus infinity, because the values come from a ReLU.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    stages = []
    for index, num_blocks in enumerate(settings.blocks_per_stage):
        for block in range(num_blocks):
            strides = 2 if index > 0 and block == 0 else 1
            x = _apply_bottleneck(x, index, strides, f"{STAGE_NAMES[index + 1]}_{block}", settings)
        stages.append(x)
    return stages


def _apply_bottleneck(
    x: KerasTensor, stage: int, strides: int, name: str, settings: KeypointRcnnSettings
) -> KerasTensor:
    inner, outer = settings.inner_width * 2**stage, settings.outer_width * 2**stage
    first, second = (strides, 1) if settings.stride_in == "1x1" else (1, strides)
    shortcut = x
    if strides > 1 or x.shape[-1] != outer:
        shortcut = _convolve(x, outer, 1, f"{name}_shortcut", settings, strides=strides, activation=None)
    x = _convolve(x, inner, 1, f"{name}_conv1", settings, strides=first)
    x = _convolve(x, inner, 3, f"{name}_conv2", settings, strides=second)
    x = _convolve(x, outer, 1, f"{name}_conv3", settings, activation=None)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolve(
    x: KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    settings: KeypointRcnnSettings,
    strides: int = 1,
    activation: str | None = "relu",
) -> KerasTensor:
    is_frozen = settings.normalization == "frozen"
    # Only the 3x3 convolutions of the bottlenecks are grouped.
    groups = settings.num_groups if kernel_size == 3 else 1
    x = TrunkConvolution(
        filters,
        kernel_size,
        strides,
        groups,
        norm="frozen" if is_frozen else "none",
        activation=activation if is_frozen else None,
        grouped_convolution=settings.grouped_convolution,
        name=name,
    )(x)
    if is_frozen:
        return x
    x = FusedBatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation == "relu" else x


def _apply_pyramid(stages: list[KerasTensor], settings: KeypointRcnnSettings) -> list[KerasTensor]:
    """Adds to each level the next coarser level of the pyramid, from coarse to fine."""
    outputs: list[KerasTensor] = []
    above = None
    for index in reversed(range(len(stages))):
        level = index + LOWEST_LEVEL
        x = _pyramid_convolution(settings, 1, f"fpn_lateral{level}")(stages[index])
        if above is not None:
            above = layers.UpSampling2D(2, interpolation="nearest", name=f"fpn_upsample{level}")(above)
            x = layers.Add(name=f"fpn_add{level}")([x, above])
        above = x
        outputs.insert(0, _pyramid_convolution(settings, 3, f"fpn_output{level}")(x))
    return [*outputs, layers.MaxPooling2D(1, 2, name="fpn_output6")(outputs[-1])]


def _pyramid_convolution(settings: KeypointRcnnSettings, kernel_size: int, name: str) -> layers.Layer:
    # Glorot's uniform distribution by the inputs alone (Caffe's "Xavier").
    initializer = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
    return layers.Conv2D(settings.pyramid_width, kernel_size, padding="same", kernel_initializer=initializer, name=name)
