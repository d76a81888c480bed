"""Processes that the tests of training start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from process_copies import Launcher


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts programs without the seconds that TensorFlow takes to import."""
    started = Launcher(tmp_path_factory.mktemp("processes"))
    yield started
    started.close()
