"""A transposed convolution that doubles the size, written as convolutions."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras import layers, ops

# Kernel and stride of the transposed convolutions of Xiao et al. (2018) and of Mask R-CNN's keypoint head: each doubles
# the size.
DECONVOLUTION_SIZE = 4
DECONVOLUTION_STRIDE = 2
PHASES = tuple(itertools.product(range(DECONVOLUTION_STRIDE), repeat=2))


@keras.saving.register_keras_serializable(package="tfpose")
class SubpixelConvolution(layers.Layer):
    """`Conv2DTranspose(filters, 4, strides=2, padding="same")` as four 2x2 convolutions, one per phase.

    Each pixel of the output depends on two taps of the kernel on each axis: one pair for even rows or columns, one for
    odd. Each phase is one of the four cases, and the layer interleaves the four outputs. The result is the same up to
    rounding. TensorFlow converts the kernel of a transposed convolution to oneDNN's layout at every call, which took a
    third of ResNet-50's time for one crop. TensorFlow keeps the converted kernel of a convolution, and adds the bias in
    the same step. Only for inference: the gradients of the transposed form are faster.

    Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.

    Args:
        filters: Channels F of the output.
        use_bias: Whether the layer has a bias.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, filters: int, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernels [2, 2, C, F] of the phases, as `subpixel_kernels` orders them, and the bias [F]."""
        taps = DECONVOLUTION_SIZE // DECONVOLUTION_STRIDE
        shape = (taps, taps, input_shape[-1], self.filters)
        self.kernels = [self.add_weight(name=f"kernel{row}{column}", shape=shape) for row, column in PHASES]
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros") if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        """Returns [B, 2 * H, 2 * W, F] for [B, H, W, C]."""
        _, height, width, _ = ops.shape(inputs)
        phases = []
        for (row, column), kernel in zip(PHASES, self.kernels, strict=True):
            # Row y of phase 0 sees the rows y - 1 and y of the input, of phase 1 the rows y and y + 1.
            padded = ops.pad(inputs, [[0, 0], [1 - row, row], [1 - column, column], [0, 0]])
            phase = ops.conv(padded, kernel, padding="valid")
            phases.append(phase if self.bias is None else ops.add(phase, ops.reshape(self.bias, (1, 1, 1, -1))))
        rows = [ops.stack(phases[first : first + DECONVOLUTION_STRIDE], axis=3) for first in (0, DECONVOLUTION_STRIDE)]
        return ops.reshape(
            ops.stack(rows, axis=2), (-1, DECONVOLUTION_STRIDE * height, DECONVOLUTION_STRIDE * width, self.filters)
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [B, 2 * H, 2 * W, F] for [B, H, W, C]."""
        batch, *size, _ = input_shape
        return (batch, *(None if length is None else DECONVOLUTION_STRIDE * length for length in size), self.filters)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "filters": self.filters, "use_bias": self.use_bias}


def is_subpixel(layer: layers.Layer) -> bool:
    """Returns whether `SubpixelConvolution` can replace a layer."""
    return (
        isinstance(layer, layers.Conv2DTranspose)
        and layer.kernel_size == (DECONVOLUTION_SIZE, DECONVOLUTION_SIZE)
        and layer.strides == (DECONVOLUTION_STRIDE, DECONVOLUTION_STRIDE)
        and layer.padding == "same"
        and layer.output_padding is None
        and layer.dilation_rate == (1, 1)
        and layer.activation is keras.activations.linear
    )


def subpixel_kernels(kernel: np.ndarray) -> list[np.ndarray]:
    """Returns the kernels [2, 2, C, F] of a `SubpixelConvolution` from that of a transposed convolution, [4, 4, F, C].

    Output 2 y + a takes row y + t + a - 1 of the input, t = 0 or 1, times row 3 - a - 2 t of the kernel.
    """
    flipped = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return [flipped[row::DECONVOLUTION_STRIDE, column::DECONVOLUTION_STRIDE] for row, column in PHASES]
