"""PoseTrack cases as fixtures."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from posetrack_cases import random_sequences, unpack_cases

from tfpose.posetrack import PoseSequence


@pytest.fixture(scope="session")
def poseval_dir(golden_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The unpacked synthetic cases."""
    return unpack_cases(golden_dir, tmp_path_factory.mktemp("poseval"))


@pytest.fixture(scope="session")
def load_expected() -> Callable[[pathlib.Path], dict]:
    return lambda case: json.loads((case / "expected.json").read_text())


@pytest.fixture(scope="session")
def make_sequences() -> Callable[..., tuple[PoseSequence, PoseSequence]]:
    return random_sequences
