"""Layers of the single heatmap network with their names, precision and first weights; its departures from the paper."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, layers

from tfpose.models.batch_norm import FusedBatchNormalization, synchronize_batch_norms
from tfpose.models.output_layers import OutputConvolution, output_dtype
from tfpose.models.pose_resnet import apply_encoder_decoder
from tfpose.models.pose_unet_settings import PoseUnetSettings


class PoseUnetLayers:
    """Adds named layers to a network, with the precision, the normalization and the first weights of its settings.

    Attributes:
        settings: Settings of the network.
        policy: Dtype policy of the hidden layers.
        output_dtype: Dtype of the heatmaps.
    """

    def __init__(self, settings: PoseUnetSettings) -> None:
        self.settings = settings
        self.policy = keras.dtype_policies.get(keras.config.dtype_policy())
        self.output_dtype = output_dtype(self.policy)

    def convolution(
        self,
        x: KerasTensor,
        filters: int,
        name: str,
        stride: int = 1,
        variance_part: float = 1.0,
        use_bias: bool = True,
    ) -> KerasTensor:
        """Adds a 3x3 convolution without activation."""
        if stride > 1:
            # One zero on both sides, so that output cell i lies at input cell 2i.
            x = layers.ZeroPadding2D(1, dtype=self.policy, name=f"{name}_pad")(x)
        return layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="valid" if stride > 1 else "same",
            use_bias=use_bias and self.settings.normalization == "none",
            kernel_initializer=_he_initializer(variance_part),
            kernel_regularizer=self._regularizer(),
            dtype=self.policy,
            name=f"{name}_conv",
        )(x)

    def activation(self, x: KerasTensor, name: str) -> KerasTensor:
        """Adds a ReLU, behind a batch normalization if the settings ask for one."""
        if self.settings.normalization == "batch":
            x = FusedBatchNormalization(dtype=self.policy, name=f"{name}_bn")(x)
        return layers.ReLU(dtype=self.policy, name=f"{name}_relu")(x)

    def block(self, x: KerasTensor, filters: int, name: str, first: int = 1) -> KerasTensor:
        """Adds the convolutions of a block from number `first` on, each with its activation."""
        for index in range(first, self.settings.convolutions_per_block + 1):
            x = self.convolution(x, filters, f"{name}{index}")
            x = self.activation(x, f"{name}{index}")
        return x

    def pooling(self, x: KerasTensor, name: str) -> KerasTensor:
        """Adds a pooling that halves the size."""
        return layers.MaxPooling2D(2, dtype=self.policy, name=f"{name}_pool")(x)

    def heatmaps(self, x: KerasTensor, num_maps: int, name: str, bias: float = 0.0) -> KerasTensor:
        """Adds a 1x1 convolution and the hyperbolic tangent."""
        stddev = self.settings.heatmap_init_stddev
        return OutputConvolution(
            num_maps,
            activation="tanh",
            kernel_initializer=(
                _he_initializer() if stddev is None else keras.initializers.TruncatedNormal(stddev=stddev)
            ),
            bias_initializer=keras.initializers.Constant(bias),
            kernel_regularizer=self._regularizer(),
            dtype=self.output_dtype,
            name=name,
        )(x)

    def finish(self, inputs: Any, outputs: Any, name: str) -> keras.Model:
        """Makes a model of named inputs and outputs."""
        model = keras.Model(inputs, outputs, name=name)
        if self.settings.synchronize_batch_norm:
            synchronize_batch_norms(model)
        return model

    # Departures from the paper.

    def encoder_decoder(self, images: KerasTensor) -> KerasTensor:
        """Adds the residual network, with its own layer names, in place of the stem and the first U-Net."""
        return apply_encoder_decoder(images, self.settings.encoder, self.policy)

    def strided_stem(self, x: KerasTensor) -> KerasTensor:
        """Adds the two stages of two convolutions each, the first of which halves the size."""
        for stage, filters in enumerate(self.settings.widths_of_stem, start=1):
            for index, stride in ((1, 2), (2, 1)):
                x = self.convolution(x, filters, f"stem_stage{stage}_{index}", stride)
                x = self.activation(x, f"stem_stage{stage}_{index}")
        return x

    def adapt_width(self, x: KerasTensor, filters: int, name: str) -> KerasTensor:
        """Adds a 1x1 convolution without activation where the number of channels changes."""
        if x.shape[-1] == filters:
            return x
        return layers.Conv2D(
            filters,
            1,
            kernel_initializer=_he_initializer(0.5),
            kernel_regularizer=self._regularizer(),
            dtype=self.policy,
            name=f"{name}_conv",
        )(x)

    def enlarge_filter_maps(self, filter_maps: KerasTensor) -> KerasTensor:
        """Interpolates the maps of a second U-Net that works at a lower resolution."""
        if self.settings.person_stride == 1:
            return filter_maps
        # Interpolated after the hyperbolic tangent, where there are the fewest channels.
        return layers.UpSampling2D(
            self.settings.person_stride,
            interpolation="bilinear",
            dtype=self.output_dtype,
            name="filter_maps_upsample",
        )(filter_maps)

    def _regularizer(self) -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(self.settings.l2) if self.settings.l2 else None


def _he_initializer(variance_part: float = 1.0) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0 * variance_part, "fan_in", "truncated_normal")
