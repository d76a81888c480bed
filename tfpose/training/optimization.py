"""The update of the weights: optimizers, learning rate schedule, loss scaling, averaged weights, and their settings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfpose.training.adam import DEPTH_ATTRIBUTE, NORMALIZATION_VARIABLES, LayerwiseAdamW, update_by_adam
from tfpose.training.muon import Muon
from tfpose.training.precision import PRECISIONS

# Without a ramp the random initial weights would dominate the average for 1 / (1 - decay) steps. The ramp is that of
# tf.train.ExponentialMovingAverage with `num_updates`.
_AVERAGE_RAMP_STEPS = 10
# A smaller scale cannot help, because then the unscaled gradient overflows.
LOWEST_LOSS_SCALE = 1.0


@dataclass(frozen=True)
class OptimizationSettings:
    """The settings of the update of the weights.

    Attributes:
        learning_rate: Base rate, reached after the warm-up.
        learning_rate_drops: Pairs (step, factor): from that step on the rate is multiplied by the factor.
        cosine_steps: Number of steps over which the rate falls to 0 along half a cosine (Loshchilov and Hutter, "SGDR",
            2016, equation 5), besides the drops. None keeps the rate.
        warmup_steps: Number of steps over which the rate rises linearly to the base rate.
        warmup_factor: Fraction of the base rate at which the warm-up begins.
        optimizer: Name of the optimizer: "adam" (Kingma and Ba, 2014), "adamw" (Loshchilov and Hutter, "Decoupled
            Weight Decay Regularization", 2017), "sgd", see `MomentumDescent`, or "muon", see `Muon`.
        momentum: Momentum of "sgd" and "muon".
        weight_decay: Decay of the weights, except for scales and shifts of normalization layers. "sgd" adds
            weight_decay * weight to each gradient after clipping (L2 penalty). "adamw" subtracts rate * weight_decay *
            weight from each weight (decoupled). The other optimizers require 0.
        decay_offsets: Whether biases and position embeddings decay too; only "adamw" can leave them out.
        layer_decay: Factor of the learning rate for each layer that a variable is below the network's output, for
            "adamw" and networks that tell these depths, such as pose_vit. None for the same rate everywhere. See
            `LayerwiseAdamW`.
        build_optimizer: Function from the schedule to another optimizer, for example
            `functools.partial(keras.optimizers.Adam, beta_2=0.99)`; replaces `optimizer`. The optimizer must leave
            decay, clipping, averaging and accumulation off, because the training loop does these.
        gradient_clip_norm: Largest global norm of the gradient. None does not clip.
        ema_decay: Decay per step of the averaged weights that evaluation and export then use. None keeps no average.
        accumulation_steps: Number of equal parts into which the batch of each replica is cut. Only one part is in
            memory at a time. The gradient is that of the whole batch, except that batch normalization takes its
            statistics over one part.
        precision: "float32", "mixed_float16" (with dynamic loss scaling), "mixed_bfloat16", or "auto" for the fastest
            of them on this machine, see `choose_precision`.
        jit_compile: Whether XLA compiles the gradient and the update.

    Raises:
        ValueError: A setting is out of range.
    """

    learning_rate: float
    learning_rate_drops: Sequence[tuple[int, float]] = ()
    cosine_steps: int | None = None
    warmup_steps: int = 0
    warmup_factor: float = 0.0
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_offsets: bool = True
    layer_decay: float | None = None
    build_optimizer: Callable[..., keras.optimizers.Optimizer] | None = None
    gradient_clip_norm: float | None = None
    ema_decay: float | None = None
    accumulation_steps: int = 1
    precision: str = "float32"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        norm, average = self.gradient_clip_norm, self.ema_decay
        rules = {
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "accumulation_steps": (self.accumulation_steps >= 1, "at least 1"),
            "ema_decay": (average is None or 0 <= average < 1, "in [0, 1)"),
            "layer_decay": (self.layer_decay is None or 0 < self.layer_decay <= 1, "in (0, 1] or None"),
            "gradient_clip_norm": (norm is None or norm > 0, "above 0"),
        }
        for name, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)!r}")
        if self.weight_decay and (self.build_optimizer or self.optimizer not in _DECAYING_OPTIMIZERS):
            given = "build_optimizer" if self.build_optimizer else repr(self.optimizer)
            raise ValueError(f"weight_decay requires optimizer {' or '.join(_DECAYING_OPTIMIZERS)}, got {given}")
        is_layerwise = self.layer_decay is not None or not self.decay_offsets
        if is_layerwise and (self.build_optimizer or self.optimizer != "adamw"):
            given = "build_optimizer" if self.build_optimizer else repr(self.optimizer)
            raise ValueError(f"optimizer must be 'adamw' with layer_decay or without decay_offsets, got {given}")


def idle_note(settings: OptimizationSettings, total_steps: int) -> str:
    """Returns a note if the learning rate is 0 before the end of a run, so that the rest trains nothing; else empty."""
    ends = {step: "learning_rate_drops" for step, factor in settings.learning_rate_drops if factor == 0}
    if settings.cosine_steps is not None:
        ends[settings.cosine_steps] = "cosine_steps"
    if not settings.learning_rate:
        ends[0] = "learning_rate"
    first = min(ends, default=total_steps)
    if first >= total_steps:
        return ""
    return (
        f"note: the learning rate is 0 from step {first} on, so the last {total_steps - first} of {total_steps} steps "
        f"train nothing; --config.optimization.{ends[first]} must fit --config.run.total_steps"
    )


@keras.saving.register_keras_serializable("tfpose")
class StepwiseSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly to a base rate and is then multiplied by a factor at each given step.

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
                "learning_rate, warmup_steps and warmup_factor must not be negative, got "
                f"{base_rate}, {warmup_steps}, {warmup_factor}"
            )
        if any(step < 0 or factor < 0 for step, factor in self.drops):
            raise ValueError(f"learning_rate_drops must not be negative, got {list(self.drops)}")
        if self.cosine_steps is not None and self.cosine_steps < 1:
            raise ValueError(f"cosine_steps must be at least 1, got {cosine_steps}")

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the rate (scalar float32) of the update with index `step`, counted from 0."""
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
        """Returns the arguments of the constructor."""
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
    with the rate outside, as in PyTorch). `keras.optimizers.SGD` has the rate of each step inside the sum, so a drop of
    the rate only takes effect gradually.

    Args:
        learning_rate: Number or schedule.
        momentum: Factor `momentum` of the formula above.
        decay: Factor `decay` of the formula above. It is 0 for the scales and shifts of normalization layers.
    """

    def __init__(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, momentum: float, decay: float
    ) -> None:
        super().__init__(learning_rate, momentum=momentum)
        self.decay = decay

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable."""
        value = tf.convert_to_tensor(variable)
        gradient = tf.cast(gradient, value.dtype)
        if self.decay and variable.name not in NORMALIZATION_VARIABLES:
            gradient += self.decay * value
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            gradient += self.momentum * tf.convert_to_tensor(velocity)
            self.assign(velocity, gradient)
        self.assign_sub(variable, tf.cast(learning_rate, value.dtype) * gradient)


