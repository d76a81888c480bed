"""The places that a training run reports to: CSV tables, TensorBoard, Weights & Biases and MLflow.

A logger of your own is a class with the methods of `RunLogger` and an entry in `LOGGERS`.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfpose.checkpoints import RUN_CONFIG_FILE
from tfpose.interruption import TrainingInterrupted

TRAINING, EVALUATION = "train", "eval"
# Files in the work folder that hold the identity of the run at the service, so that a continued run appends to it.
_IDENTITY_FILES = {"wandb": "wandb_run.txt", "mlflow": "mlflow_run.txt"}


class RunLogger(Protocol):
    """Receives the reports of a run. Only the chief worker has loggers."""

    def write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        """Receives numbers by name; `group` is "train" or "eval"."""

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Receives batches of pictures [N, H, W, 3] uint8 RGB by name."""

    def flush(self) -> None:
        """Writes what is pending; called after each checkpoint."""

    def close(self, error: BaseException | None) -> None:
        """Ends the report; called when the run finishes, fails or is stopped.

        Args:
            error: What ended the run, `TrainingInterrupted` after a signal; None if it is finished.
        """


class CsvTable:
    """A CSV file with one row for each reported step, which a resumed run continues.

    The first row chooses the columns. A later row with further numbers, as of a run that continues with other settings,
    adds columns, which are empty in the rows before. Numbers are written with all their digits.
    """

    def __init__(self, path: Path, start_step: int) -> None:
        """Opens the table and removes incomplete rows and rows after `start_step`, which the run writes again."""
        self._path = Path(path)
        self._columns, rows = _read_whole_rows(self._path)
        rows = [row for row in rows if int(row[0]) <= start_step]
        self.steps = {int(row[0]) for row in rows}
        if self._path.exists():
            self._replace([self._columns, *rows] if rows else [])
        if not rows:
            self._columns = []

    def _replace(self, lines: list[list[str]]) -> None:
        temporary = self._path.with_name(f".incomplete_{self._path.name}")
        temporary.write_text("".join(_format_row(line) for line in lines), encoding="utf-8")
        os.replace(temporary, self._path)

    def _add_columns(self, names: list[str]) -> None:
        columns, rows = _read_whole_rows(self._path)
        self._replace([[*columns, *names], *([*row, *[""] * len(names)] for row in rows)])
        self._columns = [*columns, *names]

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row, which is in the file when this method returns."""
        text = ""
        if not self._columns:
            self._columns = ["step", *values]
            text = _format_row(self._columns)
        further = [name for name in values if name not in self._columns]
        try:
            if further:
                self._add_columns(further)
            row = [repr(float(values[name])) if name in values else "" for name in self._columns[1:]]
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


class CsvLogger:
    """Writes train.csv and eval.csv; pictures are left out."""

    def __init__(self, workdir: Path, start_step: int) -> None:
        self._tables = {name: CsvTable(workdir / f"{name}.csv", start_step) for name in (TRAINING, EVALUATION)}

    @property
    def evaluated_steps(self) -> set[int]:
        """The steps that eval.csv has a row for."""
        return self._tables[EVALUATION].steps

    def write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        """Appends a row, which is in the file when this method returns."""
        self._tables[group].append(step, scalars)

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing, because every row is written at once."""

    def close(self, error: BaseException | None) -> None:
        """Does nothing."""


