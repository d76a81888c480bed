"""Convolutions as the public networks of PyTorch and Paddle have them: no bias, padded alike on both sides."""

from __future__ import annotations

from keras import DTypePolicy, KerasTensor, layers

from tfpose.models.batch_norm import FusedBatchNormalization
from tfpose.models.pointwise import Subsampling


def convolve(
    x: KerasTensor, filters: int, kernel_size: int, stride: int, policy: DTypePolicy, name: str
) -> KerasTensor:
    """Convolves with `kernel_size // 2` zeros on both sides of each axis; the layer is called `name`."""
    if stride > 1 and kernel_size == 1:
        x, stride = Subsampling(stride, dtype=policy, name=f"{name}_cells")(x), 1
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer="he_normal",
        dtype=policy,
        name=name,
    )(_pad(x, kernel_size, stride, policy, name))


def convolve_depthwise(x: KerasTensor, kernel_size: int, stride: int, policy: DTypePolicy, name: str) -> KerasTensor:
    """Convolves each channel by itself, with `kernel_size // 2` zeros on both sides of each axis."""
    return layers.DepthwiseConv2D(
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        depthwise_initializer="he_normal",
        dtype=policy,
        name=name,
    )(_pad(x, kernel_size, stride, policy, name))


def normalize(x: KerasTensor, policy: DTypePolicy, name: str) -> KerasTensor:
    """Normalizes each channel by the statistics of the batch, as `FusedBatchNormalization` does."""
    return FusedBatchNormalization(dtype=policy, name=name)(x)


def rectify(x: KerasTensor, policy: DTypePolicy, name: str) -> KerasTensor:
    """Replaces what is below zero by zero."""
    return layers.ReLU(dtype=policy, name=name)(x)


def _pad(x: KerasTensor, kernel_size: int, stride: int, policy: DTypePolicy, name: str) -> KerasTensor:
    if stride == 1 or kernel_size == 1:
        return x
    # Keras' "same" would pad only the end of an axis; weights of PyTorch and Paddle expect zeros at both ends.
    return layers.ZeroPadding2D(kernel_size // 2, dtype=policy, name=f"{name}_pad")(x)
