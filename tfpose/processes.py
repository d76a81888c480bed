"""Runs work in several processes, which are copies of this one, and ends them on Ctrl-C."""

from __future__ import annotations

import dataclasses
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")
_NUMBER = struct.Struct("=I")
# A pipe holds at least this many numbers without a reader.
MOST_ITEMS = (1 << 16) // _NUMBER.size
_WAIT_SECONDS = 0.1
# Signals that wait while copies are made, since a copy must not do what the first process does at a signal.
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_num_processes(wanted: int | None, most_useful: int) -> int:
    """Returns how many processes to start: at most as many as are useful, and 1 where this process cannot be copied.

    Args:
        wanted: Number of processes that the user asked for; None asks for one per core.
        most_useful: Number of processes beyond which more would not help.

    Raises:
        ValueError: `wanted` is not positive.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"num_processes must be at least 1, got {wanted}")
    return max(1, min(wanted or num_cores(), most_useful)) if may_fork() else 1


def may_fork() -> bool:
    """Returns whether a copy of this process works. With other threads, their locks would stay locked in the copy."""
    is_alone = "tensorflow" not in sys.modules and threading.active_count() == 1
    return is_alone and hasattr(os, "fork")


def map_forked(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_processes: int,
    while_waiting: Callable[[], Any] | None = None,
) -> Iterator[Result]:
    """Applies a function to each item in copies of this process, and yields the results in the order of the items.

    It does not use `concurrent.futures`, which Ctrl-C can leave waiting forever for the rest of a result. The copies
    ignore Ctrl-C, and end when this process ends or the results are no longer consumed.

    Args:
        function: Function of an item; its results and errors must be picklable.
        items: At most `MOST_ITEMS` items, 2^14.
        num_processes: Number of copies; 1 makes no copy but works in this process. More require `may_fork()`.
        while_waiting: Function to call ten times a second while copies work, to show progress.

    Raises:
        OSError: A copy was stopped from outside.
        Exception: The first error of the function, in the order of the items.
    """
    if num_processes == 1:
        yield from map(function, items)
        return
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    workers: list[_Worker] = []
    try:
        tasks = _queue_positions(len(items))
        for _ in range(num_processes):
            workers.append(_start_worker(function, items, tasks, workers))
        os.close(tasks)
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield from _results_in_order(workers, len(items), while_waiting)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        for worker in workers:
            worker.stop()


def _queue_positions(count: int) -> int:
    """Makes a pipe that holds the numbers below `count`; each number goes to one of its readers."""
    if count > MOST_ITEMS:
        raise ValueError(f"items must be at most {MOST_ITEMS}, got {count}")
    reader, writer = os.pipe()
    os.write(writer, b"".join(_NUMBER.pack(position) for position in range(count)))
    os.close(writer)
    return reader


@dataclasses.dataclass(frozen=True)
class _Worker:
    """A copy of this process.

    Attributes:
        process_id: Identity of the process.
        results: End of the pipe from which its results are read.
    """

    process_id: int
    results: Connection

    def stop(self) -> None:
        """Ends the process, which may already have ended, and closes the pipe."""
        os.kill(self.process_id, signal.SIGTERM)
        self.results.close()
        os.waitpid(self.process_id, 0)


def _start_worker(
    function: Callable[[Item], Any], items: Sequence[Item], tasks: int, others: Sequence[_Worker]
) -> _Worker:
    from multiprocessing import Pipe

    reader, writer = Pipe(duplex=False)
    process_id = os.fork()
    if process_id:
        writer.close()
        return _Worker(process_id, reader)
    try:
        # Only the first process may hold this end of a pipe, so that writing fails once that process has ended.
        for pipe in (reader, *(other.results for other in others)):
            pipe.close()
        # The event loop of the first process would take the signals of the copy for its own.
        signal.set_wakeup_fd(-1)
        # An exception rather than a sudden end, so that functions can remove their temporary files.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _work(function, items, tasks, writer)
    finally:
        # The copy must not do what the first process does at its end, such as writing the contents of its buffers.
        os._exit(0)


def _work(function: Callable[[Item], Any], items: Sequence[Item], tasks: int, results: Connection) -> None:
    while number := os.read(tasks, _NUMBER.size):
        (position,) = _NUMBER.unpack(number)
        outcome: tuple[int, Any, Exception | None]
        try:
            outcome = position, function(items[position]), None
        except Exception as error:
            outcome = position, None, error
        results.send(outcome)


def _results_in_order(workers: Sequence[_Worker], count: int, while_waiting: Callable[[], Any] | None) -> Iterator[Any]:
    from multiprocessing.connection import wait

    waiting: dict[int, tuple[Any, Exception | None]] = {}
    pipes = [worker.results for worker in workers]
    for position in range(count):
        while position not in waiting:
            if not pipes:
                raise OSError("a working process was stopped from outside, perhaps for lack of memory")
            ready = wait(pipes, None if while_waiting is None else _WAIT_SECONDS)
            if while_waiting is not None:
                while_waiting()
            for pipe in [pipe for pipe in pipes if pipe in ready]:
                try:
                    found, result, error = pipe.recv()
                    waiting[found] = result, error
                except (EOFError, OSError):
                    pipes.remove(pipe)
        result, error = waiting.pop(position)
        if error is not None:
            raise error
        yield result


def end_quietly_on_interrupt() -> None:
    """Makes a process of a pool end silently on Ctrl-C, about which only the first process reports."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
