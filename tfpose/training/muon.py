"""Muon, an optimizer that makes the momentum of each layer orthogonal.

The networks of the demo need about two thirds of the steps that they need with Adam.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfpose.models.output_layers import is_output_kernel
from tfpose.training.adam import AdamVariable, update_by_adam

# Kernels with fewer channels read pictures or write maps, and their directions do not have equal importance.
_MIN_CHANNELS = 16
# Coefficients of x, x^3 and x^5 in the polynomial that lifts small singular values (Jordan et al., 2024).
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_NUM_ITERATIONS = 5
# Typical size of an entry of an update. Adam's entries have it too, so one learning rate suits both optimizers
# (Liu et al., 2025, equation 4).
_ENTRY_SIZE = 0.2
_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPSILON = 1e-7
# Keeps a zero gradient from dividing by zero. It is far below any other norm, so the scale of the loss does not matter.
_SMALLEST_NORM = 1e-12


@keras.saving.register_keras_serializable("tfpose")
class Muon(keras.optimizers.Optimizer):
    """Updates the kernels between hidden layers by orthogonalized momentum, and all other variables by Adam.

    A kernel is treated as a matrix W [height * width * channels, channels]. Its gradient G changes its momentum M, its
    direction D and the matrix W as follows:

        M = momentum * M + G,  D = G + momentum * M,  W = W - rate * 0.2 * sqrt(longer side of W) * orthogonal(D)

    orthogonal(U S V') is close to U V' for a singular value decomposition U S V', see `orthogonalize`. So a layer
    learns all directions equally fast, instead of the strongest directions first. Adam updates the biases, the
    normalization layers, and the kernels that read pictures or write maps, at the same learning rate.
    `keras.optimizers.Muon` has no form for convolutions.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. The factor in front of
    orthogonal(D) is that of Liu et al., "Muon is scalable for LLM training", 2025, equation 4.

    Args:
        learning_rate: Number or schedule. Rates that suit Adam suit this optimizer.
        momentum: Factor `momentum` of the formulas above.
    """

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, momentum: float = 0.95
    ) -> None:
        super().__init__(learning_rate, name="muon")
        self.momentum = momentum

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates a momentum for each variable, and a mean squared gradient for each variable that Adam updates."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")
        of_adam = [variable for variable in variables if not is_hidden_kernel(variable)]
        velocities = self.add_optimizer_variables(of_adam, "velocity")
        self._velocities = {self._get_variable_index(v): slot for v, slot in zip(of_adam, velocities, strict=True)}

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable."""
        self.update_all([gradient], [variable], learning_rate)

    def update_all(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], learning_rate: tf.Tensor
    ) -> None:
        """Updates the variables together, which takes less time than one by one."""
        directions: list[tf.Tensor] = []
        kernels: list[keras.Variable] = []
        moved_by_adam: list[AdamVariable] = []
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            slot, gradient = self._momentums[index], tf.cast(gradient, variable.dtype)
            if index in self._velocities:
                moved_by_adam.append((gradient, variable, slot, self._velocities[index]))
                continue
            momentum = self.momentum * tf.convert_to_tensor(slot) + gradient
            self.assign(slot, momentum)
            kernels.append(variable)
            directions.append(tf.reshape(gradient + self.momentum * momentum, [-1, variable.shape[-1]]))
        for variable, direction in zip(kernels, orthogonalize(directions), strict=True):
            scale = tf.cast(learning_rate, direction.dtype) * (_ENTRY_SIZE * math.sqrt(max(direction.shape)))
            self.assign_sub(variable, tf.reshape(scale * direction, variable.shape))
        update_by_adam(moved_by_adam, learning_rate, self.iterations, _ADAM_BETAS, _ADAM_EPSILON)

    def get_config(self) -> dict[str, object]:
        """Returns the arguments of the constructor."""
        config = super().get_config()
        return {"learning_rate": config["learning_rate"], "momentum": self.momentum}


def is_hidden_kernel(variable: keras.Variable) -> bool:
    """Returns whether `variable` is the kernel of a hidden layer, which Muon updates by orthogonalized momentum."""
    is_kernel = len(variable.shape) in (2, 4) and min(variable.shape[-2:]) >= _MIN_CHANNELS
    return is_kernel and not is_output_kernel(variable)


def orthogonalize(matrices: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns a matrix close to U V' for each matrix with the singular value decomposition U S V'.

    Singular values of at least 1 % of the norm of the matrix become 0.7 to 1.2.

    The function runs the Newton-Schulz iterations X = a X + b (X X') X + c (X X')^2 X from X = matrix / norm. It runs
    them on the Gram matrices of the shorter sides, all matrices of one size at once, and multiplies each matrix by the
    result at the end. This is faster because a kernel has several times as many rows as columns.

    Args:
        matrices: Matrices [n, m] of any sizes.

    Returns:
        Matrices of the same shapes. A matrix of zeros stays a matrix of zeros.
    """
    by_side: dict[int, list[int]] = collections.defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_side[min(matrix.shape)].append(index)
    results: dict[int, tf.Tensor] = {}
    for indices in by_side.values():
        chosen = [matrices[index] for index in indices]
        grams = [tf.matmul(m, m, transpose_a=_is_tall(m), transpose_b=not _is_tall(m)) for m in chosen]
        factors = tf.unstack(_orthogonal_factors(tf.stack(grams)), num=len(chosen))
        for index, matrix, factor in zip(indices, chosen, factors, strict=True):
            results[index] = tf.matmul(matrix, factor) if _is_tall(matrix) else tf.matmul(factor, matrix)
    return [results[index] for index in range(len(matrices))]


def _orthogonal_factors(grams: tf.Tensor) -> tf.Tensor:
    """Returns the factors [K, n, n] that make the matrices with the Gram matrices [K, n, n] nearly orthogonal."""
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
