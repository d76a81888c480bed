"""The evaluation program, and folders of files for it."""

from __future__ import annotations

import functools
import pathlib
import subprocess
from collections.abc import Callable

import pytest
from posetrack_cases import random_sequences, unpack_cases
from program_runs import run

from tfpose.posetrack import write_posetrack17, write_posetrack18


@pytest.fixture(scope="session")
def poseval_dir(golden_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The unpacked synthetic cases."""
    return unpack_cases(golden_dir, tmp_path_factory.mktemp("poseval"))


@pytest.fixture(scope="session")
def run_evaluation() -> Callable[..., subprocess.CompletedProcess]:
    """Runs eval_main.py with these flags."""
    return functools.partial(run, "eval_main.py")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Ground truth and predictions of two videos in both formats: gt17, pred17, gt18, pred18."""
    root = tmp_path_factory.mktemp("videos")
    for seed in (1, 2):
        name = f"{seed:06d}_mpii_test"
        for side, sequence in zip(("gt", "pred"), random_sequences(seed, name=name), strict=True):
            write_posetrack17(root / f"{side}17" / f"{name}.json", sequence)
            write_posetrack18(root / f"{side}18" / f"{name}.json", sequence)
    return {path.name: path for path in root.iterdir()}
