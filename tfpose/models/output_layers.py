"""Layers whose outputs the loss compares with its targets, and the mark on their kernels."""

from __future__ import annotations

import keras
from keras import DTypePolicy, layers

from tfpose.models.pointwise import PointwiseConvolution


def output_dtype(policy: DTypePolicy) -> str:
    """Returns the dtype of a network's input and output: float32, or float64 under a float64 policy.

    Outputs are compared with targets and with each other: half precision would round them.
    """
    return "float64" if policy.variable_dtype == "float64" else "float32"


class OutputLayer(layers.Layer):
    """Base class beside a Keras layer with a `kernel`: marks the kernel as one that writes a network's output.

    An optimizer sees variables without their layers. The mark on the variable tells it which kernels write outputs
    (`is_output_kernel`). The class sets the mark whenever the layer is built, so a copy made from the layer's config
    has it too, and loading weights keeps it.

    Example:
        >>> class Heatmaps(OutputLayer, keras.layers.Conv2D): pass
        >>> layer = Heatmaps(17, 1)
        >>> layer.build((None, 64, 48, 256))
        >>> is_output_kernel(layer.kernel)
        True
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights and marks the kernel."""
        super().build(input_shape)
        self.kernel.is_output = True


def is_output_kernel(variable: keras.Variable) -> bool:
    """Returns whether `variable` is the kernel of an `OutputLayer`."""
    return getattr(variable, "is_output", False)


@keras.saving.register_keras_serializable(package="tfpose")
class OutputConvolution(OutputLayer, PointwiseConvolution):
    """1x1 convolution that writes an output of the network."""


@keras.saving.register_keras_serializable(package="tfpose")
class OutputSpatialConvolution(OutputLayer, layers.Conv2D):
    """Convolution over several cells that writes an output of the network."""


@keras.saving.register_keras_serializable(package="tfpose")
class OutputTransposedConvolution(OutputLayer, layers.Conv2DTranspose):
    """Transposed convolution that writes an output of the network."""
