"""Work in several processes: how many, whether copies of this one work, and what Ctrl-C does to them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_num_processes(wanted: int | None, most_useful: int) -> int:
    """As many as wanted (None: as there are cores), as far as they are of use and copies of this process work.

    Raises:
        ValueError: wanted is not positive.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"num_processes must be at least 1, got {wanted}")
    return max(1, min(wanted or num_cores(), most_useful)) if may_fork() else 1


def may_fork() -> bool:
    """Whether a copy of this process works: other threads' locks would stay locked in it."""
    is_alone = "tensorflow" not in sys.modules and threading.active_count() == 1
    return is_alone and hasattr(os, "fork")


def map_forked(function: Callable[[Item], Result], items: Sequence[Item], num_processes: int) -> Iterator[Result]:
    """Applies a function to each item in copies of this process, in order; in this one where one is enough.

    Args:
        function: of a module, or a partial of one.
        items: picklable.
        num_processes: at most as many as there are items; 1 makes no copy. `may_fork` must hold for more.

    Raises:
        OSError: a process was stopped from outside.
    """
    if num_processes == 1:
        yield from map(function, items)
        return
    # Importing these takes as long as scoring several sequences.
    import concurrent.futures.process
    import multiprocessing

    # Ctrl-C goes to all processes. A worker that dies while it sends a result leaves the reader waiting for the rest:
    # workers are born deaf to it and finish what they have begun, while this process starts no more.
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    executor = concurrent.futures.ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("fork"))
    try:
        results = executor.map(function, items)
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield from results
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError("a working process was stopped from outside, perhaps for lack of memory") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        executor.shutdown(cancel_futures=True)


def end_quietly_on_interrupt() -> None:
    """For processes of a pool: Ctrl-C goes to them too, and only the first process should say something about it."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
