"""Paths and sessions shared by all tests."""

from __future__ import annotations

import gc
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import signal
import sys

import pytest
from hypothesis import settings

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from freed_memory import free_after_growth, free_memory

# Tests may run under nohup; they and the programs that they start must not be deaf to a lost connection.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PROJECT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = PROJECT / "tests" / "golden"

# A busy machine is no fault of the code under test.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")


@pytest.fixture(scope="session")
def project_dir() -> pathlib.Path:
    return PROJECT


@pytest.fixture(scope="session")
def golden_dir() -> pathlib.Path:
    """Numbers computed with reference implementations, see tests/golden/README.md."""
    return GOLDEN


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Material that is not part of the project (real photos, large goldens)."""
    path = PROJECT.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs ../shared (real photos and large golden files), which is absent")
    return path


@pytest.fixture(scope="session")
def common_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for what is made once: for all parts of `make test`, or for all workers of pytest-xdist."""
    if folder := os.environ.get("TFPOSE_TEST_FOLDER"):
        return pathlib.Path(folder)
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def public_runs(shared_dir: pathlib.Path, common_dir: pathlib.Path):
    """Work folders of public weights, and records of real photos; see `public_runs.PublicRuns`."""
    from public_runs import PublicRuns

    return PublicRuns(common_dir / "public_runs", shared_dir / "data")


@pytest.fixture(scope="session")
def served_models(common_dir: pathlib.Path):
    """SavedModels of small networks; see `served_models.Exported`."""
    from served_models import export_all

    return export_all(common_dir / "served_models")


@pytest.fixture(params=["pyav", "opencv"])
def video_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with PyAV, and as where it is not installed."""
    if request.param == "pyav":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    return request.param


def pytest_configure(config: pytest.Config) -> None:
    """Gives TensorFlow two logical CPUs, which must happen before its first operation; lets Ctrl-C work."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # This process only hands out tests to others.
    import tensorflow as tf

    # A shell starts background jobs with Ctrl-C ignored, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # What is imported stays: the collections below, and Python's own, need not look at it again and again.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Frees the networks of a test before the next test makes its own."""
    yield
    free_after_growth()


@pytest.fixture(scope="module", autouse=True)
def collected_networks() -> Iterator[None]:
    """Frees the networks of a module before the next module makes its own."""
    yield
    free_memory()
