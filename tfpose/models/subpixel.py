"""A transposed convolution that doubles the size, written as a convolution."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

KERNEL_SIZE = 4
STRIDE = 2


@keras.saving.register_keras_serializable(package="tfpose")
class SubpixelConvolution(layers.Layer):
    """`Conv2DTranspose(filters, 4, strides=2, padding="same")` as a 2x2 convolution of four phases.

    Every second row and column of the output sees two taps of the kernel on each axis: one 2x2 convolution gives all
    four phases, which are then interleaved. Same numbers to rounding. TensorFlow brings the kernel of a transposed
    convolution into oneDNN's layout at every call, which took a third of ResNet-50's time for one crop; that of a
    convolution it keeps. Only for inference: the gradients of the transposed form are faster.

    Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.

    Args:
        filters: channels F of the output.
        use_bias: whether there is one.
        **kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, filters: int, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel [2, 2, C, 4 * F] and the bias [F]."""
        taps = KERNEL_SIZE // STRIDE
        shape = (taps, taps, input_shape[-1], STRIDE**2 * self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros") if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        """[B, H, W, C] -> [B, 2 * H, 2 * W, F]"""
        _, height, width, _ = ops.shape(inputs)
        padded = ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        phases = ops.conv(padded, self.kernel, padding="valid")
        # Row y of phase a sees the rows y + a - 1 and y + a of the input.
        rows = []
        for row in range(STRIDE):
            part = phases[:, row : row + height]
            columns = []
            for column in range(STRIDE):
                first = (STRIDE * row + column) * self.filters
                columns.append(part[:, :, column : column + width, first : first + self.filters])
            rows.append(ops.stack(columns, axis=3))
        outputs = ops.reshape(ops.stack(rows, axis=2), (-1, STRIDE * height, STRIDE * width, self.filters))
        return outputs if self.bias is None else outputs + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[B, H, W, C] -> [B, 2 * H, 2 * W, F]"""
        batch, *size, _ = input_shape
        return (batch, *(None if length is None else STRIDE * length for length in size), self.filters)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "filters": self.filters, "use_bias": self.use_bias}


def is_subpixel(layer: layers.Layer) -> bool:
    """Whether a layer is a transposed convolution that `SubpixelConvolution` can take the place of."""
    return (
        isinstance(layer, layers.Conv2DTranspose)
        and layer.kernel_size == (KERNEL_SIZE, KERNEL_SIZE)
        and layer.strides == (STRIDE, STRIDE)
        and layer.padding == "same"
        and layer.output_padding is None
        and layer.dilation_rate == (1, 1)
        and layer.activation is keras.activations.linear
    )


def subpixel_kernel(kernel: np.ndarray) -> np.ndarray:
    """The kernel of a transposed convolution [4, 4, F, C] as that of a `SubpixelConvolution` [2, 2, C, 4 * F].

    Output 2 y + a takes row y + t + a - 1 of the input, t = 0 or 1, times row 3 - a - 2 t of the kernel.
    """
    taps = KERNEL_SIZE // STRIDE
    filters, channels = kernel.shape[2:]
    split = kernel[::-1, ::-1].reshape(taps, STRIDE, taps, STRIDE, filters, channels)
    return split.transpose(0, 2, 5, 1, 3, 4).reshape(taps, taps, channels, STRIDE**2 * filters)