class TensorBoardLogger:
    """Writes the folder tensorboard/."""

    def __init__(self, workdir: Path, start_step: int) -> None:
        del start_step
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        """Adds a point to the curve of each number."""
        with self._writer.as_default(step):
            for name, value in scalars.items():
                tf.summary.scalar(f"{group}/{name}", value)

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Adds the pictures."""
        with self._writer.as_default(step):
            for name, batch in pictures.items():
                tf.summary.image(f"pictures/{name}", batch, max_outputs=len(batch))

    def flush(self) -> None:
        """Writes what is pending to the files."""
        self._writer.flush()

    def close(self, error: BaseException | None) -> None:
        """Closes the files."""
        self._writer.close()


class WandbLogger:
    """Reports to Weights & Biases; its environment variables, such as WANDB_PROJECT and WANDB_MODE, apply."""

    def __init__(self, workdir: Path, start_step: int) -> None:
        del start_step
        self._wandb = _import_package("wandb")
        identity = _read_identity(workdir, "wandb")
        self._run = self._wandb.init(
            dir=str(workdir), name=workdir.name, id=identity, resume="allow", config=_read_config(workdir)
        )
        # The steps of a run that continues at an earlier checkpoint go back, which W&B's own step must not.
        self._run.define_metric("*", step_metric="step")
        _write_identity(workdir, "wandb", self._run.id)

    def write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        """Adds a point to the curve of each number."""
        self._run.log({"step": step} | {f"{group}/{name}": value for name, value in scalars.items()})

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Adds the pictures."""
        images = {f"pictures/{n}": [self._wandb.Image(picture) for picture in batch] for n, batch in pictures.items()}
        self._run.log({"step": step} | images)

    def flush(self) -> None:
        """Does nothing, because W&B sends in the background."""

    def close(self, error: BaseException | None) -> None:
        """Ends the run at W&B, as failed if it is not finished."""
        self._run.finish(exit_code=0 if error is None else 1)


class MlflowLogger:
    """Reports to MLflow; its environment variables, such as MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME, apply."""

    def __init__(self, workdir: Path, start_step: int) -> None:
        del start_step
        self._mlflow = _import_package("mlflow")
        identity = _read_identity(workdir, "mlflow")
        names = {"run_name": workdir.name} if identity is None else {"run_id": identity}
        run = self._mlflow.start_run(**names)
        _write_identity(workdir, "mlflow", run.info.run_id)
        if config := _read_config(workdir):
            self._mlflow.log_dict(config, RUN_CONFIG_FILE)

    def write_scalars(self, group: str, step: int, scalars: Mapping[str, float]) -> None:
        """Adds a point to the curve of each number."""
        self._mlflow.log_metrics({f"{group}/{name}": float(value) for name, value in scalars.items()}, step=step)

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Adds the pictures."""
        for name, batch in pictures.items():
            for number, picture in enumerate(batch):
                self._mlflow.log_image(picture, artifact_file=f"pictures/{name}/step_{step:08d}_{number}.png")

    def flush(self) -> None:
        """Does nothing, because MLflow sends at once."""

    def close(self, error: BaseException | None) -> None:
        """Ends the run at MLflow, as finished, as killed after a signal, or as failed."""
        was_stopped = isinstance(error, (TrainingInterrupted, KeyboardInterrupt))
        self._mlflow.end_run("FINISHED" if error is None else "KILLED" if was_stopped else "FAILED")


# Functions of the work folder and of the step that the run continues after, by the names in `run.loggers`.
LOGGERS: dict[str, Callable[[Path, int], RunLogger]] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "mlflow": MlflowLogger,
}
DEFAULT_LOGGERS = ("csv", "tensorboard")
# Those that may fail in the middle of a run for reasons outside of this machine.
SERVICES = (WandbLogger, MlflowLogger)


def check_loggers(names: tuple[str, ...]) -> None:
    """Checks the names of loggers.

    Raises:
        ValueError: A name is unknown or repeated.
    """
    if len(set(names)) != len(names) or not set(names) <= set(LOGGERS):
        raise ValueError(f"loggers must be distinct names of {', '.join(LOGGERS)}, got {', '.join(names)}")


def _import_package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"run.loggers {name!r} requires the package {name}; run pip install {name}") from error


def _read_identity(workdir: Path, service: str) -> str | None:
    path = workdir / _IDENTITY_FILES[service]
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def _write_identity(workdir: Path, service: str, identity: str) -> None:
    (workdir / _IDENTITY_FILES[service]).write_text(f"{identity}\n", encoding="utf-8")


def _read_config(workdir: Path) -> dict[str, Any]:
    path = workdir / RUN_CONFIG_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
