"""Muon: momentum made orthogonal, layer by layer; the demo's networks need about two thirds of the steps of Adam."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfpose.models.output_layers import is_output_kernel
from tfpose.training.adam import update_by_adam

# Kernels from or to fewer channels read pictures or write maps: their directions are not alike.
_MIN_CHANNELS = 16
# An odd polynomial of degree 5 that raises small singular values fast, to between 0.7 and 1.2 (Jordan et al., 2024).
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_NUM_ITERATIONS = 5
# Size of an update's entries; that of Adam's is alike, so that one learning rate suits both (Liu et al., 2025, eq. 4).
_ENTRY_SIZE = 0.2
_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPSILON = 1e-7
# Of a gradient of nothing; far below any other, so that the scale of the loss does not matter.
_SMALLEST_NORM = 1e-12


@keras.saving.register_keras_serializable("tfpose")
class Muon(keras.optimizers.Optimizer):
    """Moves the kernels between hidden layers by their momentum made orthogonal, everything else by Adam.

    A kernel is a matrix W [height * width * channels, channels] here. With gradient G, its momentum M and direction D

        M = momentum * M + G,  D = G + momentum * M,  W = W - rate * 0.2 * sqrt(longer side of W) * orthogonal(D)

    where orthogonal(U S V') is U V' for a singular value decomposition U S V', nearly (`orthogonalize`): all directions
    of a layer are learned equally fast, not the strongest first. Biases, normalisations, and the kernels that read
    pictures or write maps are moved by Adam at the same rate. `keras.optimizers.Muon` has no form for convolutions.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the scale of Liu et al.,
    "Muon is scalable for LLM training", 2025, equation 4.

    Args:
        learning_rate: Number or schedule, about that of Adam.
        momentum: See above.
    """

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, momentum: float = 0.95
    ) -> None:
        super().__init__(learning_rate, name="muon")
        self.momentum = momentum

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the slots: a momentum for each variable, for Adam's the mean square of the gradient too."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")
        of_adam = [variable for variable in variables if not is_hidden_kernel(variable)]
        velocities = self.add_optimizer_variables(of_adam, "velocity")
        self._velocities = {self._get_variable_index(v): slot for v, slot in zip(of_adam, velocities, strict=True)}

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Moves one variable."""
        self.update_all([gradient], [variable], learning_rate)

    def update_all(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], learning_rate: tf.Tensor
    ) -> None:
        """Moves the variables; together they take less time than one by one."""
        directions, kernels, rest = [], [], []
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            slot, gradient = self._momentums[index], tf.cast(gradient, variable.dtype)
            if index in self._velocities:
                rest.append((gradient, variable, slot, self._velocities[index]))
                continue
            momentum = self.momentum * tf.convert_to_tensor(slot) + gradient
            self.assign(slot, momentum)
            kernels.append(variable)
            directions.append(tf.reshape(gradient + self.momentum * momentum, [-1, variable.shape[-1]]))
        for variable, direction in zip(kernels, orthogonalize(directions), strict=True):
            scale = tf.cast(learning_rate, direction.dtype) * (_ENTRY_SIZE * math.sqrt(max(direction.shape)))
            self.assign_sub(variable, tf.reshape(scale * direction, variable.shape))
        update_by_adam(rest, learning_rate, self.iterations, _ADAM_BETAS, _ADAM_EPSILON)

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        config = super().get_config()
        return {"learning_rate": config["learning_rate"], "momentum": self.momentum}


def is_hidden_kernel(variable: keras.Variable) -> bool:
    """Whether `variable` is the kernel of a layer between hidden ones, which Muon moves by orthogonal updates."""
    is_kernel = len(variable.shape) in (2, 4) and min(variable.shape[-2:]) >= _MIN_CHANNELS
    return is_kernel and not is_output_kernel(variable)


def orthogonalize(matrices: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """For each matrix U S V' about U V': singular values of 1 % of the matrix's norm and more become 0.7 to 1.2.

    Newton-Schulz iterations X = a X + b (X X') X + c (X X')^2 X from X = matrix / norm. They are run on the Gram
    matrices of the shorter sides, all of one size at once, and what comes out multiplies the matrices in the end: a
    kernel has several times as many rows as columns.

    Args:
        matrices: each [n, m], any sizes.

    Returns:
        Matrices of the same shapes; a matrix of zeros stays one.
    """
    by_side = collections.defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_side[min(matrix.shape)].append(index)
    results: list[tf.Tensor | None] = [None] * len(matrices)
    for indices in by_side.values():
        chosen = [matrices[index] for index in indices]
        grams = [tf.matmul(m, m, transpose_a=_is_tall(m), transpose_b=not _is_tall(m)) for m in chosen]
        factors = tf.unstack(_orthogonal_factors(tf.stack(grams)), num=len(chosen))
        for index, matrix, factor in zip(indices, chosen, factors, strict=True):
            results[index] = tf.matmul(matrix, factor) if _is_tall(matrix) else tf.matmul(factor, matrix)
    return results


def _orthogonal_factors(grams: tf.Tensor) -> tf.Tensor:
    """What makes matrices with the Gram matrices [K, n, n] nearly orthogonal when multiplied by it, [K, n, n]."""
    a, b, c = _POLYNOMIAL
    norms = tf.sqrt(tf.linalg.trace(grams))[:, None, None] + _SMALLEST_NORM
    grams = grams / tf.square(norms)
    identity = tf.eye(grams.shape[-1], dtype=grams.dtype)
    polynomial = a * identity + b * grams + c * tf.matmul(grams, grams)
    factors = polynomial / norms
    for _ in range(_NUM_ITERATIONS - 1):
        grams = tf.matmul(tf.matmul(polynomial, grams), polynomial)
        polynomial = a * identity + b * grams + c * tf.matmul(grams, grams)
        factors = tf.matmul(polynomial, factors)
    return factors


def _is_tall(matrix: tf.Tensor) -> bool:
    return matrix.shape[0] >= matrix.shape[1]
