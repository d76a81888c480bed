"""Measures time, memory and operations of the single heatmap network, for a frame and for each person in it.

python benchmarks/single_network_cost.py
python benchmarks/single_network_cost.py --config=configs/single_network_synthetic.py
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import multiprocessing
import pathlib
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf
from absl import app, flags
from ml_collections import config_flags
from results_file import RECORD_HELP, ratios, record
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfpose.models.pose_unet import PoseUnet, PoseUnetSettings, build_pose_unet, mask_heads
from tfpose.training import single_network
from tfpose.training.optimization import OptimizationSettings, build_optimizer
from tfpose.training.step import TrainingState, TrainStep

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/single_network_posetrack17.py", "Config whose network is measured."
)
_PEOPLE = flags.DEFINE_list("people", ["1", "5", "20"], "Numbers of people in a frame.")
_CHUNK = flags.DEFINE_integer("people_per_chunk", 8, "Number of people in a batch of the second network.")
_REPEATS = flags.DEFINE_integer(
    "repeats", 3, "Number of runs of each measurement; the median is printed.", lower_bound=1
)
_RECORD = flags.DEFINE_bool("record", False, RECORD_HELP)

Result = TypeVar("Result")
# Seconds of each run of the frame network and of all people of a frame.
FrameTimes = tuple[list[float], list[float]]

NUM_JOINTS = 15
MATRIX_SIZE = 4096


def main(argv: Sequence[str]) -> None:
    """Measures each line in a process of its own, since the peak memory is that of a process."""
    del argv
    config = _CONFIG.value
    settings = PoseUnetSettings(**config.network)
    peak = run_alone(measure_matrix_product)
    print(f"{settings.input_size[1]} x {settings.input_size[0]}, {settings.width} channels; matrices of {MATRIX_SIZE}")
    print(f"peak of this machine, measured by the product of two matrices: {peak / 1e9:.0f} GFLOP/s")
    times, shares, memory = measure_inference(settings, peak)
    if _RECORD.value:
        name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
        record_inference(f"single_network_cost.{name}", times, shares, memory, peak)
    people = min(2, config.examples.persons_per_image)
    for batch_size, persons in sorted({(1, 1), (config.batch_size, people)}):
        seconds, loss, memory = run_alone(measure_training, settings, batch_size, persons, _REPEATS.value)
        print(
            f"step of {batch_size} images x {persons} people: {seconds:7.2f} s, loss {loss:.1f}, peak {memory:.0f} MiB"
        )


def measure_inference(
    settings: PoseUnetSettings, peak: float
) -> tuple[dict[tuple[str, int], FrameTimes], list[float], float]:
    """Prints the costs of whole frames and of their two parts.

    Returns:
        Times by form of the first convolution and number of people; the share of the machine's peak in percent of the
        shared form with each number of people; and its largest peak of memory in MiB.
    """
    flops = run_alone(count_operations, settings)
    plain_flops = run_alone(count_operations, plain_form(settings))
    print(f"operations: frame {flops[0] / 1e9:.1f} GFLOP, each person {flops[1] / 1e9:.1f} GFLOP")
    print(f"            plain form {plain_flops[0] / 1e9:.1f} and {plain_flops[1] / 1e9:.1f} GFLOP")
    seconds: dict[tuple[str, int], FrameTimes] = {}
    shares, memories = [], []
    for count in map(int, _PEOPLE.value):
        for name, form in (("shared", settings), ("plain", plain_form(settings))):
            times, memory = run_alone(measure_frame, form, count, _CHUNK.value, _REPEATS.value)
            seconds[name, count] = times
            frame, people = map(statistics.median, times)
            operations = (flops if name == "shared" else plain_flops) @ np.array([1, count])
            share = operations / (frame + people) / peak
            if name == "shared":
                shares.append(100 * share)
                memories.append(memory)
            print(
                f"{count:3} people, {name:6} first convolution: {frame + people:7.2f} s = frame {frame:.2f} + people "
                f"{people:.2f} ({people / count:.3f} each); {share:4.0%} of the peak; memory {memory:.0f} MiB"
            )
    most = max(count for _, count in seconds)
    totals = {name: sum(map(statistics.median, seconds[name, most])) for name in ("shared", "plain")}
    gain = 1 - totals["shared"] / totals["plain"]
    print(f"the shared first convolution saves {gain:.1%} of the time with {most} people")
    return seconds, shares, max(memories)


def record_inference(
    prefix: str, times: dict[tuple[str, int], FrameTimes], shares: list[float], memory: float, peak: float
) -> None:
    """Records the costs of a frame and of a person for docs/results.json."""
    runs = {
        form: [
            (frame, people / count)
            for (name, count), rounds in times.items()
            if name == form
            for frame, people in zip(*rounds, strict=True)
        ]
        for form in ("shared", "plain")
    }
    shared, plain = ([person for _, person in runs[form]] for form in ("shared", "plain"))
    measured = {
        "frame": ([frame for frame, _ in runs["shared"]], "s"),
        "person_shared": (shared, "s"),
        "person_plain": (plain, "s"),
        "person_ratio": (ratios(shared, plain), "times"),
        "memory": ([memory / 1024], "GiB"),
        "peak_rate": ([peak / 1e9], "GFLOP/s"),
        "share_of_peak": (shares, "%"),
    }
    record({f"{prefix}.{name}": of for name, of in measured.items()})


def plain_form(settings: PoseUnetSettings) -> PoseUnetSettings:
    """The same network without the shared first convolution."""
    return PoseUnetSettings(**{**vars(settings), "share_first_convolution": False})


def measure_frame(
    settings: PoseUnetSettings, num_people: int, people_per_chunk: int, repeats: int
) -> tuple[FrameTimes, float]:
    """Seconds of each run of the frame network and of all people, and the peak of memory in MiB."""
    network = build_pose_unet(NUM_JOINTS, settings)
    images = tf.random.stateless_normal((1, *settings.input_size, 3), (0, 0))
    heads = tf.random.stateless_uniform((num_people, 2), (1, 0), maxval=min(settings.heatmap_size))
    find_joints = tf.function(network.find_joints)
    filter_joints = tf.function(filter_chunk, reduce_retracing=True)

    def run_people() -> None:
        for start in range(0, num_people, people_per_chunk):
            filter_joints(network, maps, heads[start : start + people_per_chunk])

    maps = find_joints(images)
    run_people()
    times = tuple([timed(run) for _ in range(repeats)] for run in (lambda: find_joints(images), run_people))
    return times, peak_mebibytes()


def filter_chunk(network: PoseUnet, maps: dict[str, tf.Tensor], heads: tf.Tensor) -> tf.Tensor:
    """The joints of people of the only frame in `maps`."""
    repeated = {name: tf.repeat(values, tf.shape(heads)[0], axis=0) for name, values in maps.items()}
    masked = mask_heads(repeated["head_maps"], heads, network.head_mask_sigma_cells)
    return network.filter_joints(repeated["person_features"], masked, repeated["joint_maps"])


def count_operations(settings: PoseUnetSettings) -> np.ndarray:
    """Floating-point operations of the frame network and of one person; additions and multiplications count alike."""
    network = build_pose_unet(NUM_JOINTS, settings)
    counts = []
    for part in (network.frame, network.person):
        specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in part.inputs]
        call = part if len(specs) == 1 else lambda *tensors, part=part: part(list(tensors))
        frozen = convert_variables_to_constants_v2(tf.function(call).get_concrete_function(*specs))
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        profile = tf.compat.v1.profiler.profile(graph=frozen.graph, cmd="scope", options=options)
        counts.append(profile.total_float_ops)
    return np.array(counts, np.float64)


def measure_training(
    settings: PoseUnetSettings, batch_size: int, persons_per_image: int, repeats: int
) -> tuple[float, float, float]:
    """Seconds of a step, the loss before it, and the peak of memory in MiB."""
    target = single_network.TargetSettings()
    targets = single_network.build_target_function(settings.heatmap_size, target)
    model = build_pose_unet(NUM_JOINTS, settings)
    optimization = OptimizationSettings(learning_rate=5e-5)
    state = TrainingState(model, build_optimizer(optimization, model.trainable_variables), None, None)
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_logical_devices("GPU") else "/cpu:0")
    step = TrainStep(strategy, state, single_network.build_loss(targets, target), optimization)
    batch = random_batch(settings, batch_size, persons_per_image)
    loss = float(step(batch, False)["loss"])
    return median_seconds(lambda: float(step(batch, False)["loss"]), repeats), loss, peak_mebibytes()


def random_batch(settings: PoseUnetSettings, batch_size: int, persons_per_image: int) -> dict[str, tf.Tensor]:
    """Noise images with people at random places."""
    rng = np.random.default_rng(0)
    height, width = settings.heatmap_size
    heads = rng.uniform(0, [width, height], (batch_size, persons_per_image, 2))
    shape = (batch_size, persons_per_image, NUM_JOINTS)
    values = {
        "intensity_shifts": np.zeros(batch_size),
        "intensity_scales": np.ones(batch_size),
        "heads": heads,
        "head_weights": np.ones(shape[:2]),
        "region_masks": np.ones((batch_size, height, width)),
        "person_heads": heads,
        "person_weights": np.ones(shape[:2]),
        "keypoints": rng.uniform(0, [width, height], (*shape, 2)),
        "joint_weights": np.ones(shape),
    }
    images = rng.integers(0, 256, (batch_size, *settings.input_size, 3), dtype=np.uint8)
    return {"images": tf.constant(images)} | {k: tf.constant(v, tf.float32) for k, v in values.items()}


def measure_matrix_product() -> float:
    """Floating-point operations per second in the best of several runs."""
    matrix = tf.random.stateless_normal((MATRIX_SIZE, MATRIX_SIZE), (0, 0))
    multiply = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    multiply()
    return 2 * MATRIX_SIZE**3 / min(timed(lambda: float(multiply())) for _ in range(5))


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of several runs."""
    return statistics.median(timed(run) for _ in range(repeats))


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start


def peak_mebibytes() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Runs a function in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


if __name__ == "__main__":
    app.run(main)
