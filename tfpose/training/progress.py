"""The reports of a training run: what its loggers receive, and a progress bar."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfpose.messages import describe_error
from tfpose.training.loggers import DEFAULT_LOGGERS, EVALUATION, LOGGERS, SERVICES, TRAINING, CsvLogger, RunLogger
from tfpose.training.optimization import LOWEST_LOSS_SCALE

# Scalars whose last value is reported. Of all other scalars the mean since the last report is reported.
_LATEST_NOT_MEAN = ("learning_rate", "loss_scale")
# Scalars that only the workers exchange. They are not reported.
_INTERNAL = ("stop_requested",)


class ScalarWindow:
    """The scalars of the steps since the last report, which stay on the device until `fetch` is called."""

    def __init__(self, step: int, pending: Mapping[str, list[float]] | None = None) -> None:
        self._on_device: list[dict[str, tf.Tensor]] = []
        self._on_host: dict[str, list[float]] = {k: list(v) for k, v in (pending or {}).items()}
        self._step = step

    def add(self, scalars: dict[str, tf.Tensor]) -> None:
        """Adds the scalars of the next step without waiting for the device."""
        self._on_device.append(scalars)

    def fetch(self, *, has_loss_scale: bool) -> None:
        """Waits for the added steps and copies their scalars to the host.

        Raises:
            FloatingPointError: A loss is not finite, or a gradient is not finite that no smaller loss scale can help.
        """
        for scalars in self._on_device:
            self._step += 1
            numbers = {name: float(value.numpy()) for name, value in scalars.items()}
            may_overflow = has_loss_scale and numbers.get("loss_scale", math.inf) > LOWEST_LOSS_SCALE
            for name in ("loss",) if may_overflow else ("loss", "gradient_norm"):
                if not math.isfinite(numbers.get(name, 0.0)):
                    raise FloatingPointError(f"{name} is {numbers[name]} at step {self._step}")
            for name, number in numbers.items():
                self._on_host.setdefault(name, []).append(number)
        self._on_device.clear()

    @property
    def pending(self) -> dict[str, list[float]]:
        """The fetched scalars of the steps since the last report, by name."""
        return {k: list(v) for k, v in self._on_host.items() if k not in _INTERNAL}

    @property
    def stop_requested(self) -> bool:
        """Whether any worker was asked to stop in a fetched step."""
        return any(self._on_host.get("stop_requested", ()))

    def summarize(self) -> dict[str, float]:
        """Returns one number for each fetched scalar and starts a new window."""
        summary = {
            name: values[-1] if name in _LATEST_NOT_MEAN else _mean_of_finite(values)
            for name, values in self._on_host.items()
            if name not in _INTERNAL
        }
        self._on_host.clear()
        return summary


def _mean_of_finite(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


class ProgressBar:
    """The progress of the run: a bar that moves with every step in a terminal, a line per report in other streams."""

    def __init__(self, total_steps: int, start_step: int = 0, stream: TextIO | None = None) -> None:
        self._total_steps = total_steps
        self._stream = stream or sys.stderr
        self._bar: tqdm | None = None
        if self._stream.isatty() and start_step < total_steps:
            self._bar = tqdm(
                total=total_steps,
                initial=start_step,
                desc="training",
                file=self._stream,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}",
                dynamic_ncols=True,
            )

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def show(self, step: int, loss: float, images_per_second: float, seconds_left: float) -> None:
        """Shows the numbers after `step`."""
        speed = f"{images_per_second:.1f} images/s  {format_duration(seconds_left)} left"
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}  {speed}", refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()
            return
        width = len(str(self._total_steps))
        self._stream.write(f"step {step:>{width}}/{self._total_steps}  loss {loss:.6g}  {speed}\n")
        self._stream.flush()

    def say(self, message: str) -> None:
        """Writes a message on its own line; in a terminal above the bar."""
        if self._bar is not None:
            self._bar.clear()
        self._stream.write(f"{message}\n")
        self._stream.flush()
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Ends the line of the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def format_duration(seconds: float) -> str:
    """Formats seconds as h:mm:ss.

    >>> format_duration(3723.4)
    '1:02:03'
    """
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class Throughput:
    """Speed of the training steps, without the time that evaluations and checkpoints take."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._steps = 0
        self._images = 0
        self._resumed_at = time.perf_counter()

    def count(self, num_images: int) -> None:
        """Counts one step on `num_images` images."""
        self._steps += 1
        self._images += num_images

    def pause(self) -> None:
        """Stops the clock until `resume`."""
        self._seconds += time.perf_counter() - self._resumed_at

    def resume(self) -> None:
        """Starts the clock."""
        self._resumed_at = time.perf_counter()

    def measure(self) -> tuple[float, float]:
        """Returns images per second and seconds per step since the last measurement. The clock must be paused."""
        seconds = max(self._seconds, 1e-9)
        rates = self._images / seconds, seconds / max(self._steps, 1)
        self._seconds, self._steps, self._images = 0.0, 0, 0
        return rates


