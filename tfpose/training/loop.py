"""The training loop, the same for every system: what is trained comes in as functions.

It runs on one device, on several of one machine, or on several machines, and continues by itself from
what an earlier call left in the work folder. The files of a run:

    checkpoints/step_<number>.npz   the whole state: the newest few and the best
    best.weights.h5                 Keras weights of the best evaluation (averaged ones if kept)
    model.weights.h5                Keras weights at the end (averaged ones if kept)
    train.csv, eval.csv             one row for each report and each evaluation
    tensorboard/                    the same as curves, and pictures
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from tfpose import checkpoints
from tfpose.interruption import SignalWatch
from tfpose.training.distribution import build_strategy, count_processes, is_chief
from tfpose.training.optimization import (
    LossScale,
    MovingAverage,
    OptimizationSettings,
    build_optimizer,
)
from tfpose.training.precision import choose_precision
from tfpose.training.session import Hooks, RunSettings, Session
from tfpose.training.step import Batch, ComputeLoss, TrainingState, TrainStep

__all__ = ["Hooks", "OptimizationSettings", "RunSettings", "build_strategy", "train"]

MakeDataset = Callable[[int, tf.distribute.InputContext], tf.data.Dataset]


def train(
    *,
    strategy: tf.distribute.Strategy,
    build_model: Callable[[], keras.Model],
    compute_loss: ComputeLoss,
    make_dataset: MakeDataset,
    workdir: str | Path,
    optimization: OptimizationSettings,
    run: RunSettings,
    hooks: Hooks | None = None,
) -> keras.Model:
    """Trains a network, or continues a run, and returns the network with its last weights.

    Continuing is exact: the losses are those of a run that was never stopped, to the bit where the
    operations are deterministic (on CPUs they are).

    Args:
        strategy: From `build_strategy`.
        build_model: Builds the network, every layer named. Called in the scope of the strategy, under
            the global precision policy that `optimization.precision` names.
        compute_loss: From (model, batch of one replica) to (losses, metrics), two dicts from a name to
            a pair of scalars (sum over the batch, weight of the batch), e.g. the squared error summed
            over visible joints and the number of visible joints. The loss of a step is the sum over
            the losses of total sum / total weight, over all replicas, so it does not depend on how the
            examples are spread. Metrics are averaged likewise and only reported. Call the model with
            training=True. On several replicas the weights are needed before the gradient: weights
            that depend on the batch alone cost nothing, others cost a second forward pass.
        make_dataset: From (first step, input context) to the batches of replicas from that step on
            (steps counted from 0): for each step, one batch for each replica that this input pipeline
            feeds, `context.num_replicas_in_sync // context.num_input_pipelines` of them, of fixed
            size. A pure function of the step, which is what makes continuing exact.
        workdir: Folder of the run; with several machines one that all of them see.
        optimization: How the weights move.
        run: How long the run is and what it leaves behind.
        hooks: Initial weights, evaluation and pictures.

    Batch normalisation takes its statistics over the batch of one replica; evaluated and saved are the
    moving averages of the first.

    Raises:
        ValueError: The checkpoint in `workdir` is of another model or other settings, or unreadable.
        FloatingPointError: The loss or gradient is not finite; nothing is saved after that step.
        OSError: A file cannot be written.
        TrainingInterrupted: SIGTERM or Ctrl-C; the state is saved.
    """
    workdir, hooks = Path(workdir), hooks or Hooks()
    state = _build_state(strategy, build_model, optimization, run.seed)
    restored = _restore_or_initialize(strategy, state, workdir, hooks)
    if hooks.describe is not None and is_chief(strategy):
        workdir.mkdir(parents=True, exist_ok=True)
        hooks.describe(workdir)
    train_step = TrainStep(strategy, state, compute_loss, optimization)
    with SignalWatch() as watch, Session(strategy, state, workdir, run, hooks, restored) as session:
        session.announce()
        session.evaluate_if_missed()
        for batch in _iterate_batches(strategy, make_dataset, restored.step, run.total_steps):
            session.count(train_step(batch, watch.stop_requested), batch)
            session.report_and_save(batch)
            if session.must_stop(watch):
                session.stop(watch)
        session.finish()
    return state.model


def _build_state(
    strategy: tf.distribute.Strategy,
    build_model: Callable[[], keras.Model],
    optimization: OptimizationSettings,
    seed: int,
) -> TrainingState:
    keras.utils.set_random_seed(seed)
    precision = choose_precision(optimization.precision)
    with strategy.scope(), _precision_policy(precision):
        model = build_model()
        decay = optimization.ema_decay
        return TrainingState(
            model=model,
            optimizer=build_optimizer(optimization, model.trainable_variables),
            average=None if decay is None else MovingAverage(model.variables, decay),
            loss_scale=LossScale() if precision == "mixed_float16" else None,
        )


@contextlib.contextmanager
def _precision_policy(name: str) -> Iterator[None]:
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(previous)


def _restore_or_initialize(
    strategy: tf.distribute.Strategy, state: TrainingState, workdir: Path, hooks: Hooks
) -> checkpoints.Metadata:
    """Loads the newest checkpoint, or the initial weights of a fresh run."""
    latest = checkpoints.read_latest_checkpoint(workdir)
    metadata = checkpoints.Metadata(step=0) if latest is None else latest[2]
    _check_same_step(strategy, metadata.step)
    if latest is not None:
        path, values, _ = latest
        checkpoints.assign_values(state.named_variables(), values, path)
    elif hooks.initialize is not None:
        hooks.initialize(state.model)
        if state.average is not None:
            state.average.restart()
    return metadata


def _check_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    if count_processes(strategy) == 1:
        return
    steps = strategy.run(lambda: tf.constant(step, tf.int64))
    total = int(strategy.reduce(tf.distribute.ReduceOp.SUM, steps, axis=None))
    if total != step * strategy.num_replicas_in_sync:
        raise ValueError(
            f"workdir must be a folder that all workers share; found workers at different steps (this one at {step})"
        )


def _iterate_batches(
    strategy: tf.distribute.Strategy, make_dataset: MakeDataset, start_step: int, total_steps: int
) -> Iterator[Batch]:
    """The batches of this worker's replicas, on their devices.

    Not `strategy.distribute_datasets_from_function`: its iterators have threads that tune them, which nothing can turn
    off, and whose end took up to a minute for each device (TensorFlow 2.21).
    """
    if start_step >= total_steps:
        return
    devices = strategy.extended.worker_devices
    batches = iter(make_dataset(start_step, _input_context(strategy)))
    try:
        for step in range(start_step, total_steps):
            try:
                parts = [_copy_to_device(next(batches), device) for device in devices]
            except (StopIteration, tf.errors.OutOfRangeError) as error:
                reason = f"the dataset must last for {total_steps} steps; it ended after step {step}"
                raise ValueError(reason) from error
            yield _distribute(strategy, parts)
    finally:
        # An iterator that outlives an error, in its traceback, can keep the process from ending.
        del batches


def _input_context(strategy: tf.distribute.Strategy) -> tf.distribute.InputContext:
    num_local, num_replicas = len(strategy.extended.worker_devices), strategy.num_replicas_in_sync
    ids = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    first = int(strategy.experimental_local_results(ids)[0])
    return tf.distribute.InputContext(num_replicas // num_local, first // num_local, num_replicas)


def _copy_to_device(batch: Batch, device: str) -> Batch:
    with tf.device(device):
        return {name: tf.identity(values) for name, values in batch.items()}


def _distribute(strategy: tf.distribute.Strategy, parts: list[Batch]) -> Batch:
    """A batch whose values have a part on each local replica."""

    def distribute(name: str) -> tf.Tensor:
        values = iter(parts)
        return strategy.experimental_distribute_values_from_function(lambda _: next(values)[name])

    return {name: distribute(name) for name in parts[0]}
