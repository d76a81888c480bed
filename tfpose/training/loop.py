"""The training loop, the same for every system: a `TrainingPlan` says what is trained.

The loop runs on one device, on several devices of one machine, or on several machines. It continues from what an
earlier call left in the work folder. The files of a run:

    checkpoints/step_<number>.npz   the whole state: the newest few checkpoints and the best one
    config.json                     the config, with every value (written by the program)
    .lock                           the host and process of the training that works or worked in the folder
    best.weights.h5                 Keras weights of the best evaluation (averaged weights if the run keeps an average)
    model.weights.h5                Keras weights at the end (averaged weights if the run keeps an average)
    train.csv, eval.csv             one row per report and one row per evaluation
    tensorboard/                    the same numbers as curves, and pictures
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpose import checkpoints
from tfpose.data.step_batches import iterate_dataset
from tfpose.file_locks import hold_lock
from tfpose.interruption import SignalWatch
from tfpose.training.distribution import (
    build_strategy,
    check_same_everywhere,
    count_processes,
    input_context,
    is_chief,
    sum_over_replicas,
)
from tfpose.training.optimization import (
    LossScale,
    MovingAverage,
    OptimizationSettings,
    build_optimizer,
)
from tfpose.training.precision import choose_precision
from tfpose.training.session import Hooks, RunSettings, Session, check_best_metric
from tfpose.training.step import LOSS_SCALE, Batch, ComputeLoss, TrainingState, TrainStep

__all__ = ["Hooks", "OptimizationSettings", "RunSettings", "TrainingPlan", "build_strategy", "train"]

LOCK_NAME = ".lock"

MakeDataset = Callable[[int, tf.distribute.InputContext], tf.data.Dataset]


@dataclass(frozen=True)
class TrainingPlan:
    """The model, loss and data that a run trains with.

    Attributes:
        build_model: Function that builds the network, with a name for every layer. It is called in the scope of the
            strategy, under the global precision policy that `OptimizationSettings.precision` names.
        compute_loss: Function from the network and the batch of one replica to losses and metrics, two dicts from a
            name to a pair of scalars: a sum over the batch and the weight of the batch, for example the squared error
            summed over the visible joints and the number of visible joints. The loss of a step is the sum over the
            losses of total sum / total weight, over all replicas, so it does not depend on how the examples are
            distributed. Metrics are averaged in the same way and only reported. The function must call the network
            with training=True. With several replicas the weights are needed before the gradient. Weights that depend
            on the batch alone cost nothing; other weights cost a second forward pass.
        make_dataset: Function from the first step (counted from 0) and the input context to the batches from that step
            on: for each step one batch of fixed size for each replica that the input pipeline feeds, which are
            `context.num_replicas_in_sync // context.num_input_pipelines`. The batches must depend on the step alone,
            because only then can a run continue exactly.
        hooks: What the run does besides training: initial weights, evaluation and pictures.
        prepare: Function that builds what the loss needs besides the network, such as the network of a teacher. It is
            called once, in the scope of the strategy, after `build_model`. None for nothing.
    """

    build_model: Callable[[], keras.Model]
    compute_loss: ComputeLoss
    make_dataset: MakeDataset
    hooks: Hooks = field(default_factory=Hooks)
    prepare: Callable[[], None] | None = None


def describe_also(plan: TrainingPlan, describe: Callable[[Path], None]) -> TrainingPlan:
    """Returns the plan with a further function that writes into the work folder when the run starts."""
    before = plan.hooks.describe

    def describe_both(workdir: Path) -> None:
        if before is not None:
            before(workdir)
        describe(workdir)

    return dataclasses.replace(plan, hooks=dataclasses.replace(plan.hooks, describe=describe_both))


def train(
    plan: TrainingPlan,
    *,
    strategy: tf.distribute.Strategy,
    workdir: str | Path,
    optimization: OptimizationSettings,
    run: RunSettings,
) -> keras.Model:
    """Trains a network or continues a run, and returns the network with its last weights.

    Continuing is exact: the losses equal those of a run that was never stopped, to the bit where the operations are
    deterministic, as they are on CPUs. Batch normalization takes its statistics over the batch of one replica.
    Evaluations and weights files use the moving averages of the first replica.

    Args:
        plan: What is trained.
        strategy: Strategy from `build_strategy`.
        workdir: Folder of the run. With several machines all of them must share it.
        optimization: How the weights are updated.
        run: How long the run is and what it leaves behind.

    Raises:
        ValueError: A checkpoint in `workdir` cannot be read, a different model or configuration wrote it, there are
            weights without checkpoints, or the dataset failed.
        FloatingPointError: The loss or the gradient is not finite. Nothing is saved after that step.
        OSError: A file cannot be written, or another training is at work in `workdir`.
        TrainingInterrupted: SIGTERM, Ctrl-C or SIGHUP stopped the run. The state is saved.
    """
    with _lock_workdir(Path(workdir), strategy):
        return _train(plan, strategy, Path(workdir), optimization, run)


@contextlib.contextmanager
def _lock_workdir(workdir: Path, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Keeps other trainings out of the folder. The workers of one training share it; the chief holds the lock."""
    if not is_chief(strategy):
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with hold_lock(workdir / LOCK_NAME, "the work folder of one training at a time"):
        yield