class RunLog:
    """The loggers and the progress bar of a run. Only the chief worker has them."""

    def __init__(
        self,
        workdir: Path,
        *,
        start_step: int,
        total_steps: int,
        is_chief: bool,
        loggers: Sequence[str] = DEFAULT_LOGGERS,
    ) -> None:
        """Opens the logs.

        Args:
            workdir: Work folder of the run.
            start_step: Step that the run continues after.
            total_steps: Number of steps of the whole run.
            is_chief: Whether this worker is the chief.
            loggers: Names of `LOGGERS`.

        Raises:
            ValueError: A logger requires a package that is not installed, or a table is no table of a run.
        """
        self._is_chief = is_chief
        self._total_steps = total_steps
        self._loggers: list[RunLogger] = []
        # Those whose failure was told.
        self._failed: list[RunLogger] = []
        if not is_chief:
            return
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        self._loggers = [LOGGERS[name](workdir, start_step) for name in loggers]
        self._bar = ProgressBar(total_steps, start_step)

    def say(self, message: str) -> None:
        """Shows a message to the user."""
        if self._is_chief:
            self._bar.say(message)

    def advance(self, step: int) -> None:
        """Shows that a step is done."""
        if self._is_chief:
            self._bar.advance(step)

    def has_evaluation(self, step: int) -> bool:
        """Returns whether eval.csv has the evaluation after `step`; False if the run writes no CSV tables."""
        return any(isinstance(logger, CsvLogger) and step in logger.evaluated_steps for logger in self._loggers)

    def write_training(
        self,
        step: int,
        scalars: Mapping[str, float],
        images_per_second: float,
        seconds_per_step: float,
    ) -> None:
        """Reports the steps up to `step`. `scalars` must contain at least loss and learning_rate."""
        if not self._is_chief:
            return
        row = {
            "loss": scalars["loss"],
            "learning_rate": scalars["learning_rate"],
            "images_per_second": images_per_second,
        }
        row |= {name: value for name, value in scalars.items() if name not in row}
        self._tell("write_scalars", TRAINING, step, row)
        seconds_left = (self._total_steps - step) * seconds_per_step
        self._bar.show(step, scalars["loss"], images_per_second, seconds_left)

    def write_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Reports the evaluation after `step`."""
        self._tell("write_scalars", EVALUATION, step, metrics)
        self.say(f"step {step}: " + "  ".join(f"{k} {v:.5g}" for k, v in metrics.items()))

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Reports pictures, each an array [N, H, W, 3] or [H, W, 3], uint8 RGB."""
        arrays = {name: np.asarray(pixels) for name, pixels in pictures.items()}
        batches = {name: pixels[None] if pixels.ndim == 3 else pixels for name, pixels in arrays.items()}
        self._tell("write_pictures", step, batches)

    def flush(self) -> None:
        """Writes what is pending."""
        self._tell("flush")

    def close(self, error: BaseException | None = None) -> None:
        """Ends the bar and the reports; `error` is what ended the run, None if it is finished."""
        if self._is_chief:
            self._bar.close()
        self._tell("close", error)

    def _tell(self, method: str, *values: Any) -> None:
        """Calls a method of all loggers. A service that fails, as without a network, does not end the training."""
        for logger in self._loggers:
            try:
                getattr(logger, method)(*values)
            except Exception as error:
                if not isinstance(logger, SERVICES):
                    raise
                if logger not in self._failed:
                    self.say(f"warning: {type(logger).__name__}: {describe_error(error)}; the training goes on")
                    self._failed.append(logger)
