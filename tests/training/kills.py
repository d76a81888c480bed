"""Kills trainings at chosen places and continues them: the result must be that of a run that was never killed.

    python tests/training/kills.py FOLDER [--copies] [PLACE ...]

Prints a line for each place; without PLACE for all of them. The exit status is 1 if a run ends otherwise than the
reference: other losses, metrics or weights, a missing file, or an unfinished one. Each run is a copy of this process,
because TensorFlow takes seconds to start; a place ends it by SIGKILL. With --copies a run is not killed at the places,
but its work folder is copied at each of them: that is what it leaves if it is killed there.
"""

from __future__ import annotations

import csv
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import h5py
import keras
import numpy as np
import toy_run

from tfpose import checkpoints
from tfpose.training import loggers
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train

# The evaluation after step 8 is the best, and that after step 4 until then.
METRICS = {4: 0.1, 8: 0.3, 12: 0.2}
FIRST, BEST, LAST = "step_00000003.npz", "step_00000008.npz", "step_00000012.npz"
# For each place what is about to be written: the event at which each process of the run is killed, one after the other.
PLACES: dict[str, tuple[str, ...]] = {
    "half of the first checkpoint": (f"half {FIRST}",),
    "before the rename of the first checkpoint": (f"before {FIRST}",),
    "after the rename of the first checkpoint": (f"after {FIRST}",),
    "before the first evaluation": ("evaluate 4",),
    "half of the best checkpoint": (f"half {BEST}",),
    "before the rename of the best checkpoint": (f"before {BEST}",),
    "after the rename of the best checkpoint, before the export of the best": (f"after {BEST}",),
    "half of the best weights": ("half best.weights.h5",),
    "before the rename of the best weights": ("before best.weights.h5",),
    "after the rename of the best weights": ("after best.weights.h5",),
    "before the second evaluation": ("evaluate 8",),
    "before the row of an evaluation": ("before a row of eval.csv",),
    "half a row of an evaluation": ("half a row of eval.csv",),
    "after the row of an evaluation": ("after a row of eval.csv",),
    "half a row of the losses": ("half a row of train.csv",),
    "after a row of the losses": ("after a row of train.csv",),
    "before an old checkpoint is deleted": ("before the deletion",),
    "after an old checkpoint is deleted": ("after the deletion",),
    "half of the last checkpoint": (f"half {LAST}",),
    "half of the last weights": ("half model.weights.h5",),
    "before the rename of the last weights": ("before model.weights.h5",),
    "after the rename of the last weights": ("after model.weights.h5",),
    "in the repeated export of the best": (f"after {BEST}", "half best.weights.h5", "before best.weights.h5"),
    "while the tables are repaired": (f"after {BEST}", "before train.csv", "before eval.csv", "after eval.csv"),
}


def main(folder: str, *places: str) -> int:
    """Runs the places; returns the exit status."""
    root = pathlib.Path(folder)
    reference = root / "reference"
    assert run_copy(reference) == 0
    assert set(read_run(reference)) >= {"train.csv", "eval.csv", "best.weights.h5", "model.weights.h5"}
    has_copies = "--copies" in places
    workdirs = {
        place: root / str(number)
        for number, place in enumerate([place for place in places if place != "--copies"] or PLACES)
    }
    if has_copies:
        copy_first_events(root / "copied", workdirs)
        assert not differing_files(reference, root / "copied")
    failed = 0
    for place, workdir in workdirs.items():
        events = PLACES[place][has_copies:]
        endings = [*(run_copy(workdir, kill_at(event)) for event in events), run_copy(workdir)]
        wanted = [-signal.SIGKILL] * len(events) + [0]
        differences = differing_files(reference, workdir) if endings == wanted else [f"it ended with {endings}"]
        print(f"{place}: {', '.join(differences) or 'equal'}", flush=True)
        failed += bool(differences)
    return int(failed > 0)


def run_copy(workdir: pathlib.Path, watch: Callable[[str], None] | None = None) -> int:
    """Trains in a copy of this process, with a function that hears of each event; returns how the copy ended."""
    process = os.fork()
    if not process:
        status = 1
        try:
            with open(f"{workdir}.log", "a") as log:
                os.dup2(log.fileno(), sys.stderr.fileno())
            if watch:
                watch_events(watch)
            train_toy(workdir)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def copy_first_events(run: pathlib.Path, workdirs: Mapping[str, pathlib.Path]) -> None:
    """Trains, and copies the work folder for each place when its first event happens for the first time."""

    def copy(happened: str) -> None:
        for place, workdir in workdirs.items():
            if PLACES[place][0] == happened and not workdir.exists():
                shutil.copytree(run, workdir)

    assert run_copy(run, copy) == 0
    assert all(workdir.exists() for workdir in workdirs.values())