def build_optimizer(settings: OptimizationSettings, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
    """Builds the optimizer and creates its variables. It must be called in the scope of the strategy.

    Raises:
        ValueError: The optimizer has an option that the training loop would ignore, or the network does not tell the
            depths that `layer_decay` needs.
    """
    if settings.layer_decay is not None and not any(hasattr(variable, DEPTH_ATTRIBUTE) for variable in variables):
        raise ValueError(
            "optimization.layer_decay requires a network that tells the depths of its layers, such as pose_vit, got "
            f"{settings.layer_decay} and another network"
        )
    schedule = StepwiseSchedule(
        settings.learning_rate,
        settings.learning_rate_drops,
        settings.warmup_steps,
        settings.warmup_factor,
        settings.cosine_steps,
    )
    if settings.build_optimizer is not None:
        optimizer = settings.build_optimizer(schedule)
        _check_options(optimizer)
    else:
        optimizer = OPTIMIZERS[settings.optimizer](settings, schedule)
    optimizer.build(list(variables))
    return optimizer


def _build_adamw(settings: OptimizationSettings, schedule: StepwiseSchedule) -> keras.optimizers.Optimizer:
    layer_decay = 1.0 if settings.layer_decay is None else settings.layer_decay
    return LayerwiseAdamW(schedule, settings.weight_decay, layer_decay, settings.decay_offsets)


# To add an optimizer, add one entry here: a function from settings and schedule to the optimizer.
OPTIMIZERS: dict[str, Callable[[OptimizationSettings, StepwiseSchedule], keras.optimizers.Optimizer]] = {
    "adam": lambda _, schedule: keras.optimizers.Adam(schedule),
    "adamw": _build_adamw,
    "sgd": lambda settings, schedule: MomentumDescent(schedule, settings.momentum, settings.weight_decay),
    "muon": lambda settings, schedule: Muon(schedule, settings.momentum),
}
_DECAYING_OPTIMIZERS = ("sgd", "adamw")


def _check_options(optimizer: keras.optimizers.Optimizer) -> None:
    """Raises a ValueError for an option that duplicates what the training loop does."""
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
            raise ValueError(f"build_optimizer must leave {option} off, got {getattr(optimizer, option)}")


def update_variables(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
) -> None:
    """Applies one update to this replica's copies of the variables, without counting it in `optimizer.iterations`.

    Adam runs as one kernel per variable, see `update_by_adam`.

    Args:
        optimizer: Optimizer from `build_optimizer`.
        gradients: Gradient of each variable, already summed over the replicas.
        variables: Variables that the optimizer was built for.
    """
    rate = optimizer.learning_rate
    if type(optimizer) in (keras.optimizers.Adam, LayerwiseAdamW) and not optimizer.amsgrad:
        factors = None
        if isinstance(optimizer, LayerwiseAdamW):
            factors = [optimizer.rate_factor(variable) for variable in variables]
            _decay_weights(optimizer, variables, rate, factors)
        slots = [optimizer._get_variable_index(variable) for variable in variables]
        moved = (
            (gradient, variable, optimizer._momentums[slot], optimizer._velocities[slot])
            for gradient, variable, slot in zip(gradients, variables, slots, strict=True)
        )
        betas = (optimizer.beta_1, optimizer.beta_2)
        update_by_adam(moved, rate, optimizer.iterations, betas, optimizer.epsilon, factors)
    elif isinstance(optimizer, Muon):
        optimizer.update_all(gradients, variables, rate)
    else:
        # optimizer.apply would sum the gradients over the replicas a second time, and its merge call works neither in a
        # condition nor in a compiled function.
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient, variable, rate)


