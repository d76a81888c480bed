"""The update of Adam as one kernel for each variable."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

Variable = keras.Variable | tf.Variable
AdamVariable = tuple[tf.Tensor, Variable, Variable, Variable]


def update_by_adam(
    moved: Iterable[AdamVariable],
    rate: tf.Tensor,
    iterations: keras.Variable,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Moves this replica's copies of variables by one update of Adam.

    One kernel for each variable, where `keras.optimizers.Adam` takes some fifteen operations: their start alone was a
    fifth of a small network's training step. The formula is the same (Kingma and Ba, 2014, section 2, the efficient
    form).

    Args:
        moved: of each variable its gradient, itself, its mean gradient and its mean squared gradient.
        rate: scalar.
        iterations: how many updates came before this one.
        betas: decays of the two means.
        epsilon: added to the root of the mean square.
    """
    update = tf.convert_to_tensor(iterations.value) + 1
    scalars: dict[tf.DType, dict[str, tf.Tensor]] = {}
    for gradient, variable, momentum, velocity in moved:
        dtype = tf.as_dtype(variable.dtype)
        if dtype not in scalars:
            values = {"lr": rate, "beta1": betas[0], "beta2": betas[1], "epsilon": epsilon}
            scalars[dtype] = {name: tf.cast(value, dtype) for name, value in values.items()}
            for name in ("beta1", "beta2"):
                scalars[dtype][f"{name}_power"] = tf.pow(scalars[dtype][name], tf.cast(update, dtype))
        tf.raw_ops.ResourceApplyAdam(
            var=_resource(variable),
            m=_resource(momentum),
            v=_resource(velocity),
            grad=tf.cast(gradient, dtype),
            **scalars[dtype],
        )


def _resource(variable: Variable) -> tf.Tensor:
    # Keras hands its optimizers TensorFlow's variables instead of its own.
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
