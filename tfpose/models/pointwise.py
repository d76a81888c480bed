"""1x1 convolutions in the forms that suit a CPU: a product of matrices, and the choice of cells before a stride."""

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


def keep_cells(inputs: Any, stride: int) -> Any:
    """Returns every `stride`-th cell of both axes of [B, H, W, C], from the first one on."""
    # The mean of one cell. TensorFlow's slices with a stride take 20 times as long on a CPU, their gradient 4 times.
    return ops.average_pool(inputs, 1, strides=stride, padding="valid", data_format="channels_last")


@keras.saving.register_keras_serializable(package="tfpose")
class Subsampling(layers.Layer):
    """Keeps every `stride`-th cell of both axes, from the first one on.

    This layer and a 1x1 convolution after it replace a strided 1x1 convolution. On CPUs, the gradient of the strided
    convolution writes outside its memory in TensorFlow 2.21 (oneDNN, up to 8 channels, one image).

    Args:
        stride: Stride of both axes.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, inputs: Any) -> Any:
        """Returns [B, ceil(H / stride), ceil(W / stride), C] from [B, H, W, C]."""
        return keep_cells(inputs, self.stride)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [B, ceil(H / stride), ceil(W / stride), C]."""
        sizes = (None if size is None else -(-size // self.stride) for size in input_shape[1:3])
        return (input_shape[0], *sizes, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "stride": self.stride}