def train_toy(workdir: pathlib.Path) -> None:
    """Trains with averaged weights, losses between the reports, pruned checkpoints and a best one."""
    train(
        TrainingPlan(toy_run.build_model, toy_run.compute_loss, toy_run.make_dataset, Hooks(evaluate=evaluate)),
        strategy=build_strategy("one_device"),
        workdir=workdir,
        optimization=OptimizationSettings(0.01, ema_decay=0.9),
        run=RunSettings(
            total_steps=12, log_every=2, checkpoint_every=3, max_to_keep=1, evaluate_every=4, best_metric="ap"
        ),
    )


def evaluate(model: keras.Model, step: int, _: object) -> dict[str, float]:
    announce(f"evaluate {step}")
    return {"ap": METRICS[step], "weight": float(abs(model.weights[0].numpy()).sum())}


events: Callable[[str], None] = lambda event: None  # noqa: E731


def announce(event: str) -> None:
    """Says that something is about to happen or has happened."""
    events(event)


def kill_at(event: str) -> Callable[[str], None]:
    """Returns a function that kills its process at an event."""

    def die(happened: str) -> None:
        if happened == event:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    return die


def watch_events(watch: Callable[[str], None]) -> None:
    """Lets a function hear of every event in this process."""
    globals()["events"] = watch
    os.replace = announcing(os.replace, lambda source, target: pathlib.Path(target).name)
    np.savez = writing_half(np.savez, lambda file, **_: pathlib.Path(file.name))
    deletion = announcing(
        pathlib.Path.unlink, lambda path, **_: "the deletion" if path.name == FIRST else "another deletion"
    )
    replacements = {
        pathlib.Path: ("unlink", deletion),
        keras.Model: ("save_weights", writing_half(keras.Model.save_weights, lambda model, path: path)),
        loggers.CsvTable: ("append", appending_half(loggers.CsvTable.append)),
    }
    for owner, (name, replacement) in replacements.items():
        setattr(owner, name, replacement)


def announcing(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    def announced(*arguments: Any, **named: Any) -> Any:
        announce(f"before {name(*arguments, **named)}")
        result = function(*arguments, **named)
        announce(f"after {name(*arguments, **named)}")
        return result

    return announced


def writing_half(function: Callable[..., Any], path_of: Callable[..., pathlib.Path]) -> Callable[..., Any]:
    """Makes a writer write its whole file and cut it in half before the event, as if it were killed in between."""

    def halved(*arguments: Any, **named: Any) -> Any:
        path = path_of(*arguments, **named)
        result = function(*arguments, **named)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        announce(f"half {path.name.removeprefix('.incomplete_')}")
        path.write_bytes(whole)
        return result

    return halved


def appending_half(append: Callable[..., None]) -> Callable[..., None]:
    def halved(table: loggers.CsvTable, step: int, values: Mapping[str, float]) -> None:
        path = table._path
        announce(f"before a row of {path.name}")
        append(table, step, values)
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        announce(f"half a row of {path.name}")
        path.write_bytes(whole)
        announce(f"after a row of {path.name}")

    return halved


def read_run(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the contents of a work folder by file, without what tells the time."""
    contents: dict[str, Any] = {}
    for path in sorted(path for path in workdir.rglob("*") if path.is_file()):
        if path.suffix == ".csv":
            with open(path, newline="") as file:
                contents[path.name] = [
                    {k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)
                ]
        elif path.suffix == ".npz":
            contents[path.name] = checkpoints.read_checkpoint(path)
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                found: dict[str, np.ndarray] = {}
                file.visititems(
                    lambda name, item, found=found: found.update(
                        {name: item[()]} if isinstance(item, h5py.Dataset) else {}
                    )
                )
                contents[path.name] = found
        elif path.parent.name != "tensorboard":
            contents[path.name] = None
    return contents


def differing_files(reference: pathlib.Path, workdir: pathlib.Path) -> list[str]:
    """Returns the files of two runs that are not equal to the bit."""
    expected, found = read_run(reference), read_run(workdir)
    names = sorted(expected.keys() ^ found.keys())
    for name in sorted(expected.keys() & found.keys()):
        try:
            np.testing.assert_equal(found[name], expected[name])
        except AssertionError:
            names.append(name)
    return names


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
