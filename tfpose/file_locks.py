"""Locks by file: which process is at work in a folder. The system releases a lock when its process ends, however."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

if sys.platform == "win32":
    import msvcrt

    _HELD: type[OSError] = PermissionError
else:
    import fcntl

    _HELD = BlockingIOError

_WAIT_SECONDS = 0.1
# A file system without locks, such as some network file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# Windows locks bytes, and lets nobody read them: this one lies behind the content of every lock file.
_LOCKED_BYTE = 2**20

logger = logging.getLogger(__name__)


def _say_waiting(holder: str) -> None:
    print(f"note: {holder}; waiting for it", file=sys.stderr)


@contextlib.contextmanager
def hold_lock(path: Path, rule: str) -> Iterator[None]:
    """Holds the lock of a file in a `with` block. The file stays, because its removal would race with other processes.

    Where the file system has no locks, the block runs after a warning.

    Args:
        path: File of the lock, made if absent; it holds the name of the process that has the lock.
        rule: What the folder of the file must be, for the message.

    Raises:
        BlockingIOError: Another process holds the lock; the message names its host and number.
        OSError: The file cannot be written.
    """
    with open(path, "a+", encoding="utf-8") as file:
        try:
            is_free = try_lock(file)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logger.warning("%s: the file system has no locks; nothing else may work in this folder", path.parent)
            is_free = True
        if not is_free:
            raise BlockingIOError(f"{path.parent}: must be {rule}, got {_read_holder(file)}")
        file.truncate(0)
        file.write(f"host {socket.gethostname()}, process {os.getpid()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def wait_for_lock(path: Path, say: Callable[[str], None] = _say_waiting) -> Iterator[None]:
    """Holds the lock of a file in a `with` block, and waits before that until no other process has the lock.

    Args:
        path: File of the lock, see `hold_lock`.
        say: Function that is called once with a description of the wait, if there is one. By default it is a note on
            stderr.

    Raises:
        OSError: The file cannot be written.
    """
    is_first = True
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold_lock(path, "free"))
                break
            except BlockingIOError as error:
                if is_first:
                    say(str(error))
                is_first = False
                time.sleep(_WAIT_SECONDS)
        yield


def try_lock(file: TextIO) -> bool:
    """Takes the lock of an open file until the file is closed; returns whether no other process has it.

    Raises:
        OSError: The file system has no locks.
    """
    try:
        if sys.platform == "win32":
            os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except _HELD:
        return False
    return True


def _read_holder(file: TextIO) -> str:
    file.seek(0)
    return file.readline(200).strip() or "another process"
