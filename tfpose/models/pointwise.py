"""A 1x1 convolution written as a product of matrices."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="tfpose")
class PointwiseConvolution(layers.Conv2D):
    """`Conv2D(filters, 1)` as a matrix product: same weights, same numbers to rounding.

    With few filters, as for heatmaps, the gradient of TensorFlow's convolution takes five times as long on a CPU.

    Args:
        filters: Channels F of the output.
        **kwargs: Arguments of `keras.layers.Conv2D` except kernel size, strides, padding, dilation and groups.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, kwargs.pop("kernel_size", 1), **kwargs)
        if (self.kernel_size, self.strides, self.groups) != ((1, 1), (1, 1), 1) or self.data_format != "channels_last":
            raise ValueError(
                "a pointwise convolution has kernel size 1, stride 1, one group and channels last, got "
                f"{self.kernel_size}, {self.strides}, {self.groups}, {self.data_format}"
            )

    def call(self, inputs: Any) -> Any:
        """Returns [B, H, W, F] from [B, H, W, C]."""
        channels = self.kernel.shape[-2]
        outputs = ops.matmul(ops.reshape(inputs, (-1, channels)), ops.reshape(self.kernel, (channels, self.filters)))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        _, height, width, _ = ops.shape(inputs)
        return self.activation(ops.reshape(outputs, (-1, height, width, self.filters)))
