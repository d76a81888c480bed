"""Functions that XLA compiles for training with TensorFlow on CPUs: one program for the value, one for the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def compile_with_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors, and its gradient, for training on CPUs.

    Each program reads and writes its tensors once, where TensorFlow does so for each operation of the function. The
    gradient keeps only the function's inputs in memory and computes the rest again. With a GPU the function is called
    as it is: there XLA needs files of CUDA that TensorFlow does not find everywhere. `optimization.jit_compile`
    compiles whole steps.

    Args:
        function: Function of tensors, built of `keras.ops` of single elements and sums, that returns one tensor.

    Returns:
        A function with the same arguments and value.
    """
    if keras.backend.backend() != "tensorflow":
        return function

    @tf.function(jit_compile=True, autograph=False)
    def differentiate(upstream: tf.Tensor, *inputs: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
        return tape.gradient(outputs, inputs, upstream)

    evaluate = tf.function(function, jit_compile=True, autograph=False)

    @tf.custom_gradient
    def compiled(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
        return evaluate(*inputs), lambda upstream: differentiate(upstream, *inputs)

    def call(*inputs: Any) -> tf.Tensor:
        # `tf.custom_gradient` takes no variables.
        tensors = map(tf.convert_to_tensor, inputs)
        return function(*tensors) if tf.config.list_physical_devices("GPU") else compiled(*tensors)

    return call
