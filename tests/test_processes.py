"""Work in copies of this process. Each test is a program of its own: tests must not fork beside TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
import numpy as np
from tfpose.processes import choose_num_processes, map_forked, may_fork

def square(number):
    time.sleep(0.02 * (number == 0))
    return os.getpid(), number * number

def large(number):
    return np.full(10**6, number)

def fail_at_three(number):
    if number >= 3:
        raise ValueError(f"no number must be 3 or more, got {number}")
    return number

def die_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
"""


def run(lines: str, timeout: float = 60) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + lines], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("num_processes", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(num_processes):
    lines = f"""
found = list(map_forked(square, range(20), {num_processes}))
assert [result for _, result in found] == [n * n for n in range(20)]
assert ({{process for process, _ in found}} == {{os.getpid()}}) == ({num_processes} == 1)
"""
    run(lines)


def test_large_results_come_whole_and_nobody_is_left_behind():
    lines = """
total = sum(int(values.sum()) for values in map_forked(large, range(8), 2))
assert total == 28 * 10**6
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("nobody")
"""
    assert run(lines) == "nobody"


def test_the_first_error_in_the_order_of_the_items_comes_through_after_the_results_before_it():
    lines = """
found = []
try:
    for result in map_forked(fail_at_three, range(50), 2):
        found.append(result)
except ValueError as error:
    print(found, error)
"""
    assert run(lines) == "[0, 1, 2] no number must be 3 or more, got 3"


def test_a_process_that_is_stopped_from_outside_is_an_error_and_no_hang():
    lines = """
try:
    list(map_forked(die_at_three, range(50), 2))
except OSError as error:
    print(error)
"""
    assert run(lines) == "a working process was stopped from outside, perhaps for lack of memory"


def test_the_end_of_a_copy_is_no_signal_for_the_event_loop_of_this_process():
    """Services that stop at SIGTERM stopped after each scoring."""
    lines = """
import asyncio
heard = []

async def work():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.append, "SIGTERM")
    results = map_forked(lambda number: time.sleep(60 * number), range(3), 2)
    next(results)
    results.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

asyncio.run(work())
print(heard)
"""
    assert run(lines) == "[]"


def test_interruption_ends_all_processes_also_in_the_middle_of_large_results():
    lines = """
signal.signal(signal.SIGINT, signal.default_int_handler)
count = 0
for _ in range(30):
    try:
        for index, _ in enumerate(map_forked(large, range(100), 2)):
            if index == 1:
                os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        count += 1
    try:
        os.waitpid(-1, os.WNOHANG)
        raise SystemExit("somebody is left")
    except ChildProcessError:
        pass
print(count)
"""
    assert run(lines) == "30"


def test_a_function_is_called_while_copies_work():
    lines = """
calls = []
found = list(map_forked(lambda number: time.sleep(0.5) or number, [1, 2], 2, lambda: calls.append(os.getpid())))
print(found, set(calls) == {os.getpid()}, len(calls) > 2)
"""
    assert run(lines) == "[1, 2] True True"


def test_no_more_processes_than_useful_and_none_beside_threads():
    lines = """
import threading
print(choose_num_processes(8, 3), choose_num_processes(2, 0), choose_num_processes(1, 9), may_fork())
threading.Thread(target=time.sleep, args=(0.5,)).start()
print(choose_num_processes(8, 3), may_fork())
try:
    choose_num_processes(0, 3)
except ValueError as error:
    print(error)
"""
    assert run(lines).splitlines() == ["3 1 1 True", "1 False", "num_processes must be at least 1, got 0"]
