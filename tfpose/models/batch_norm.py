"""Batch normalization with TensorFlow's fused kernel, and its merging into convolutions."""

from __future__ import annotations

import collections
from typing import Any

import keras
import numpy as np
from keras import ops

from tfpose.models.keypoint_rcnn.convolution import TrunkConvolution
from tfpose.models.subpixel import SubpixelConvolution, is_subpixel, subpixel_kernels
from tfpose.models.upsampling import NearestUpsampling, is_nearest

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D, TrunkConvolution)
_FUSED_DTYPES = ("float16", "bfloat16", "float32")
# oneDNN converts the kernel of a transposed convolution at every call. From this size on, the conversion takes
# noticeable time.
_LARGE_KERNEL = 2**20


@keras.saving.register_keras_serializable(package="tfpose")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over the last axis of [B, H, W, C], by one fused kernel if there is one.

    Keras 3 computes moments and normalization by separate operations, which made a ResNet-50
    training step on a CPU a fifth slower. Two differences to `keras.layers.BatchNormalization`:
    the running variance takes the unbiased batch variance (times n / (n - 1), n = B * H * W), as
    the fused kernel and PyTorch do; and under `tf.distribute` every replica's copy of the running
    statistics gets the mean over the replicas, where Keras lets the copies drift apart.

    Statistics are computed and kept in float32 for float16 and bfloat16 inputs. Float64, other
    backends and masked inputs use separate operations.

    Reference: Ioffe and Szegedy, "Batch Normalization", 2015, Algorithms 1 and 2.

    Args:
        momentum: Share of the old running statistics kept in every step.
        epsilon: Added to the variance.
        **kwargs: As `keras.layers.Layer`.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Adds a weight; running statistics are averaged over replicas."""
        if str(kwargs.get("name", "")).startswith("moving_"):
            kwargs["aggregation"] = "mean"
        return super().add_weight(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes by the batch's statistics in training, else by the running ones.

        Args:
            inputs: [B, H, W, C].
            training: Whether to use and record the statistics of this batch.
            mask: Optional [B, H, W], True where a position counts.

        Returns:
            [B, H, W, C] in the layer's compute dtype.
        """
        if mask is not None or self.renorm or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        use_batch_statistics = bool(training and self.trainable)
        if self._can_fuse(inputs):
            return self._call_fused(inputs, use_batch_statistics)
        if not use_batch_statistics:
            return super().call(inputs, training=False)
        return self._call_unfused(inputs)

    def _can_fuse(self, inputs: Any) -> bool:
        is_last_axis = self.axis in (-1, 3) and len(inputs.shape) == 4
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        return (
            keras.backend.backend() == "tensorflow"
            and is_last_axis
            and self.scale
            and self.center
            and dtype in _FUSED_DTYPES
        )

    def _call_fused(self, inputs: Any, use_batch_statistics: bool) -> Any:
        running = (
            {}
            if use_batch_statistics
            else {
                "mean": tf.convert_to_tensor(self.moving_mean),
                "variance": tf.convert_to_tensor(self.moving_variance),
            }
        )
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=use_batch_statistics,
            **running,
        )
        if use_batch_statistics:
            self._update_running_statistics(mean, variance)
        return outputs

    def _call_unfused(self, inputs: Any) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        values = ops.cast(inputs, dtype)
        mean, variance = ops.moments(values, axes=self._reduction_axes)
        count = ops.cast(ops.size(values) // ops.size(mean), dtype)
        self._update_running_statistics(mean, variance * count / ops.maximum(count - 1, 1))
        outputs = ops.batch_normalization(
            values,
            mean,
            variance,
            axis=self.axis,
            offset=self.beta,
            scale=self.gamma,
            epsilon=self.epsilon,
        )
        return ops.cast(outputs, self.compute_dtype)

    def _update_running_statistics(self, mean: Any, variance: Any) -> None:
        for variable, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            variable.assign(variable * self.momentum + value * (1.0 - self.momentum))


def layers_without_statistics(model: keras.Model) -> list[FusedBatchNormalization]:
    """Returns the batch normalizations of a trained model if all their running means are exactly 0, else none.

    Published weights are like that if the normalizations were merged into the convolutions before.
    """
    layers = [layer for layer in model.layers if isinstance(layer, FusedBatchNormalization)]
    has_statistics = any(np.any(keras.ops.convert_to_numpy(layer.moving_mean)) for layer in layers)
    return [] if has_statistics else layers


def synchronize_batch_norms(model: keras.Model) -> None:
    """Makes the batch normalizations of a model use the statistics of all replicas in training."""
    for layer in model.layers:
        if isinstance(layer, FusedBatchNormalization):
            layer.synchronized = True


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Builds the inference network with each batch normalization merged into its convolution.

    A normalization is merged where it is the only reader of a linear `Conv2D`, `Conv2DTranspose`,
    `DepthwiseConv2D` or `TrunkConvolution`; any other stays. Large transposed convolutions become
    `SubpixelConvolution`s, and enlargements by repetition `NearestUpsampling`s. The weights are
    copied: later training of `model` does not change the result.

    Args:
        model: Functional model of at least one layer, trained under any dtype policy.

    Returns:
        A model with the same inputs, outputs and layer names, without the merged layers, that
        computes in the dtype of the variables (float32 for `mixed_float16`). Heatmaps are the
        same to rounding. It is not compiled.
    """
    convolutions = _convolutions_before_normalizations(model)

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in convolutions:
            return layer  # It is never called.
        config = layer.get_config()
        config["dtype"] = layer.variable_dtype
        if layer.name in convolutions.values():
            config |= {"norm": "merged"} if isinstance(layer, TrunkConvolution) else {"use_bias": True}
        if _is_large_subpixel(layer):
            names = ("name", "dtype", "filters", "use_bias")
            return SubpixelConvolution(**{name: config[name] for name in names})
        if is_nearest(layer):
            return NearestUpsampling.from_config(config)
        return layer.__class__.from_config(config)

    def call_layer(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in convolutions else layer(*args, **kwargs)

    # Cloning a compiled model would compile the copy.
    uncompiled = keras.Model(model.input, model.output, name=model.name)
    inputs = keras.tree.map_structure(renew_input, model.input)
    folded = keras.models.clone_model(
        uncompiled, input_tensors=inputs, clone_function=clone_layer, call_function=call_layer
    )
    normalizations = {name: normalization for normalization, name in convolutions.items()}
    originals = {layer.name: layer for layer in model.layers}
    for layer in folded.layers:
        if not layer.weights:
            continue
        original = originals[layer.name]
        if layer.name in normalizations:
            weights = _merged_weights(original, originals[normalizations[layer.name]])
        else:
            weights = original.get_weights()
        if isinstance(layer, SubpixelConvolution):
            weights[:1] = subpixel_kernels(weights[0])
        layer.set_weights(weights)
    return folded


def _is_large_subpixel(layer: keras.layers.Layer) -> bool:
    return is_subpixel(layer) and np.prod(layer.kernel.shape) >= _LARGE_KERNEL


def renew_input(tensor: keras.KerasTensor, dtype: str | None = None) -> keras.KerasTensor:
    """Returns an input of the same name, which cloning alone would not keep; None keeps the dtype too."""
    name = tensor._keras_history.operation.name
    return keras.Input(batch_shape=tensor.shape, dtype=dtype or tensor.dtype, name=name)


def _convolutions_before_normalizations(model: keras.Model) -> dict[str, str]:
    """Returns the names of the batch normalizations that can be merged, with the convolution before each."""
    # An output of the model has one more reader.
    readers = collections.Counter(id(tensor) for tensor in model.outputs)
    for layer in model.layers:
        readers.update(id(tensor) for tensor in keras.tree.flatten(_inputs_of(layer)))
    pairs = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        source = layer.input._keras_history.operation
        is_linear = isinstance(source, _CONVOLUTIONS) and source.activation in (None, keras.activations.linear)
        if is_linear and readers[id(source.output)] == 1:
            pairs[layer.name] = source.name
    return pairs


def _inputs_of(layer: keras.layers.Layer) -> Any:
    return [] if isinstance(layer, keras.layers.InputLayer) else layer.input


def _merged_weights(
    convolution: keras.layers.Layer, normalization: keras.layers.BatchNormalization
) -> list[np.ndarray]:
    """Computes kernel and bias of convolution and normalization together, in float64."""
    kernel, *bias = (np.asarray(weight, np.float64) for weight in convolution.get_weights())
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
        for weight in (normalization.moving_mean, normalization.moving_variance)
    )
    scale = 1.0 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        scale = scale * keras.ops.convert_to_numpy(normalization.gamma)
    shift = (sum(bias) - mean) * scale
    if normalization.center:
        shift = shift + keras.ops.convert_to_numpy(normalization.beta)
    # Kernels are [h, w, in, out], those of the others [h, w, out, in] and [h, w, out, 1].
    is_last = isinstance(convolution, (keras.layers.Conv2D, TrunkConvolution))
    kernel = kernel * (scale if is_last else scale[:, None])
    return [kernel, shift]
