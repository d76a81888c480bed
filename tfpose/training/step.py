"""One training step: the gradient of the global mean loss and the update, on every replica.

The loss of a step is the sum of its terms, each of them (sum over the step) / (weight over the step). "The step" means
all examples of all replicas and of all accumulated parts. Averaging the means of the replicas would give a joint more
weight on a replica that sees few joints. So losses return sums and weights, the weights are first added up over the
replicas, and each replica differentiates its share of the mean.

Layers keep records in variables that no gradient moves, such as running statistics. Replicas average these when a layer
assigns them, which neither XLA nor a loop can do. There the step hands the records to the layers as values, and assigns
the results afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import keras
import tensorflow as tf

from tfpose.checkpoints import name_variables
from tfpose.training.optimization import LossScale, MovingAverage, OptimizationSettings, update_variables

Batch = dict[str, tf.Tensor]
Nest = TypeVar("Nest")
WeightedSum = tuple[tf.Tensor, tf.Tensor]
Losses = tuple[Mapping[str, WeightedSum], Mapping[str, WeightedSum]]
# Gradients, shares of the loss, sums of the metrics, and what layers made of their records.
Differentiated = tuple[list[tf.Tensor], dict[str, tf.Tensor], dict[str, WeightedSum], dict[str, tf.Tensor]]
ComputeLoss = Callable[[keras.Model, Batch], Losses]
# Beginning of the names of the variables of a loss scale.
LOSS_SCALE = "loss_scale/"


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training step changes.

    Attributes:
        model: Network in training.
        optimizer: Optimizer of the network's weights.
        average: Moving average of the weights. None keeps no average.
        loss_scale: Factor on the loss of float16 training. None does not scale the loss.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    average: MovingAverage | None
    loss_scale: LossScale | None

    def named_variables(self) -> dict[str, keras.Variable | tf.Variable]:
        """Returns every variable of the state by a name that does not depend on the process."""
        named = {f"model/{k}": v for k, v in name_variables(self.model.variables).items()}
        # The name of an optimizer counts the optimizers of the process ("adam_1"). The names of its variables do not.
        slots = name_variables(self.optimizer.variables, skip_parts=1)
        named |= {f"optimizer/{k}": v for k, v in slots.items()}
        if self.average is not None:
            names = name_variables(self.average.variables)
            named |= {f"ema/{k}": v for k, v in zip(names, self.average.averages, strict=True)}
        if self.loss_scale is not None:
            named[f"{LOSS_SCALE}scale"] = self.loss_scale.scale
            named[f"{LOSS_SCALE}steps_since_change"] = self.loss_scale.steps_since_change
        return named


class TrainStep:
    """The compiled training step: `step(batch, stop_requested)` updates the state and returns scalars.

    The scalars describe the whole step and are equal on every worker: "loss", "loss/<term>" if there are several terms,
    each metric, "gradient_norm" (before clipping), "learning_rate", "stop_requested" (number of replicas that were
    asked to stop) and, with float16, "loss_scale". They stay on the device.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        state: TrainingState,
        compute_loss: ComputeLoss,
        settings: OptimizationSettings,
    ) -> None:
        self._strategy = strategy
        self._state = state
        self._compute_loss = compute_loss
        self._num_parts = settings.accumulation_steps
        self._clip_norm = settings.gradient_clip_norm
        self._variables = list(state.model.trainable_variables)
        self._records = name_variables(state.model.non_trainable_variables)
        self._hands_records = strategy.num_replicas_in_sync > 1 and (settings.jit_compile or self._num_parts > 1)
        # XLA compiles two functions, because it cannot compile the communication between them. AutoGraph would look for
        # Python conditions on tensors longer than the rest of the tracing takes, and there are none.
        self._gradient_function, self._update_function = self._compute_gradients, self._update
        if settings.jit_compile:
            self._gradient_function = tf.function(self._compute_gradients, jit_compile=True, autograph=False)
            self._update_function = tf.function(self._update, jit_compile=True, autograph=False)
        self._run = tf.function(self._run_on_replicas, autograph=False)

    def __call__(self, batch: Batch, stop_requested: bool) -> dict[str, tf.Tensor]:
        """Trains on the distributed `batch` and returns the scalars of the step, see the class."""
        return self._run(batch, tf.constant(float(stop_requested)))

    def _run_on_replicas(self, batch: Batch, stop_requested: tf.Tensor) -> dict[str, tf.Tensor]:
        per_replica = self._strategy.run(self._run_on_replica, args=(batch, stop_requested))
        # All replicas return the same reduced values.
        scalars = tf.nest.map_structure(lambda value: self._strategy.experimental_local_results(value)[0], per_replica)
        # Updates are counted outside the replicas, because a skipped float16 step is no update.
        num_updates = scalars.pop("num_updates")
        self._state.optimizer.iterations.assign_add(tf.cast(num_updates, tf.int64))
        return scalars

    def _run_on_replica(self, batch: Batch, stop_requested: tf.Tensor) -> dict[str, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        weights, records = self._look_ahead(batch, context)
        gradients, shares, metrics, records = self._gradient_function(batch, weights, records)
        for name, value in records.items():
            self._records[name].assign(value)
        gradients, shares, metrics, stop_requested = _sum_over_replicas(
            (gradients, shares, metrics, stop_requested), context
        )
        means = {name: tf.math.divide_no_nan(*pair) for name, pair in metrics.items()}
        return shares | means | self._update_function(gradients) | {"stop_requested": stop_requested}

    def _look_ahead(
        self, batch: Batch, context: tf.distribute.ReplicaContext
    ) -> tuple[dict[str, tf.Tensor] | None, dict[str, tf.Tensor]]:
        """Returns what must be known before the gradient is computed.

        That is the weight of each loss term over the step, or None if one call sees the whole step; and, by name, the
        values of the records that layers change, where they are handed to the layers. The extra pass changes no
        variable, and TensorFlow runs only the part of it that the weights need: no part of the network if they depend
        on the labels alone.
        """
        if context.num_replicas_in_sync * self._num_parts == 1:
            return None, {}
        with keras.StatelessScope() as scope:
            losses, _ = self._compute_loss(self._state.model, batch)
        weights = {name: tf.cast(weight, tf.float32) for name, (_, weight) in losses.items()}
        records = {
            name: tf.convert_to_tensor(variable.value)
            for name, variable in self._records.items()
            if self._hands_records and scope.get_current_value(variable) is not None
        }
        return _sum_over_replicas(weights, context), records

    def _compute_gradients(
        self, batch: Batch, weights: dict[str, tf.Tensor] | None, records: dict[str, tf.Tensor]
    ) -> Differentiated:
        """Returns this replica's shares of the gradient and of the loss, its sums of the metrics, and its records."""
        if self._num_parts == 1:
            return self._differentiate(batch, weights, records)
        parts = tf.nest.map_structure(self._split_into_parts, batch)
        *sums, records = self._differentiate(tf.nest.map_structure(lambda x: x[0], parts), weights, records)
        # The first part must leave memory before the loop starts with the second part.
        with tf.control_dependencies(tf.nest.flatten(sums)):
            index = tf.constant(1)

        def add_part(
            index: tf.Tensor, sums: Nest, records: dict[str, tf.Tensor]
        ) -> tuple[tf.Tensor, Nest, dict[str, tf.Tensor]]:
            part = tf.nest.map_structure(lambda x: x[index], parts)
            *more, records = self._differentiate(part, weights, records)
            return index + 1, tf.nest.map_structure(tf.add, sums, more), records

        _, sums, records = tf.while_loop(
            lambda index, *_: index < self._num_parts, add_part, (index, sums, records), parallel_iterations=1
        )
        return (*sums, records)

    def _split_into_parts(self, tensor: tf.Tensor) -> tf.Tensor:
        batch_size = tensor.shape[0]
        if batch_size is None or batch_size % self._num_parts:
            raise ValueError(
                "the batch of a replica must divide into accumulation_steps equal parts, got "
                f"{batch_size} examples, accumulation_steps {self._num_parts}"
            )
        part_shape = (self._num_parts, batch_size // self._num_parts)
        return tf.reshape(tensor, tf.concat([part_shape, tf.shape(tensor)[1:]], axis=0))

    def _differentiate(
        self, batch: Batch, weights: dict[str, tf.Tensor] | None, records: dict[str, tf.Tensor]
    ) -> Differentiated:
        handed = keras.StatelessScope([(self._records[name], value) for name, value in records.items()])
        with tf.GradientTape() as tape, handed if records else contextlib.nullcontext():
            losses, metrics = self._compute_loss(self._state.model, batch)
            terms = {
                name: tf.math.divide_no_nan(
                    tf.cast(total, tf.float32),
                    tf.stop_gradient(tf.cast(weight, tf.float32)) if weights is None else weights[name],
                )
                for name, (total, weight) in losses.items()
            }
            loss = tf.add_n(list(terms.values()))
            scaled_loss = loss * self._state.loss_scale.scale if self._state.loss_scale else loss
        gradients = tape.gradient(scaled_loss, self._values(), unconnected_gradients=tf.UnconnectedGradients.ZERO)
        shares = {"loss": loss}
        if len(terms) > 1:
            shares |= {f"loss/{name}": share for name, share in terms.items()}
        sums = {
            name: (tf.cast(total, tf.float32), tf.cast(weight, tf.float32)) for name, (total, weight) in metrics.items()
        }
        return gradients, shares, sums, {name: handed.get_current_value(self._records[name]) for name in records}

    def _values(self) -> list[tf.Variable]:
        return [variable.value for variable in self._variables]

    def _update(self, gradients: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Updates the variables by the summed gradients, unless a float16 gradient overflowed."""
        scalars = {"learning_rate": tf.cast(self._state.optimizer.learning_rate, tf.float32)}
        loss_scale = self._state.loss_scale
        if loss_scale is not None:
            gradients = [gradient / loss_scale.scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        is_finite = tf.math.is_finite(norm)
        if self._clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm, use_norm=norm)
        if loss_scale is None:
            num_updates = self._move_variables(gradients)
        else:
            num_updates = tf.cond(is_finite, lambda: self._move_variables(gradients), lambda: tf.constant(0))
            scalars["loss_scale"] = tf.identity(loss_scale.scale)
            loss_scale.update(is_finite)
        return scalars | {"gradient_norm": norm, "num_updates": num_updates}

    def _move_variables(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        optimizer = self._state.optimizer
        update_variables(optimizer, gradients, self._variables)
        if self._state.average is not None:
            self._state.average.update(optimizer.iterations.value)
        return tf.constant(1)


def _sum_over_replicas(values: Nest, context: tf.distribute.ReplicaContext) -> Nest:
    """Adds up each tensor of a nested structure over the replicas. Every replica gets the sums."""
    if context.num_replicas_in_sync == 1:
        return values
    # A tensor from outside the replicas has no device that it could be reduced to, but its copy has one.
    copies = tf.nest.map_structure(tf.identity, values)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, copies)
