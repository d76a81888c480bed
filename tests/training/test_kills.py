"""A run that is killed anywhere and continued ends as if it had not been killed: equal to the bit, all files there."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import kills
import pytest

# Here the process itself is killed; for the other places its folder is copied.
SAMPLE = ["half of the first checkpoint", "after the rename of the best checkpoint, before the export of the best"]
OTHERS = [place for place in kills.PLACES if place not in SAMPLE]


@pytest.mark.parametrize(
    ("places", "options"),
    [(SAMPLE, []), pytest.param(OTHERS, ["--copies"], marks=pytest.mark.slow)],
    ids=["sample", "others"],
)
def test_a_killed_run_ends_as_if_it_had_not_been_killed(
    tmp_path: pathlib.Path, places: list[str], options: list[str]
) -> None:
    program = pathlib.Path(kills.__file__)
    environment = os.environ | {"PYTHONPATH": str(program.parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, program, tmp_path, *options, *places]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines == [f"{place}: equal" for place in places], done.stderr[-2000:]
    assert done.returncode == 0
