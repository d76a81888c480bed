"""Optimisation: learning rate by step, loss scaling, averaged weights; and their settings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf

from tfpose.training.adam import update_by_adam
from tfpose.training.muon import Muon
from tfpose.training.precision import choose_precision

OPTIMIZERS = ("adam", "sgd", "muon")

# The first updates would otherwise weigh the random initial weights for 1 / (1 - decay) steps.
# Same ramp as tf.train.ExponentialMovingAverage with `num_updates`.
_AVERAGE_RAMP_STEPS = 10
# Scale and shift of a normalisation: towards 0 they would only make the layer after it work harder.
_NEVER_DECAYED = ("gamma", "beta")


@dataclass(frozen=True)
class OptimizationSettings:
    """How the weights move.

    Attributes:
        learning_rate: The base rate, reached after the warm-up.
        learning_rate_drops: (step, factor) pairs: from that step on the rate is multiplied by factor.
        cosine_steps: Steps over which the rate falls to 0 along half a cosine (Loshchilov and Hutter, 2016, equation
            5), drops apart; None lets it stay.
        warmup_steps: Steps over which the rate rises linearly to the base rate.
        warmup_factor: Fraction of the base rate at which the warm-up begins.
        optimizer: "adam" (Kingma and Ba, 2014), "sgd", see `MomentumDescent`, or "muon", see `Muon`.
        momentum: Of "sgd" and "muon".
        weight_decay: Of "sgd": this times the weight is added to its gradient, after clipping; not to that of
            normalisations.
        build_optimizer: Makes another optimizer from the schedule, e.g.
            `functools.partial(keras.optimizers.Adam, beta_2=0.99)`, in place of the one that `optimizer` names.
            Decay, clipping, averaging and accumulation are this library's own and must be left off in it.
        gradient_clip_norm: Largest global norm of the gradient; None leaves gradients as they are.
        ema_decay: Decay per step of the averaged weights, which evaluation and export then use;
            None keeps no average.
        accumulation_steps: Equal parts the batch of each replica is cut into, one in memory at a
            time. Changes memory only: the gradient is that of the whole batch (except through batch
            normalisation, whose statistics are those of a part).
        precision: "float32", "mixed_float16" (with dynamic loss scaling), "mixed_bfloat16", or "auto", which becomes
            the fastest of them here, see `choose_precision`.
        jit_compile: Whether XLA compiles the gradient and the update.
    """

    learning_rate: float
    learning_rate_drops: Sequence[tuple[int, float]] = ()
    cosine_steps: int | None = None
    warmup_steps: int = 0
    warmup_factor: float = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    build_optimizer: Callable[..., keras.optimizers.Optimizer] | None = None
    gradient_clip_norm: float | None = None
    ema_decay: float | None = None
    accumulation_steps: int = 1
    precision: str = "float32"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; found {self.optimizer!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); found {self.momentum}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0; found {self.weight_decay}")
        if self.weight_decay and (self.optimizer != "sgd" or self.build_optimizer is not None):
            raise ValueError(f"weight_decay must be 0 but with optimizer sgd; found {self.weight_decay}")
        object.__setattr__(self, "precision", choose_precision(self.precision))
        if self.accumulation_steps < 1:
            raise ValueError(f"accumulation_steps must be at least 1; found {self.accumulation_steps}")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1); found {self.ema_decay}")
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise ValueError(f"gradient_clip_norm must be above 0; found {self.gradient_clip_norm}")


@keras.saving.register_keras_serializable("tfpose")
class StepwiseSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a base rate that is then multiplied by a factor at each given step.

    The rate of update s, counted from 0, is
    `base_rate * product(factor_i for s >= step_i) * min(1, w + (1 - w) * (s + 1) / warmup_steps)`
    with w = `warmup_factor`, so that no update has rate 0. With `cosine_steps` = n it is also multiplied by
    `(1 + cos(pi * min(s, n) / n)) / 2`.

    Raises:
        ValueError: A rate, step or factor is negative, or `cosine_steps` is not positive.
    """

    def __init__(
        self,
        base_rate: float,
        drops: Sequence[tuple[int, float]] = (),
        warmup_steps: int = 0,
        warmup_factor: float = 0.0,
        cosine_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.base_rate = float(base_rate)
        self.drops = tuple((int(step), float(factor)) for step, factor in drops)
        self.warmup_steps = int(warmup_steps)
        self.warmup_factor = float(warmup_factor)
        self.cosine_steps = None if cosine_steps is None else int(cosine_steps)
        if min(self.base_rate, self.warmup_steps, self.warmup_factor) < 0:
            raise ValueError(
                "learning_rate, warmup_steps and warmup_factor must not be negative; found "
                f"{base_rate}, {warmup_steps}, {warmup_factor}"
            )
        if any(step < 0 or factor < 0 for step, factor in self.drops):
            raise ValueError(f"learning_rate_drops must not be negative; found {list(self.drops)}")
        if self.cosine_steps is not None and self.cosine_steps < 1:
            raise ValueError(f"cosine_steps must be at least 1; found {cosine_steps}")

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate (scalar float32) of the update with index `step`, counted from 0."""
        step = tf.cast(tf.convert_to_tensor(step), tf.int64)
        rate = tf.constant(self.base_rate, tf.float32)
        for drop_step, factor in self.drops:
            rate *= tf.where(step >= drop_step, tf.constant(factor), tf.constant(1.0))
        if self.cosine_steps is not None:
            share = tf.cast(tf.minimum(step, self.cosine_steps), tf.float32) / self.cosine_steps
            rate *= (1 + tf.cos(math.pi * share)) / 2
        if self.warmup_steps == 0:
            return rate
        progress = tf.cast(step + 1, tf.float32) / self.warmup_steps
        return rate * tf.minimum(1.0, self.warmup_factor + (1 - self.warmup_factor) * progress)

    def get_config(self) -> dict[str, object]:
        """The constructor's arguments."""
        return {
            "base_rate": self.base_rate,
            "drops": [list(drop) for drop in self.drops],
            "warmup_steps": self.warmup_steps,
            "warmup_factor": self.warmup_factor,
            "cosine_steps": self.cosine_steps,
        }


class MomentumDescent(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and decay in the form that detectors are trained with.

    The velocity v is a sum of gradients, v = momentum * v + gradient + decay * weight, and the weight moves by rate * v
    (Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, equations 1 and 2,
    with the rate outside, as in PyTorch). `keras.optimizers.SGD` has the rate of each step inside the sum, so that a
    drop of the rate takes effect after some steps only.

    Args:
        learning_rate: Number or schedule.
        momentum: See above.
        decay: See above; not of normalisations' scale and shift.
    """

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, momentum: float, decay: float
    ) -> None:
        super().__init__(learning_rate, momentum=momentum)
        self.decay = decay

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Moves one variable."""
        value = tf.convert_to_tensor(variable)
        gradient = tf.cast(gradient, value.dtype)
        if self.decay and variable.name not in _NEVER_DECAYED:
            gradient += self.decay * value
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            gradient += self.momentum * tf.convert_to_tensor(velocity)
            self.assign(velocity, gradient)
        self.assign_sub(variable, tf.cast(learning_rate, value.dtype) * gradient)


def build_optimizer(settings: OptimizationSettings, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
    """Builds the optimizer with its slots; call it in the scope of the strategy.

    Raises:
        ValueError: The optimizer carries an option that this library's update would pass over.
    """
    schedule = StepwiseSchedule(
        settings.learning_rate,
        settings.learning_rate_drops,
        settings.warmup_steps,
        settings.warmup_factor,
        settings.cosine_steps,
    )
    if settings.build_optimizer is not None:
        optimizer = settings.build_optimizer(schedule)
    elif settings.optimizer == "sgd":
        optimizer = MomentumDescent(schedule, settings.momentum, settings.weight_decay)
    elif settings.optimizer == "muon":
        optimizer = Muon(schedule, settings.momentum)
    else:
        optimizer = keras.optimizers.Adam(schedule)
    for option in (
        "weight_decay",
        "clipnorm",
        "clipvalue",
        "global_clipnorm",
        "use_ema",
        "loss_scale_factor",
        "gradient_accumulation_steps",
    ):
        if getattr(optimizer, option, None):
            raise ValueError(f"build_optimizer must leave {option} off; found {getattr(optimizer, option)}")
    optimizer.build(list(variables))
    return optimizer


def update_variables(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
) -> None:
    """Moves this replica's copies of the variables by one update, without counting it in `optimizer.iterations`.

    Adam is one kernel for each variable here, see `update_by_adam`.

    Args:
        optimizer: From `build_optimizer`.
        gradients: One of each variable, already summed over the replicas.
        variables: Those that the optimizer was built for.
    """
    rate = optimizer.learning_rate
    if type(optimizer) is keras.optimizers.Adam and not optimizer.amsgrad:
        slots = [optimizer._get_variable_index(variable) for variable in variables]
        moved = (
            (gradient, variable, optimizer._momentums[slot], optimizer._velocities[slot])
            for gradient, variable, slot in zip(gradients, variables, slots, strict=True)
        )
        betas = (optimizer.beta_1, optimizer.beta_2)
        update_by_adam(moved, rate, optimizer.iterations, betas, optimizer.epsilon)
    elif isinstance(optimizer, Muon):
        optimizer.update_all(gradients, variables, rate)
    else:
        # Not optimizer.apply: it would sum the gradients over the replicas a second time, and its merge call may stand
        # neither in a condition nor in a compiled function.
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient, variable, rate)


class LossScale:
    """A factor on the loss that keeps float16 gradients from vanishing, found by trial.

    Halved when a gradient overflows, doubled after `growth_steps` updates without one (Micikevicius
    et al., Mixed Precision Training, 2018, section 3.2).
    """

    def __init__(self, initial_scale: float = 2.0**15, growth_steps: int = 2000) -> None:
        self.scale = tf.Variable(initial_scale, trainable=False, dtype=tf.float32)
        self.steps_since_change = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._growth_steps = growth_steps

    def update(self, is_finite: tf.Tensor) -> None:
        """Adapts the scale to whether the last gradient was finite (scalar bool)."""
        steps = tf.where(is_finite, self.steps_since_change + 1, tf.zeros([], tf.int64))
        is_due = steps >= self._growth_steps
        growth = tf.where(is_due, 2.0, 1.0)
        # Below 1 there is nothing left to scale: the gradient itself overflows.
        shrunk = tf.maximum(self.scale * 0.5, 1.0)
        self.scale.assign(tf.where(is_finite, self.scale * growth, shrunk))
        self.steps_since_change.assign(tf.where(is_due, tf.zeros([], tf.int64), steps))


class MovingAverage:
    """An exponential moving average of variables, with `apply_to` to compute with the averages.

    The decay of update n, counted from 0, is `min(decay, (1 + n) / (10 + n))`.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        self.variables = [v for v in variables if v.dtype.startswith("float")]
        self.averages = [tf.Variable(v.value, trainable=False) for v in self.variables]
        self._decay = decay

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages towards the variables after the update with index `step`."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (_AVERAGE_RAMP_STEPS + step))
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign_add((1 - decay) * (tf.convert_to_tensor(variable.value) - average))

    def restart(self) -> None:
        """Sets the averages to the variables: the variables were loaded from elsewhere."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign(tf.convert_to_tensor(variable.value))

    @contextlib.contextmanager
    def apply_to_variables(self) -> Iterator[None]:
        """Lends the averages to the variables; they have their own values again afterwards."""
        own_values = [tf.identity(variable.value) for variable in self.variables]
        for average, variable in zip(self.averages, self.variables, strict=True):
            variable.assign(tf.convert_to_tensor(average))
        try:
            yield
        finally:
            for value, variable in zip(own_values, self.variables, strict=True):
                variable.assign(value)
