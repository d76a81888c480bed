"""The devices a run trains on: one, all of this machine, or several machines."""

from __future__ import annotations

import functools
import json
import os

import tensorflow as tf

STRATEGY_NAMES = ("auto", "one_device", "mirrored", "multi_worker")


def build_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Builds the distribution strategy called `name`.

    Args:
        name: "one_device" (the first GPU, else the CPU), "mirrored" (every GPU of this machine, else
            every logical CPU), "multi_worker" (the processes listed in the environment variable
            TF_CONFIG) or "auto": "multi_worker" when TF_CONFIG lists several processes, "mirrored"
            on a machine with several GPUs, "one_device" otherwise. "multi_worker" must be built
            before any other TensorFlow operation of the process. "mirrored" is the same object at
            every call, because TensorFlow cannot run two in one process.

    Raises:
        ValueError: `name` is unknown, or "multi_worker" without a usable TF_CONFIG.
    """
    if name not in STRATEGY_NAMES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGY_NAMES)}; found {name!r}")
    if name == "multi_worker" or (name == "auto" and _count_workers() > 1):
        if _count_workers() == 0:
            raise ValueError("strategy multi_worker needs TF_CONFIG with a cluster; found none")
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return _build_mirrored(tuple(gpus or cpus))
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


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
