"""The Adam update as one kernel per variable, and AdamW with smaller rates for early layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

Variable: TypeAlias = keras.Variable | tf.Variable
AdamVariable = tuple[tf.Tensor, Variable, Variable, Variable]
# Scale and shift of a normalization layer. If they decayed, the next layer would only have to compensate for it.
NORMALIZATION_VARIABLES = ("gamma", "beta")
_OFFSETS = ("bias", "positions")
# Attribute of a network's variables: how many layers they are below the output.
DEPTH_ATTRIBUTE = "depth_below_head"


@keras.saving.register_keras_serializable("tfpose")
class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW whose learning rate falls with the distance of a layer from the output.

    The rate of a variable is multiplied by layer_decay ** depth. The depth is the attribute `depth_below_head`, which a
    network such as `build_pose_vit` gives to its variables; it is 0 for variables without it (Clark et al., "ELECTRA",
    2020; Bao et al., "BEiT", 2021, appendix).

    Args:
        learning_rate: Number or schedule.
        weight_decay: Decay of the weights, which is subtracted as rate * weight_decay * weight.
        layer_decay: Factor of the rate for each layer; 1 for the same rate everywhere.
        decay_offsets: Whether biases and position embeddings decay too. Scales and shifts of normalization layers never
            do.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        weight_decay: float,
        layer_decay: float = 1.0,
        decay_offsets: bool = True,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, name="adamw")
        self.layer_decay = layer_decay
        self.decay_offsets = decay_offsets
        self._never_decayed = (*NORMALIZATION_VARIABLES, *(() if decay_offsets else _OFFSETS))
        self.exclude_from_weight_decay(var_names=list(self._never_decayed))

    def rate_factor(self, variable: Variable) -> float:
        """Returns the factor of the learning rate of a variable."""
        return float(self.layer_decay ** getattr(variable, DEPTH_ATTRIBUTE, 0))

    def is_decayed(self, variable: Variable) -> bool:
        """Returns whether a variable decays."""
        return variable.name not in self._never_decayed

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable."""
        super().update_step(gradient, variable, learning_rate * self.rate_factor(variable))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        config = super().get_config()
        own = {"layer_decay": self.layer_decay, "decay_offsets": self.decay_offsets}
        return {"learning_rate": config["learning_rate"], "weight_decay": self.weight_decay, **own}


def update_by_adam(
    moved: Iterable[AdamVariable],
    rate: tf.Tensor,
    iterations: keras.Variable,
    betas: tuple[float, float],
    epsilon: float,
    rate_factors: Sequence[float] | None = None,
) -> None:
    """Applies one Adam update to this replica's copies of variables.

    `keras.optimizers.Adam` starts about fifteen operations for each variable, which took a fifth of the training step
    of a small network. This function starts one. The formula is the same (Kingma and Ba, 2014, section 2, the efficient
    form).

    Args:
        moved: For each variable a tuple of its gradient, the variable, its mean gradient and its mean squared gradient.
        rate: Learning rate, a scalar.
        iterations: Number of updates before this one.
        betas: Decay rates of the mean gradient and of the mean squared gradient.
        epsilon: Number that is added to the root of the mean squared gradient.
        rate_factors: Factor of the learning rate for each variable; None for 1.
    """
    update = tf.convert_to_tensor(iterations.value) + 1
    scalars: dict[tf.DType, dict[str, tf.Tensor]] = {}
    for index, (gradient, variable, momentum, velocity) in enumerate(moved):
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
            **{**scalars[dtype], "lr": _scaled(scalars[dtype]["lr"], rate_factors, index)},
        )


def _scaled(rate: tf.Tensor, factors: Sequence[float] | None, index: int) -> tf.Tensor:
    return rate if factors is None or factors[index] == 1 else rate * factors[index]


def _resource(variable: Variable) -> tf.Tensor:
    # Keras may give its optimizers TensorFlow variables instead of Keras variables.
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
