r"""Compares training steps and inference of the keypoint networks to PyTorch.

    python benchmarks/network_speed.py --torch_python=.venv-torch/bin/python
    python benchmarks/network_speed.py --torch_python=.venv-torch/bin/python --network=pose_hrnet_w48 --only=training
    python benchmarks/network_speed.py --torch_python=PYTHON --network=pose_vit_base --input_size 256 192
    python benchmarks/network_speed.py --torch_python=PYTHON --network=pose_vit_base_training --input_size 256 192 \
        --only=training
    python benchmarks/network_speed.py --only=inference --inference_dtype=bfloat16

tfpose runs the training step as one graph, which updates the weights as the training loop does, and inference as in an
exported SavedModel, with normalizations merged into other layers. PyTorch runs the same network in eager mode, in both
of its memory layouts. Both sides run in turn, so that other load on the machine slows both; the medians are compared.
The peak memory is that of each process, so with `--only=training` and `--layouts=contiguous` it is that of a training.
On a shared machine such times mean little, since PyTorch's threads wait for each other. With `--single_thread` each
side computes in one thread, and processor times are compared, which other processes hardly change.

PyTorch is left out if the interpreter of `--torch_python` (default: the current one) cannot import torch.

With `--inference_dtype=bfloat16`, tfpose's network also runs in bfloat16, in turn with the other sides, and its times
of inference are compared with those in float32.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from inference_graph import compile_network, randomize_biases, randomize_normalizations
from results_file import RECORD_HELP, ratios, record
from torch_side import TorchSide, start_torch

from tfpose.losses import mean_heatmap_loss
from tfpose.models.pose_hrnet import build_pose_hrnet
from tfpose.models.pose_resnet import build_pose_resnet
from tfpose.models.pose_vit import build_pose_vit
from tfpose.models.simplification import simplify_network
from tfpose.training.optimization import update_variables

NUM_JOINTS = 17
NUM_WARMUP_RUNS = 2
BFLOAT16 = "tfpose bfloat16"
TORCH_LAYOUTS = ("channels_last", "contiguous")
NETWORKS = {
    "pose_resnet50": build_pose_resnet,
    "pose_vit_base": build_pose_vit,
    # With the published stochastic depth.
    "pose_vit_base_training": functools.partial(build_pose_vit, drop_path_rate=0.3),
    "pose_hrnet_w32": functools.partial(build_pose_hrnet, width=32),
    "pose_hrnet_w48": functools.partial(build_pose_hrnet, width=48),
}
TORCH_SCRIPT = Path(__file__).with_name("network_speed_torch.py")


@dataclasses.dataclass(frozen=True)
class Case:
    """A measurement.

    Attributes:
        kind: Either 'inference' or 'training'.
        batch: Number of images in a batch.
        goal: Largest ratio to the time of PyTorch that meets the goal.
        num_rounds: Number of runs.
    """

    kind: str
    batch: int
    goal: float
    num_rounds: int


CASES = (
    Case("inference", 1, 0.65, 60),
    Case("inference", 8, 0.70, 8),
    Case("training", 8, 0.85, 12),
)


def build_training(network: str, batch: int, input_size: tuple[int, int]) -> Callable[[], object]:
    """A training step on random images."""
    model = NETWORKS[network](NUM_JOINTS, input_size=input_size)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    images, target = random_batch(batch, input_size)
    weights = tf.ones((batch, NUM_JOINTS))

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = mean_heatmap_loss(target, model(images, training=True), weights)
        gradients = tape.gradient(loss, model.trainable_weights)
        update_variables(optimizer, gradients, model.trainable_weights)
        optimizer.iterations.assign_add(1)
        return loss

    return lambda: step().numpy()


def build_inference(
    network: str, batch: int, input_size: tuple[int, int], dtype: str = "float32"
) -> Callable[[], object]:
    """Inference on random images, as in an exported model."""
    model = NETWORKS[network](NUM_JOINTS, input_size=input_size)
    randomize_normalizations(model)
    randomize_biases(model)
    images, _ = random_batch(batch, input_size)
    return compile_network(simplify_network(model, dtype), images)


def random_batch(batch: int, input_size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Images [B, H, W, 3] and heatmaps [B, H/4, W/4, J]."""
    height, width = input_size
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, height, width, 3), np.float32)
    target = rng.random((batch, height // 4, width // 4, NUM_JOINTS), np.float32)
    return tf.constant(images), tf.constant(target)


def time_case(
    case: Case,
    network: str,
    input_size: tuple[int, int],
    layouts: Sequence[str],
    torch_side: TorchSide | None,
    clock: Callable[[], float],
    has_bfloat16: bool,
) -> dict[str, list[float]]:
    """Seconds of every run, by side."""
    build = {"training": build_training, "inference": build_inference}[case.kind]
    sides = {"tfpose": timed(build(network, case.batch, input_size), clock)}
    if has_bfloat16:
        sides[BFLOAT16] = timed(build_inference(network, case.batch, input_size, "bfloat16"), clock)
    if torch_side is not None:
        height, width = input_size
        request = {"case": case.kind, "network": network, "batch": case.batch, "height": height, "width": width}
        for layout in layouts:
            sides[f"torch {layout}"] = functools.partial(torch_side.run, layout=layout, **request)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(case.num_rounds):
        for side, run in sides.items():
            times[side].append(run())
    return times


def choose_clock(single_thread: bool) -> Callable[[], float]:
    """The clock of the process; processor time for a single thread, which TensorFlow is then limited to."""
    if not single_thread:
        return time.perf_counter
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return time.process_time


def add_side_flags(parser: argparse.ArgumentParser, packages: str = "torch") -> None:
    """Adds the flags of every comparison with PyTorch; `packages` are those that its interpreter needs."""
    parser.add_argument("--torch_python", default=sys.executable, help=f"Python interpreter with {packages}")
    parser.add_argument("--single_thread", action="store_true", help="compare processor times of one thread")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)


def start_sides(arguments: argparse.Namespace, script: Path) -> tuple[Callable[[], float], TorchSide | None]:
    """Returns the clock of our side, and the other side if there is PyTorch; prints what both are."""
    clock = choose_clock(arguments.single_thread)
    torch_side = start_torch(arguments.torch_python, script, arguments.single_thread)
    description = torch_side.description if torch_side else {}
    print(f"tensorflow {tf.__version__}, {os.cpu_count()} CPUs, {description}")
    return clock, torch_side


def count_threads(single_thread: bool) -> str:
    """The number of threads that compute, as part of a key of docs/results.json."""
    return "1_thread" if single_thread else f"{os.cpu_count()}_threads"


def timed(run: Callable[[], object], clock: Callable[[], float]) -> Callable[[], float]:
    """The function that runs `run` and returns its seconds; `run` is warmed up first."""
    for _ in range(NUM_WARMUP_RUNS):
        run()

    def timed_run() -> float:
        start = clock()
        run()
        return clock() - start

    return timed_run


def report(case: Case, times: dict[str, list[float]]) -> str:
    """The times of a case as lines of text."""
    lines = [f"{case.kind}, batch {case.batch}, {case.num_rounds} rounds (median, smallest):"]
    for side, values in times.items():
        lines.append(f"  {side:20} {statistics.median(values):8.3f} s {min(values):8.3f} s")
    theirs = better_layout(times)
    if theirs:
        ratio = statistics.median(ratios(times["tfpose"], theirs))
        lines.append(f"  ratio to PyTorch's better layout: {ratio:.2f} (goal {case.goal:.2f})")
    if BFLOAT16 in times:
        speedup = statistics.median(ratios(times["tfpose"], times[BFLOAT16]))
        lines.append(f"  bfloat16 is {speedup:.2f} times as fast as float32")
    return "\n".join(lines)


def describe_memory(torch_side: TorchSide | None) -> str:
    """The peak memory of both processes."""
    ours = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs = f", PyTorch {torch_side.peak_bytes / 2**30:.2f} GiB" if torch_side else ""
    return f"tfpose {ours / 2**30:.2f} GiB{theirs}"


def better_layout(times: dict[str, list[float]]) -> list[float]:
    """Seconds of PyTorch in its faster layout; empty without PyTorch."""
    of_torch = (values for side, values in times.items() if side.startswith("torch"))
    return min(of_torch, key=statistics.median, default=[])


def record_case(prefix: str, times: dict[str, list[float]]) -> None:
    """Records the times of a case for docs/results.json."""
    theirs = better_layout(times)
    measured = {f"{prefix}.tfpose": (times["tfpose"], "s")}
    if theirs:
        measured[f"{prefix}.pytorch"] = (theirs, "s")
        measured[f"{prefix}.ratio"] = (ratios(times["tfpose"], theirs), "times")
    if BFLOAT16 in times:
        measured[f"{prefix}.bfloat16"] = (times[BFLOAT16], "s")
        measured[f"{prefix}.bfloat16_speedup"] = (ratios(times["tfpose"], times[BFLOAT16]), "times")
    record(measured)


def main() -> None:
    """Times all cases and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_side_flags(parser)
    parser.add_argument("--network", choices=tuple(NETWORKS), default="pose_resnet50", help="name of the network")
    parser.add_argument("--layouts", nargs="+", choices=TORCH_LAYOUTS, default=TORCH_LAYOUTS, help="memory layouts")
    parser.add_argument("--input_size", type=int, nargs=2, default=(384, 288), help="height and width in pixels")
    parser.add_argument("--only", choices=("training", "inference"), help="time only this kind")
    parser.add_argument(
        "--inference_dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="number format of tfpose's inference; bfloat16 is timed beside float32",
    )
    arguments = parser.parse_args()
    input_size = tuple(arguments.input_size)
    clock, torch_side = start_sides(arguments, TORCH_SCRIPT)
    print(f"{arguments.network}, {NUM_JOINTS} joints, {input_size[0]}x{input_size[1]}")
    for case in CASES:
        if arguments.only in (None, case.kind):
            print(f"load average {os.getloadavg()[0]:.1f}")
            has_bfloat16 = arguments.inference_dtype == "bfloat16" and case.kind == "inference"
            times = time_case(case, arguments.network, input_size, arguments.layouts, torch_side, clock, has_bfloat16)
            print(report(case, times), flush=True)
            print(f"  peak memory so far: {describe_memory(torch_side)}", flush=True)
            if arguments.record:
                size, threads = "{}x{}".format(*input_size), count_threads(arguments.single_thread)
                network = "" if arguments.network == "pose_resnet50" else f"{arguments.network}."
                record_case(f"network_speed.{network}{size}.{case.kind}_{case.batch}.{threads}", times)
    if torch_side is not None:
        torch_side.close()


if __name__ == "__main__":
    main()
