"""Runs that were stopped half way, for tests that continue them, without a training of their own."""

from __future__ import annotations

import pathlib
import shutil

from tfpose import checkpoints


def copy_as_stopped(whole: pathlib.Path, target: pathlib.Path, step: int) -> None:
    """Copies from the folder of a whole run, with a row for each step, what it had left if stopped after a step."""
    (path,) = [path for path in checkpoints.list_checkpoints(whole) if checkpoints.parse_step(path) == step]
    copy = target / path.relative_to(whole)
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    header, *rows = (whole / "train.csv").read_text().splitlines(keepends=True)
    assert len(rows) > step
    (target / "train.csv").write_text("".join([header, *rows[:step]]))