def _decay_weights(
    optimizer: LayerwiseAdamW, variables: Sequence[keras.Variable], rate: tf.Tensor, factors: Sequence[float]
) -> None:
    """Moves each weight by rate * decay * weight towards 0 (Loshchilov and Hutter, 2017, Algorithm 2, line 12)."""
    if not optimizer.weight_decay:
        return
    for variable, factor in zip(variables, factors, strict=True):
        if optimizer.is_decayed(variable):
            value = tf.convert_to_tensor(variable)
            optimizer.assign_sub(variable, tf.cast(rate * (optimizer.weight_decay * factor), value.dtype) * value)


class LossScale:
    """A factor on the loss that keeps float16 gradients from vanishing, found by trial and error.

    The factor is halved when a gradient overflows and doubled after `growth_steps` updates without overflow
    (Micikevicius et al., "Mixed Precision Training", 2018, section 3.2).
    """

    def __init__(self, initial_scale: float = 2.0**15, growth_steps: int = 2000) -> None:
        self.scale = tf.Variable(initial_scale, trainable=False, dtype=tf.float32)
        self.steps_since_change = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._growth_steps = growth_steps

    def update(self, is_finite: tf.Tensor) -> None:
        """Adapts the scale, given whether the last gradient was finite (scalar bool)."""
        steps = tf.where(is_finite, self.steps_since_change + 1, tf.zeros([], tf.int64))
        is_due = steps >= self._growth_steps
        growth = tf.where(is_due, 2.0, 1.0)
        shrunk = tf.maximum(self.scale * 0.5, LOWEST_LOSS_SCALE)
        self.scale.assign(tf.where(is_finite, self.scale * growth, shrunk))
        self.steps_since_change.assign(tf.where(is_due, tf.zeros([], tf.int64), steps))


class MovingAverage:
    """An exponential moving average of variables; `apply_to_variables` lets a model compute with the averages.

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
        """Sets the averages to the values of the variables, for use after weights were loaded into the variables."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign(tf.convert_to_tensor(variable.value))

    @contextlib.contextmanager
    def apply_to_variables(self) -> Iterator[None]:
        """Gives the variables the values of the averages, and their own values again at the end of the block."""
        own_values = [tf.identity(variable.value) for variable in self.variables]
        for average, variable in zip(self.averages, self.variables, strict=True):
            variable.assign(tf.convert_to_tensor(average))
        try:
            yield
        finally:
            for value, variable in zip(own_values, self.variables, strict=True):
                variable.assign(value)
