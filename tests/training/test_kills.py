"""A run that is killed anywhere and continued ends as if it had not been killed: equal to the bit, all files there."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import kills
import pytest

SAMPLE = ["half of the first checkpoint", "after the rename of the best checkpoint, before the export of the best"]


OTHERS = [place for place in kills.PLACES if place not in SAMPLE]


@pytest.mark.parametrize("places", [SAMPLE, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["sample", "others"])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: pathlib.Path, places: list[str]) -> None:
    program = pathlib.Path(kills.__file__)
    environment = os.environ | {"PYTHONPATH": str(program.parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, program, tmp_path, *places], env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines == [f"{place}: equal" for place in places], done.stderr[-2000:]
    assert done.returncode == 0
