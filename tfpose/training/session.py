"""The work of a run between its steps: reports, saved files, evaluations, pictures, and the stop."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import keras
import numpy as np
import tensorflow as tf

from tfpose import checkpoints
from tfpose.evaluation.shares import EvaluationShare
from tfpose.interruption import SignalWatch, TrainingInterrupted
from tfpose.training.distribution import chief_says, count_processes, find_share, is_chief
from tfpose.training.loggers import DEFAULT_LOGGERS, check_loggers
from tfpose.training.progress import RunLog, ScalarWindow, Throughput
from tfpose.training.step import Batch, TrainingState


@dataclass(frozen=True)
class RunSettings:
    """The length of a run, and the files that it keeps. A step is one update of the weights.

    Attributes:
        total_steps: Number of steps of the whole run.
        seed: Seed of the random initial weights.
        log_every: Number of steps between rows of train.csv. A loss that is not finite is detected there at the
            latest.
        checkpoint_every: Number of steps between checkpoints. The run also saves at its end and when an evaluation is
            the best so far.
        max_to_keep: Number of newest checkpoints that are kept, besides the best one.
        evaluate_every: Number of steps between evaluations. None evaluates only at the end.
        best_metric: Metric of the evaluation that decides which checkpoint is the best. None marks no checkpoint.
        higher_is_better: Whether a higher value of `best_metric` is better.
        pictures_every: Number of steps between pictures in the logs. None draws no pictures.
        loggers: Where the run reports to: "csv", "tensorboard", "wandb" (requires pip install wandb) and "mlflow"
            (requires pip install mlflow). Without "csv" a continued run may repeat an evaluation.
    """

    total_steps: int
    seed: int = 0
    log_every: int = 100
    checkpoint_every: int = 1000
    max_to_keep: int = 3
    evaluate_every: int | None = None
    best_metric: str | None = None
    higher_is_better: bool = True
    pictures_every: int | None = None
    loggers: tuple[str, ...] = DEFAULT_LOGGERS

    def __post_init__(self) -> None:
        for name in ("total_steps", "log_every", "checkpoint_every", "max_to_keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("evaluate_every", "pictures_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {getattr(self, name)}")
        check_loggers(self.loggers)


@dataclass(frozen=True)
class Hooks:
    """The functions that a run calls besides training. Every hook is optional.

    Attributes:
        describe: Function that writes into the work folder what is needed to use the weights. The chief alone calls it,
            after the weights were initialized or restored, so that a run that is refused does not change the folder.
        initialize: Function that gives the network its first weights, for example pretrained ones. It is called once,
            at the start of a fresh run.
        evaluate: Function from the network, the step, and the share of this worker, to metrics. All workers call it
            together, with the averaged weights if the run keeps an average. The chief's metrics count.
        metrics: Names of these metrics, for a run with a best metric to be refused before its first step; empty where
            they are not known before.
        draw_pictures: Function from the network and the batch of the first replica to pictures by name, each an array
            [N, H, W, 3] or [H, W, 3], uint8 RGB.
        measured_on: Digest of what metrics depend on besides the network, see `run_config.digest_of_evaluation`. Best
            metrics of another digest do not compare. '' where it is not known.
    """

    describe: Callable[[Path], None] | None = None
    initialize: Callable[[keras.Model], None] | None = None
    evaluate: Callable[[keras.Model, int, EvaluationShare], Mapping[str, float]] | None = None
    metrics: tuple[str, ...] = ()
    draw_pictures: Callable[[keras.Model, Batch], Mapping[str, np.ndarray]] | None = None
    measured_on: str = ""


def check_best_metric(name: str | None, metrics: Collection[str]) -> None:
    """Checks that evaluations give the metric that decides which checkpoint is the best.

    Raises:
        ValueError: They do not.
    """
    if name is not None and name not in metrics:
        raise ValueError(f"run.best_metric must be one of the metrics of this run, {', '.join(metrics)}, got {name!r}")


class Session:
    """A run from its start to its next stop: counts the steps and does what is due after each step.

    The end of its `with` block closes the files of the run.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        state: TrainingState,
        workdir: Path,
        run: RunSettings,
        hooks: Hooks,
        restored: checkpoints.Metadata,
    ) -> None:
        self._strategy = strategy
        self._state = state
        self._workdir = workdir
        self._run = run
        self._hooks = hooks
        self._is_chief = is_chief(strategy)
        self._num_processes = count_processes(strategy)
        self._stop_was_seen = False
        self._step = self._start_step = restored.step
        self._saved_step: int | None = restored.step or None
        self._is_start_best = restored.best is not None
        self._log = RunLog(
            workdir,
            start_step=restored.step,
            total_steps=run.total_steps,
            is_chief=self._is_chief,
            loggers=run.loggers,
        )
        self._window = ScalarWindow(restored.step, restored.pending)
        self._throughput = Throughput()

    def __enter__(self) -> Session:
        self._throughput.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._log.close(error)

    def announce(self) -> None:
        """Shows the step and the devices that the run starts with."""
        count = self._strategy.num_replicas_in_sync
        devices = f"{count} device{'s' * (count > 1)}"
        if self._start_step:
            self._log.say(f"continuing after step {self._start_step} on {devices}")
        else:
            self._log.say(f"starting on {devices}: {self._state.model.count_params()} parameters")

    def count(self, scalars: dict[str, tf.Tensor], batch: Batch) -> None:
        """Counts a finished step and keeps its scalars."""
        self._step += 1
        self._window.add(scalars)
        self._log.advance(self._step)
        self._throughput.count(self._count_images(batch))

    def report_and_save(self, batch: Batch) -> None:
        """Reports, evaluates and saves what is due after this step."""
        run = self._run
        if self._is_due(run.log_every):
            self._report()
        is_save_due = self._is_due(run.checkpoint_every)
        is_evaluation_due = self._hooks.evaluate is not None and self._is_due(run.evaluate_every)
        are_pictures_due = (
            self._hooks.draw_pictures is not None
            and run.pictures_every is not None
            and self._step % run.pictures_every == 0
        )
        if not (is_save_due or is_evaluation_due or are_pictures_due):
            return
        self._fetch()
        self._throughput.pause()
        if are_pictures_due and self._is_chief:
            self._draw_pictures(batch)
        if is_save_due:
            self._save()
        if is_evaluation_due:
            self._evaluate()
        self._throughput.resume()

    def redo_missed(self) -> None:
        """Exports and evaluates the restored weights again, because the run may have been killed before it did."""
        if self._is_start_best and self._is_chief:
            self._export(checkpoints.BEST_WEIGHTS_NAME)
        is_due = self._start_step > 0 and self._is_due(self._run.evaluate_every)
        # The chief alone reads the log.
        if is_due and chief_says(self._strategy, self._is_chief and not self._log.has_evaluation(self._start_step)):
            self._evaluate()

    def must_stop(self, watch: SignalWatch) -> bool:
        """Returns whether to stop after this step. Several machines agree on the step."""
        if self._step >= self._run.total_steps:
            return False
        if self._num_processes > 1:
            return self._step % self._run.log_every == 0 and self._stop_was_seen
        return watch.stop_requested

    def stop(self, watch: SignalWatch) -> None:
        """Saves the state and ends the run.

        Raises:
            TrainingInterrupted: Always.
        """
        if self._saved_step != self._step:
            self._fetch()
            self._save()
        self._log.say(f"stopped by a signal after step {self._step}; the state is saved")
        raise TrainingInterrupted(watch.exit_code)

    def finish(self) -> None:
        """Exports the last weights."""
        if self._is_chief:
            self._export(checkpoints.FINAL_WEIGHTS_NAME)
        self._log.say(f"finished after step {self._step}: {self._workdir}")

    def _is_due(self, every: int | None) -> bool:
        is_end = self._step == self._run.total_steps
        return is_end or (every is not None and self._step % every == 0)

    def _fetch(self) -> None:
        try:
            self._window.fetch(has_loss_scale=self._state.loss_scale is not None)
        except FloatingPointError as error:
            raise self._end_of_numbers(str(error)) from None

    def _end_of_numbers(self, problem: str) -> FloatingPointError:
        last = checkpoints.list_checkpoints(self._workdir)
        kept = f"the last good checkpoint is {last[-1]}" if last else "there is no checkpoint"
        return FloatingPointError(f"training stopped: {problem}; {kept}")

    def _report(self) -> None:
        self._fetch()
        self._stop_was_seen = self._window.stop_requested
        self._throughput.pause()
        images_per_second, seconds_per_step = self._throughput.measure()
        scalars = self._window.summarize()
        self._log.write_training(self._step, scalars, images_per_second, seconds_per_step)
        self._throughput.resume()

    def _save(self, best: dict[str, str | float] | None = None) -> None:
        self._saved_step = self._step
        if not self._is_chief:
            return
        values = checkpoints.read_values(self._strategy, self._state.named_variables())
        # The loss of this step may be a number though its update made weights that are none.
        for name, value in values.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise self._end_of_numbers(f"{name} is not finite after step {self._step}")
        metadata = checkpoints.Metadata(self._step, best, self._window.pending)
        checkpoints.write_checkpoint(self._workdir, values, metadata)
        checkpoints.prune_checkpoints(self._workdir, self._run.max_to_keep, self._step)
        self._log.flush()

    def _draw_pictures(self, batch: Batch) -> None:
        if self._hooks.draw_pictures is not None:
            pictures = self._hooks.draw_pictures(self._state.model, self._local_batch(batch))
            self._log.write_pictures(self._step, pictures)

    def _evaluate(self) -> None:
        if self._hooks.evaluate is None:
            return
        try:
            with self._averaged_weights():
                metrics = dict(self._hooks.evaluate(self._state.model, self._step, find_share(self._strategy)))
        except ValueError as error:
            raise ValueError(f"evaluation after step {self._step}: {error}") from error
        if not self._is_chief:
            return
        name = self._run.best_metric
        if name is not None and self._is_best(name, metrics):
            best: dict[str, str | float] = {"metric": name, "value": float(metrics[name])}
            if self._hooks.measured_on:
                best["measured_on"] = self._hooks.measured_on
            self._save(best)
            self._export(checkpoints.BEST_WEIGHTS_NAME)
        # The row is written last, so that a run that is killed before this line evaluates again.
        self._log.write_evaluation(self._step, metrics)

    def _is_best(self, name: str, metrics: Mapping[str, float]) -> bool:
        check_best_metric(name, metrics)
        value = float(metrics[name])
        best = checkpoints.find_best_checkpoint(self._workdir)
        previous = None if best is None else best[1].best
        if previous is not None and previous.get("metric") != name:
            # The run continues with another best metric, whose values do not compare.
            previous = None
        on = self._hooks.measured_on
        if previous and on and previous.get("measured_on", on) != on:
            self._log.say(
                "note: validation data or settings of inference have changed since the best evaluation, so its "
                f"{name} {previous['value']} does not count any more"
            )
            previous = None
        if math.isnan(value):
            self._log.say(f"note: {name} is not a number at step {self._step}, so this step is not marked as the best")
        if math.isnan(value) or previous is None:
            return not math.isnan(value)
        sign = 1 if self._run.higher_is_better else -1
        return sign * value > sign * float(previous["value"])

    def _export(self, name: str) -> None:
        with self._averaged_weights():
            checkpoints.write_weights(self._state.model, self._workdir / name)

    def _averaged_weights(self) -> contextlib.AbstractContextManager[None]:
        if self._state.average is None:
            return contextlib.nullcontext()
        return self._state.average.apply_to_variables()

    def _local_batch(self, batch: Batch) -> Batch:
        return {name: self._strategy.experimental_local_results(value)[0] for name, value in batch.items()}

    def _count_images(self, batch: Batch) -> int:
        first = next(iter(batch.values()))
        local = self._strategy.experimental_local_results(first)
        return sum(int(value.shape[0]) for value in local) * self._num_processes
