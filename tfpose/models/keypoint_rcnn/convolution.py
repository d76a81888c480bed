"""The convolution of the trunk: grouped or not, with a frozen normalization merged into its kernel."""

from __future__ import annotations

import functools
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from tfpose.models.pointwise import keep_cells

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

Tensor = Any  # of the Keras backend in use
GroupedConvolution = Literal["auto", "blocks", "native"]
Norm = Literal["frozen", "merged", "none"]

# Dense convolutions of fewer channels leave the vector units of a CPU idle, more multiply more zeros.
BLOCK_CHANNELS = 32
NORM_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="tfpose")
class TrunkConvolution(keras.layers.Layer):
    """Convolution with zeros on both sides of each axis, then frozen normalization and ReLU.

    Frozen means that the normalization is an affine map of four vectors that are not trained (batch normalization
    with the statistics of another data set). It is applied to the kernel, which has far fewer numbers than the image
    and leaves one kernel for convolution, addition and ReLU.

    The kernel is stored as [size, size, channels / groups, filters], whichever way it is computed.

    Args:
        filters: Channels of the result.
        kernel_size: Odd size of the kernel.
        strides: Stride of both axes; cell i of the result lies at cell `strides * i` of the input.
        groups: Number of parts of the channels and of the filters that do not see each other.
        norm: "frozen" for the frozen normalization; "merged" for one that is merged into the kernel once and for all,
            which leaves a bias; "none" for neither.
        activation: "relu" or None.
        grouped_convolution: Computation of grouped convolutions, see `KeypointRcnnSettings`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        groups: int = 1,
        norm: Norm = "frozen",
        activation: str | None = None,
        grouped_convolution: GroupedConvolution = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if filters % groups:
            raise ValueError(f"{self.name}: filters must divide by groups, got {filters} and {groups}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.groups = groups
        self.norm = norm
        self.activation = activation
        self.grouped_convolution = grouped_convolution

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel and the frozen normalization or the bias."""
        channels = input_shape[-1]
        if channels is None or channels % self.groups:
            raise ValueError(f"{self.name}: channels must divide by groups, got {channels} and {self.groups}.")
        shape = (self.kernel_size, self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="he_normal", name="kernel")
        if self.norm == "merged":
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.norm == "frozen":
            self.norm_scale, self.norm_variance = (self._add_norm(name, "ones") for name in ("scale", "variance"))
            self.norm_shift, self.norm_mean = (self._add_norm(name, "zeros") for name in ("shift", "mean"))

    def _add_norm(self, name: str, initializer: str) -> keras.Variable:
        return self.add_weight(
            shape=(self.filters,), initializer=initializer, trainable=False, autocast=False, name=f"norm_{name}"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Convolves features [B, H, W, C] to [B, ceil(H / strides), ceil(W / strides), filters]."""
        kernel, shift = self._merged_weights()
        x = inputs
        border = self.kernel_size // 2
        if self.strides > 1 and border:
            # "same" would pad only the end of each axis.
            x = ops.pad(x, [[0, 0], [border, border], [border, border], [0, 0]])
        padding = "valid" if self.strides > 1 else "same"
        x = convolve(x, kernel, self.strides, padding, self.groups, self.grouped_convolution)
        if shift is not None:
            x = _add_bias(x, shift)
        return ops.relu(x) if self.activation == "relu" else x

    def _merged_weights(self) -> tuple[Tensor, Tensor | None]:
        if self.norm != "frozen":
            bias = ops.convert_to_tensor(self.bias) if self.norm == "merged" else None
            return ops.convert_to_tensor(self.kernel), bias
        scale = self.norm_scale * ops.rsqrt(self.norm_variance + NORM_EPSILON)
        shift = self.norm_shift - self.norm_mean * scale
        return self.kernel * ops.cast(scale, self.compute_dtype), ops.cast(shift, self.compute_dtype)

    def merge_norm(self) -> list[np.ndarray]:
        """Returns kernel and bias, in float64, of the same convolution with a merged norm in place of a frozen one."""
        weights = (self.kernel, self.norm_scale, self.norm_variance, self.norm_shift, self.norm_mean)
        kernel, scale, variance, shift, mean = (
            np.asarray(ops.convert_to_numpy(weight), np.float64) for weight in weights
        )
        scale = scale / np.sqrt(variance + NORM_EPSILON)
        return [kernel * scale, shift - mean * scale]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [B, ceil(H / strides), ceil(W / strides), filters]."""
        sizes = (None if size is None else -(-size // self.strides) for size in input_shape[1:3])
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("filters", "kernel_size", "strides", "groups", "norm", "activation", "grouped_convolution")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def convolve(
    inputs: Tensor,
    kernel: Tensor,
    strides: int = 1,
    padding: str = "same",
    groups: int = 1,
    grouped_convolution: GroupedConvolution = "auto",
) -> Tensor:
    """Computes a grouped convolution in the way that suits the machine.

    Args:
        inputs: [B, H, W, C].
        kernel: [h, w, C / groups, filters].
        strides: Stride of both axes.
        padding: "same" or "valid", as in Keras.
        groups: Number of parts of the channels.
        grouped_convolution: Computation of grouped convolutions, see `KeypointRcnnSettings`.

    Returns:
        [B, H', W', filters].
    """
    if strides > 1 and kernel.shape[0] == 1:
        # The gradient of the strided form writes outside its memory, see `Subsampling`.
        inputs, strides = keep_cells(inputs, strides), 1
    if groups == 1:
        return ops.conv(inputs, kernel, strides=strides, padding=padding)
    if grouped_convolution == "blocks" or (grouped_convolution == "auto" and not has_native_gradient()):
        return _convolve_blocks(inputs, kernel, strides, padding, groups)
    if keras.backend.backend() == "tensorflow":
        # Keras compiles grouped convolutions with XLA, which takes 14 times as long on a CPU.
        return tf.nn.conv2d(inputs, kernel, strides, padding.upper())
    return ops.conv(inputs, kernel, strides=strides, padding=padding)


def _convolve_blocks(inputs: Tensor, kernel: Tensor, strides: int, padding: str, groups: int) -> Tensor:
    """Computes dense convolutions of blocks of channels, with zeros in the kernels between the groups of a block."""
    kernels = _block_kernels(kernel, groups)
    parts = ops.split(inputs, kernels.shape[0], axis=-1)
    outputs = [ops.conv(part, kernels[index], strides=strides, padding=padding) for index, part in enumerate(parts)]
    return ops.concatenate(outputs, axis=-1)


def _block_kernels(kernel: Tensor, groups: int) -> Tensor:
    """Converts kernels [h, w, C / groups, filters] to [blocks, h, w, C / blocks, filters / blocks]."""
    height, width, channels, filters = kernel.shape
    per_block = next(size for size in range(max(BLOCK_CHANNELS // channels, 1), 0, -1) if groups % size == 0)
    num_blocks = groups // per_block
    split = ops.reshape(kernel, (height, width, channels, num_blocks, per_block, filters // groups))
    split = ops.transpose(split, (3, 0, 1, 2, 4, 5))[:, :, :, None]
    is_own_group = ops.cast(ops.eye(per_block), kernel.dtype)[:, None, :, None]
    return ops.reshape(split * is_own_group, (num_blocks, height, width, per_block * channels, filters // num_blocks))


@functools.cache
def has_native_gradient() -> bool:
    """Returns whether the backend differentiates grouped convolutions here; TensorFlow on a CPU requires oneDNN."""
    if keras.backend.backend() != "tensorflow":
        return True
    settings = {"strides": [1, 1, 1, 1], "padding": "SAME"}
    # A gradient tape would record nothing inside this scope.
    with tf.init_scope():
        images, kernel = tf.zeros([1, 3, 3, 4]), tf.zeros([3, 3, 2, 4])
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=images.shape, filter=kernel, out_backprop=images, **settings
            ).numpy()
            tf.raw_ops.Conv2DBackpropFilter(
                input=images, filter_sizes=kernel.shape, out_backprop=images, **settings
            ).numpy()
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def _add_bias(x: Tensor, bias: Tensor) -> Tensor:
    # TensorFlow fuses this operation, and no other addition, with the convolution before and the ReLU after it.
    return tf.nn.bias_add(x, bias) if keras.backend.backend() == "tensorflow" else x + bias
