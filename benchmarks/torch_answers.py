"""The PyTorch side of the benchmarks: times what another process requests."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import torch


def answer_requests(prepare: Callable[..., Callable[[], None]]) -> None:
    """Answers each line of standard input, a JSON object of arguments, with the seconds of one run.

    The answer also has the peak memory of the process in bytes.

    Args:
        prepare: Function from the arguments to the function that is timed, already warmed up.
    """
    clock = time.perf_counter
    if "--single_thread" in sys.argv[1:]:
        torch.set_num_threads(1)
        clock = time.process_time
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        run = prepare(**json.loads(line))
        start = clock()
        run()
        seconds = clock() - start
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)
