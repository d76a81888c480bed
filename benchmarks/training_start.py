"""Times the start of a training, from the start of the program to the end of the first step.

    python benchmarks/training_start.py --data=data/coco_keypoints

Each round starts `tfpose train` in a process of its own, with random first weights. The parts of a start:

- imports: Python, TensorFlow and the modules of tfpose;
- plan: the config, the tables of the dataset, and what else is made before the network;
- network: the layers of the network with their weights;
- optimizer: its variables;
- input: the first batch;
- graph: the trace of the training step and TensorFlow's preparation of the graph, measured as the time that the first
  step takes longer than the second one;
- step: the second step, which depends on the size of the batch.

Processor seconds of all threads stand beside the seconds of the clock: other work on the machine changes them less.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from results_file import RECORD_HELP, record

PARTS = ("imports", "plan", "network", "optimizer", "input", "graph", "step")
OVERRIDES = {
    "initialize.encoder": "",
    "initialize.from_scratch": True,
    "optimization.precision": "float32",
    "run.total_steps": 2,
    "run.pictures_every": 1,
}


class StartIsOver(Exception):
    """Ends the program after the second step, before it writes the weights."""


class Stopwatch:
    """Seconds of each part, by the clock and of the processor.

    Args:
        started: `time.time()` of the start of the process.
    """

    def __init__(self, started: float) -> None:
        self.parts: dict[str, tuple[float, float]] = {}
        self._last = (started, 0.0)

    def end(self, part: str) -> None:
        """Ends a part, which began at the end of the part before. Only the first end of a part counts."""
        if part not in self.parts:
            now = (time.time(), time.process_time())
            self.parts[part] = (now[0] - self._last[0], now[1] - self._last[1])
            self._last = now

    def after(self, part: str, function: Callable) -> Callable:
        """Returns the function, whose call ends a part when it returns."""

        def call(*arguments: Any, **settings: Any) -> Any:
            result = function(*arguments, **settings)
            self.end(part)
            return result

        return call

    def before(self, part: str, function: Callable) -> Callable:
        """Returns the function, whose call ends a part when it begins."""

        def call(*arguments: Any, **settings: Any) -> Any:
            self.end(part)
            return function(*arguments, **settings)

        return call


def run_start(started: float, arguments: list[str]) -> None:
    """Runs `tfpose train` with these arguments up to its second step, and prints the parts as JSON."""
    from tfpose.flags.startup_messages import start_tensorflow

    start_tensorflow(use_devices=False)
    import train_main
    from tfpose import systems  # noqa: F401
    from tfpose.training import loop

    watch = Stopwatch(started)
    watch.end("imports")
    loop.train = functools.partial(train_and_watch, watch, loop.train)
    try:
        code = train_main.main(arguments)
    except StartIsOver:
        print(json.dumps(watch.parts))
    else:
        sys.exit(code or "the training must not end by itself")


def train_and_watch(watch: Stopwatch, train: Callable, plan: Any, **settings: Any) -> None:
    """Trains by a plan whose functions end the parts."""
    watch.end("plan")

    def end_step(*_: Any) -> dict:
        if "first step" in watch.parts:
            watch.end("step")
            raise StartIsOver
        watch.end("first step")
        return {}

    hooks = dataclasses.replace(plan.hooks, evaluate=None, draw_pictures=end_step)
    plan = dataclasses.replace(
        plan,
        hooks=hooks,
        build_model=watch.after("network", plan.build_model),
        make_dataset=watch.before("optimizer", plan.make_dataset),
        compute_loss=watch.before("input", plan.compute_loss),
    )
    train(plan, **settings)


def time_start(config: str, data: str, batch_size: int) -> dict[str, tuple[float, float]]:
    """Returns the seconds of each part of one start, by the clock and of the processor."""
    values = {**OVERRIDES, "data.directory": data, "batch_size": batch_size, "optimization.jit_compile": False}
    with tempfile.TemporaryDirectory() as workdir:
        flags = [f"--config={config}", f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in values.items())]
        command = [sys.executable, __file__, f"--started={time.time()}", *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    parts = json.loads(done.stdout.splitlines()[-1])
    first = parts.pop("first step")
    parts["graph"] = [first[i] - parts["step"][i] for i in range(2)]
    return {part: tuple(parts[part]) for part in PARTS}


def main() -> None:
    """Times the starts and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of a dataset that tfpose build wrote")
    parser.add_argument("--config", default="two_stage_resnet50_coco", help="config of a two-stage system")
    parser.add_argument("--batch_size", type=int, default=2, help="examples in a step")
    parser.add_argument("--rounds", type=int, default=5, help="number of starts")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    options = parser.parse_args()
    starts = [time_start(options.config, options.data, options.batch_size) for _ in range(options.rounds)]
    print(f"{options.config}, batch {options.batch_size}, load average {os.getloadavg()[0]:.1f}")
    print("seconds, smallest and median by the clock, and smallest of the processor")
    measured = {part: [start[part] for start in starts] for part in PARTS}
    measured["all"] = [tuple(map(sum, zip(*start.values(), strict=True))) for start in starts]
    for part, seconds in measured.items():
        clock, processor = zip(*seconds, strict=True)
        print(f"  {part:10} {min(clock):6.2f} {statistics.median(clock):6.2f} {min(processor):6.2f}")
    if options.record:
        key = f"training_start.{options.config}.batch_{options.batch_size}.all"
        record({key: ([clock for clock, _ in measured["all"]], "s")})


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("--started="):
        run_start(float(sys.argv[1].partition("=")[2]), sys.argv[2:])
    else:
        main()
