"""The devices a run trains on: one, all of this machine, or several machines."""

from __future__ import annotations

import functools
import json
import os

import tensorflow as tf

STRATEGY_NAMES = ("auto", "one_device", "mirrored", "cpu_cores", "multi_worker")
# Threads of the process besides one for each replica: the input pipeline's.
NUM_INPUT_THREADS = 2


def build_strategy(name: str = "auto", batch_size: int | None = None) -> tf.distribute.Strategy:
    """Builds the distribution strategy called `name`.

    Args:
        name: "one_device" (the first GPU, else the CPU), "mirrored" (every GPU of this machine, else
            every logical CPU), "multi_worker" (the processes listed in the environment variable
            TF_CONFIG) or "auto": "multi_worker" when TF_CONFIG lists several processes, "mirrored"
            on a machine with several GPUs, "one_device" otherwise. "multi_worker" must be built
            before any other TensorFlow operation of the process. "mirrored" is the same object at
            every call, because TensorFlow cannot run two in one process. "cpu_cores" makes every core a
            device of one thread: for a small network that is faster than all cores in every operation.
            It must be built before any other TensorFlow operation as well, and then "mirrored" is the same.
            On a machine with a GPU it is "auto".
        batch_size: Of all replicas; "cpu_cores" makes no more devices than divide it, of more threads then.

    Raises:
        ValueError: `name` is unknown, "multi_worker" without a usable TF_CONFIG, or "cpu_cores" too late.
    """
    if name not in STRATEGY_NAMES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGY_NAMES)}; found {name!r}")
    if name == "multi_worker" or (name == "auto" and _count_workers() > 1):
        if _count_workers() == 0:
            raise ValueError("strategy multi_worker needs TF_CONFIG with a cluster; found none")
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "cpu_cores" and not tf.config.list_physical_devices("GPU"):
        return _build_mirrored(tuple(_divide_cpu(batch_size)))
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" or (name != "one_device" and len(gpus) > 1):
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return _build_mirrored(tuple(gpus or cpus))
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


@functools.cache
def _divide_cpu(batch_size: int | None) -> list[str]:
    """Logical devices among which the cores that this process may use are divided."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    num_devices = max(count for count in range(1, num_cores + 1) if batch_size is None or batch_size % count == 0)
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices)
        tf.config.threading.set_intra_op_parallelism_threads(num_cores // num_devices)
        tf.config.threading.set_inter_op_parallelism_threads(num_devices + NUM_INPUT_THREADS)
    except RuntimeError as error:
        raise ValueError(f"strategy cpu_cores must be built before TensorFlow is used otherwise: {error}") from error
    return [device.name for device in tf.config.list_logical_devices("CPU")]


@functools.cache
def _build_mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # One for the process: each strategy numbers its collective operations from the same start, so those of a second
    # one meet the first one's and fail on their shapes (tensorflow issue 62790).
    return tf.distribute.MirroredStrategy(list(devices))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files of the run: exactly one of the workers does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().jobs:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def count_processes(strategy: tf.distribute.Strategy) -> int:
    """The number of processes that train together."""
    resolver = strategy.cluster_resolver
    if resolver is None:
        return 1
    cluster = resolver.cluster_spec().as_dict()
    return max(1, sum(len(cluster.get(job, ())) for job in ("chief", "worker")))


def _count_workers() -> int:
    """The number of training processes in TF_CONFIG; 0 when it is not set."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0
    try:
        cluster = json.loads(text).get("cluster", {})
        return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG must be a JSON object with a cluster; found {text!r}") from error
