"""Locks of files, on systems with and without those of POSIX."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
import types

import pytest

from tfpose import file_locks


class WindowsLocks(types.ModuleType):
    """Stands for Python's module `msvcrt`: who has which byte of which file; a byte is locked until its file closes."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, descriptor: int, mode: int, num_bytes: int) -> None:
        assert (mode, num_bytes) == (self.LK_NBLCK, 1)
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        if place in self.held and self.held[place] != descriptor:
            raise PermissionError(13, "Permission denied")
        self.held[place] = descriptor


@pytest.fixture(params=["this system", "Windows"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    if request.param == "this system":
        return file_locks
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", WindowsLocks())
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("windows_locks", file_locks.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_process_at_a_time_has_a_lock_and_others_read_its_name(
    locks: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "a.lock"
    with locks.hold_lock(path, "free"):
        assert path.stat().st_size < locks._LOCKED_BYTE
        with (
            pytest.raises(BlockingIOError, match=f"must be free, got host .*, process {os.getpid()}$"),
            locks.hold_lock(path, "free"),
        ):
            pass


def test_a_lock_that_was_released_can_be_taken(locks: types.ModuleType, tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with locks.hold_lock(tmp_path / "a.lock", "free"):
            pass
        getattr(sys.modules.get("msvcrt"), "held", {}).clear()  # As Windows does for a file that is closed.
