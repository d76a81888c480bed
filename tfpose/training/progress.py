"""The reports of a training run: CSV tables, TensorBoard files and a progress line."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import tensorflow as tf

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
            FloatingPointError: A loss is not finite, or without loss scaling a gradient is not finite.
        """
        checked = ("loss",) if has_loss_scale else ("loss", "gradient_norm")
        for scalars in self._on_device:
            self._step += 1
            for name, value in scalars.items():
                number = float(value.numpy())
                if name in checked and not math.isfinite(number):
                    raise FloatingPointError(f"{name} is {number} at step {self._step}")
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


class CsvTable:
    """A CSV file with one row for each reported step, which a resumed run continues.

    The first row fixes the columns. Numbers are written with all their digits.
    """

    def __init__(self, path: Path, start_step: int) -> None:
        """Opens the table and removes incomplete rows and rows after `start_step`, which the run writes again."""
        self._path = Path(path)
        self._columns, rows = _read_whole_rows(self._path)
        rows = [row for row in rows if int(row[0]) <= start_step]
        self.steps = {int(row[0]) for row in rows}
        if self._path.exists():
            temporary = self._path.with_name(f".incomplete_{self._path.name}")
            lines = [self._columns, *rows] if rows else []
            temporary.write_text("".join(_format_row(line) for line in lines), encoding="utf-8")
            os.replace(temporary, self._path)
        if not rows:
            self._columns = []

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row, which is in the file when this method returns."""
        text = ""
        if not self._columns:
            self._columns = ["step", *values]
            text = _format_row(self._columns)
        row = [repr(float(values[name])) if name in values else "" for name in self._columns[1:]]
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text + _format_row([str(step), *row]))
        except OSError as error:
            raise OSError(
                error.errno, f"cannot write the row of step {step} ({error.strerror})", str(self._path)
            ) from error
        self.steps.add(step)


def _read_whole_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.exists():
        return [], []
    text = path.read_text(encoding="utf-8")
    # A killed run may leave half a row. The digits in it could be read as a different step.
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole)))
    if not rows:
        return [], []
    columns = rows[0]
    is_table = columns[0] == "step" and all(row[:1] and row[0].isdigit() for row in rows[1:])
    if not is_table:
        raise ValueError(f"{path}: the first column must be step, a number in every row, got the columns {columns}")
    return columns, [row for row in rows[1:] if len(row) == len(columns)]


def _format_row(row: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(row)
    return buffer.getvalue()


class ProgressLine:
    """A line that shows the progress of the run, rewritten in a terminal and repeated in any other stream."""

    def __init__(self, total_steps: int, stream: TextIO | None = None) -> None:
        self._total_steps = total_steps
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._last_width = 0

    def show(self, step: int, loss: float, images_per_second: float, seconds_left: float) -> None:
        """Shows the progress after `step`."""
        width = len(str(self._total_steps))
        line = (
            f"step {step:>{width}}/{self._total_steps}  loss {loss:.6g}  "
            f"{images_per_second:.1f} images/s  {format_duration(seconds_left)} left"
        )
        if self._is_terminal:
            padding = " " * (self._last_width - len(line))
            self._stream.write(f"\r{line}{padding}")
            self._last_width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, message: str) -> None:
        """Writes a message on its own line."""
        start = "\n" if self._is_terminal and self._last_width else ""
        self._stream.write(f"{start}{message}\n")
        self._stream.flush()
        self._last_width = 0


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
    """The log files and the progress line of a run. Only the chief worker writes them."""

    def __init__(self, workdir: Path, *, start_step: int, total_steps: int, is_chief: bool) -> None:
        self._is_chief = is_chief
        self._total_steps = total_steps
        if not is_chief:
            return
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        self._train_table = CsvTable(workdir / "train.csv", start_step)
        self._evaluation_table = CsvTable(workdir / "eval.csv", start_step)
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._line = ProgressLine(total_steps)

    def say(self, message: str) -> None:
        """Shows a message to the user."""
        if self._is_chief:
            self._line.say(message)

    def has_evaluation(self, step: int) -> bool:
        """Returns whether eval.csv has the evaluation after `step`."""
        return self._is_chief and step in self._evaluation_table.steps

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
        self._train_table.append(step, row)
        self._write_scalars("train", step, row)
        seconds_left = (self._total_steps - step) * seconds_per_step
        self._line.show(step, scalars["loss"], images_per_second, seconds_left)

    def write_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Reports the evaluation after `step`."""
        self._evaluation_table.append(step, metrics)
        self._write_scalars("eval", step, metrics)
        self.say(f"step {step}: " + "  ".join(f"{k} {v:.5g}" for k, v in metrics.items()))

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Reports pictures, each an array [N, H, W, 3] or [H, W, 3], uint8 RGB."""
        with self._writer.as_default(step):
            for name, pixels in pictures.items():
                pixels = np.asarray(pixels)
                batch = pixels[None] if pixels.ndim == 3 else pixels
                tf.summary.image(f"pictures/{name}", batch, max_outputs=len(batch))

    def flush(self) -> None:
        """Writes what is pending to the TensorBoard files."""
        if self._is_chief:
            self._writer.flush()

    def close(self) -> None:
        """Closes the TensorBoard files."""
        if self._is_chief:
            self._writer.close()

    def _write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        with self._writer.as_default(step):
            for name, value in scalars.items():
                tf.summary.scalar(f"{group}/{name}", value)