def _train(
    plan: TrainingPlan,
    strategy: tf.distribute.Strategy,
    workdir: Path,
    optimization: OptimizationSettings,
    run: RunSettings,
) -> keras.Model:
    hooks = plan.hooks
    if hooks.metrics:
        check_best_metric(run.best_metric, hooks.metrics)
    state = _build_state(strategy, plan.build_model, optimization, run.seed)
    if plan.prepare is not None:
        with strategy.scope():
            plan.prepare()
    restored = _restore_or_initialize(strategy, state, workdir, hooks)
    _check_same_weights(strategy, state)
    if hooks.describe is not None and is_chief(strategy):
        hooks.describe(workdir)
    train_step = TrainStep(strategy, state, plan.compute_loss, optimization)
    with SignalWatch() as watch, Session(strategy, state, workdir, run, hooks, restored) as session:
        session.announce()
        session.redo_missed()
        # Closed: the traceback of an error would keep the iterator alive, and then the process may not end.
        with contextlib.closing(_iterate_batches(strategy, plan.make_dataset, restored.step, run.total_steps)) as steps:
            for batch in steps:
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
    """Loads the newest checkpoint, or initializes the weights of a fresh run.

    Raises:
        ValueError: A fresh run would replace finished weights.
    """
    latest = checkpoints.read_latest_checkpoint(workdir)
    metadata = checkpoints.Metadata(step=0) if latest is None else latest[2]
    _check_same_step(strategy, metadata.step)
    if latest is not None:
        path, values, _ = latest
        own = state.named_variables()
        checkpoints.assign_values(own, _with_own_loss_scale(strategy, own, values), path)
        return metadata
    for name in (checkpoints.FINAL_WEIGHTS_NAME, checkpoints.BEST_WEIGHTS_NAME):
        if (workdir / name).exists():
            raise ValueError(
                f"{workdir}: must hold the checkpoints of the run that wrote {name}, got none; choose another "
                "--workdir, because a new run would replace these weights"
            )
    if hooks.initialize is not None:
        hooks.initialize(state.model)
        if state.average is not None:
            state.average.restart()
    return metadata


def _with_own_loss_scale(
    strategy: tf.distribute.Strategy, own: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the values of a checkpoint with a loss scale where the run has one, because the precision may change.

    The precision "auto" depends on the device. A loss scale that the checkpoint lacks starts anew.
    """
    scale = {name: variable for name, variable in own.items() if name.startswith(LOSS_SCALE)}
    rest = {name: value for name, value in values.items() if name in scale or not name.startswith(LOSS_SCALE)}
    return checkpoints.read_values(strategy, scale) | rest


def _check_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    if count_processes(strategy) == 1:
        return
    if sum_over_replicas(strategy, np.int64(step)) != step * strategy.num_replicas_in_sync:
        raise ValueError(
            f"workdir must be a folder that all workers share, got workers at different steps (this one at {step})"
        )


def _check_same_weights(strategy: tf.distribute.Strategy, state: TrainingState) -> None:
    """Checks that all workers start alike: each reads the first weights, or the checkpoint, from its own disk."""
    if count_processes(strategy) == 1:
        return
    digits = 0
    for values in checkpoints.read_values(strategy, state.named_variables()).values():
        digits = zlib.crc32(np.ascontiguousarray(values).tobytes(), digits)
    check_same_everywhere(strategy, {"weights at the start": f"{digits:08x}"})


def _iterate_batches(
    strategy: tf.distribute.Strategy, make_dataset: MakeDataset, start_step: int, total_steps: int
) -> Generator[Batch, None, None]:
    """Yields the batches of this worker's replicas, on their devices.

    The iterators of `strategy.distribute_datasets_from_function` have tuning threads that cannot be turned off. The end
    of these threads took up to a minute per device (TensorFlow 2.21), so the loop distributes the batches itself.
    """
    if start_step >= total_steps:
        return
    devices = strategy.extended.worker_devices
    dataset = make_dataset(start_step, input_context(strategy))
    with contextlib.closing(iterate_dataset(dataset)) as batches:
        for step in range(start_step, total_steps):
            try:
                parts = [_copy_to_device(next(batches), device) for device in devices]
            except StopIteration as error:
                raise ValueError(f"the dataset must last for {total_steps} steps, got {step}") from error
            yield _distribute(strategy, parts)


def _copy_to_device(batch: Batch, device: str) -> Batch:
    with tf.device(device):
        return {name: tf.identity(values) for name, values in batch.items()}


def _distribute(strategy: tf.distribute.Strategy, parts: list[Batch]) -> Batch:
    """Combines the batches of the local replicas into one distributed batch."""

    def distribute(name: str) -> tf.Tensor:
        values = iter(parts)
        return strategy.experimental_distribute_values_from_function(lambda _: next(values)[name])

    return {name: distribute(name) for name in parts[0]}
