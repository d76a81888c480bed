"""What a wheel holds, and what works where it is installed. No network is used."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest
from program_runs import ENVIRONMENT, PROJECT

pytestmark = pytest.mark.slow

SOURCES = ("tfpose", "data_prep", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
MAINS = ("train_main.py", "eval_main.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools")
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*SOURCES, *MAINS):
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", output, source], capture_output=True, text=True, timeout=300, check=False
    )
    if "invalid command 'bdist_wheel'" in done.stderr:
        pytest.skip("needs setuptools 70.1 or the package wheel")
    assert done.returncode == 0, done.stderr[-3000:]
    return next(output.glob("tfpose-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder as site-packages would be."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_top_level_of_a_wheel_is_the_library_and_its_programs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"tfpose", "data_prep", *MAINS}


def test_configs_types_pages_and_the_command_are_in_a_wheel(wheel, installed):
    for path in (PROJECT / "configs").glob("*.py"):
        assert (installed / "tfpose" / "configs" / path.name).is_file()
    for name in ("tfpose/py.typed", "tfpose/report/page.html", "data_prep/synthetic/README.md"):
        assert (installed / name).is_file(), name
    for package in ("tfpose", "data_prep"):
        for path in (PROJECT / package).rglob("*.py"):
            assert (installed / path.relative_to(PROJECT)).is_file(), path
    (entries,) = installed.glob("*.dist-info/entry_points.txt")
    assert "tfpose = tfpose.console:main" in entries.read_text()


def test_an_installed_command_finds_configs_by_name_from_another_folder(installed, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tfpose",
        "train",
        "--config=two_stage_resnet18_synthetic",
        f"--workdir={tmp_path}",
    ]
    done = subprocess.run(
        [*command, "--config.data.directory=/nonexistent", "--config.batch_size=x"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "error: --config.batch_size must be an integer, got 'x'\n"
    code = "import tfpose.flags.config_flag as flag; print(flag.configs_directory())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(installed / "tfpose" / "configs")
