"""The devices that a run trains on: one device, all devices of this machine, or several machines."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfpose.evaluation.shares import EvaluationShare
from tfpose.messages import MOST_OF_A_VALUE, printable
from tfpose.processes import num_cores
from tfpose.training.cluster import meet_processes, read_cluster

STRATEGY_NAMES = ("auto", "one_device", "mirrored", "cpu_cores", "multi_worker")
# Threads for the input pipeline, besides one thread for each replica.
NUM_INPUT_THREADS = 2


def build_strategy(name: str = "auto", batch_size: int | None = None) -> tf.distribute.Strategy:
    """Builds the distribution strategy with the given name.

    Args:
        name: Name of the strategy, one of the following.
            "one_device": The first GPU, or the CPU on a machine without a GPU.
            "mirrored": Every GPU of this machine, or every logical CPU on a machine without a GPU. Every call returns
            the same object, because TensorFlow cannot run two such strategies in one process.
            "cpu_cores": One device with one thread for each CPU core. A small network trains faster so than with all
            cores in every operation. It must be built before any other TensorFlow operation of the process, and
            "mirrored" is the same strategy from then on. On a machine with a GPU it acts like "auto".
            "multi_worker": The processes that the environment variable TF_CONFIG lists. It must be built before any
            other TensorFlow operation of the process, and waits until all processes are there.
            "auto": "multi_worker" if TF_CONFIG lists several processes, "mirrored" on a machine with several GPUs, and
            "one_device" otherwise.
        batch_size: Number of examples per step, over all replicas. The number of devices of "cpu_cores" divides it, and
            each device then has more threads. None sets no limit.

    Raises:
        ValueError: `name` is unknown, TF_CONFIG is wrong or is missing for "multi_worker", TF_CONFIG lists several
            processes for a strategy of one machine, or "cpu_cores" is built too late.
        TimeoutError: A process of TF_CONFIG did not come.
    """
    if name not in STRATEGY_NAMES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGY_NAMES)}, got {name!r}")
    cluster = read_cluster()
    num_processes = len(cluster.names) if cluster else 0
    if name not in ("auto", "multi_worker") and num_processes > 1:
        raise ValueError(
            f"strategy must be auto or multi_worker where TF_CONFIG lists {num_processes} processes, got {name!r}; "
            "without TF_CONFIG every process trains alone"
        )
    if name == "multi_worker" and cluster is None:
        raise ValueError("TF_CONFIG must list the processes for strategy multi_worker, got no TF_CONFIG")
    if cluster and (name == "multi_worker" or num_processes > 1):
        meet_processes(cluster)
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
    """Divides the cores that this process may use among logical devices and returns the device names."""
    cores = num_cores()
    num_devices = max(count for count in range(1, cores + 1) if batch_size is None or batch_size % count == 0)
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices)
        tf.config.threading.set_intra_op_parallelism_threads(cores // num_devices)
        tf.config.threading.set_inter_op_parallelism_threads(num_devices + NUM_INPUT_THREADS)
    except RuntimeError as error:
        raise ValueError(f"strategy cpu_cores must be built before any other use of TensorFlow, got {error}") from error
    return [device.name for device in tf.config.list_logical_devices("CPU")]


@functools.cache
def _build_mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Each strategy numbers its collective operations from the same start. The operations of a second strategy in the
    # process would meet those of the first and fail because their shapes differ (tensorflow issue 62790).
    return tf.distribute.MirroredStrategy(list(devices))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the files of the run, which exactly one worker does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().jobs:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def count_processes(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of processes that train together."""
    resolver = strategy.cluster_resolver
    if resolver is None:
        return 1
    cluster = resolver.cluster_spec().as_dict()
    return max(1, sum(len(cluster.get(job, ())) for job in ("chief", "worker")))


def find_share(strategy: tf.distribute.Strategy) -> EvaluationShare:
    """Returns this worker's share of an evaluation."""
    devices = strategy.extended.worker_devices
    num_workers = count_processes(strategy)
    if num_workers == 1:
        return EvaluationShare(devices)
    return EvaluationShare(devices, strategy, input_context(strategy).input_pipeline_id, num_workers)


def chief_says(strategy: tf.distribute.Strategy, answer: bool) -> bool:
    """Returns the chief's answer to a question that all workers ask together. Others must answer False."""
    if count_processes(strategy) == 1:
        return answer
    return int(sum_over_replicas(strategy, np.int64(answer))) > 0


def sum_over_replicas(strategy: tf.distribute.Strategy, values: np.ndarray | np.integer) -> np.ndarray:
    """Returns the sum of the values that each worker gives for each of its replicas. All workers call it together."""

    def add() -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(values)), axis=None)

    # Outside a function TensorFlow would warn that it is slow, and of a function that it is traced anew.
    return tf.function(add).get_concrete_function()().numpy()


def check_same_everywhere(strategy: tf.distribute.Strategy, values: Mapping[str, str]) -> None:
    """Checks that what all workers must have in common is the same; with one process, does nothing.

    Each worker would update the weights in its own way otherwise, and write the results of none of them.

    Args:
        strategy: Strategy, whose workers call this together.
        values: What to compare, by name; the names are the same everywhere.

    Raises:
        ValueError: A value is another one in another process. All processes raise it.
    """
    if count_processes(strategy) == 1:
        return
    digits = np.array([zlib.crc32(value.encode("utf-8", "surrogateescape")) for value in values.values()], np.int64)
    differing = np.flatnonzero(sum_over_replicas(strategy, digits) != digits * strategy.num_replicas_in_sync)
    if len(differing):
        name = list(values)[differing[0]]
        got = printable(values[name], MOST_OF_A_VALUE)
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise ValueError(
            f"{name}{more} must be the same in all processes of TF_CONFIG, got {got} here and another value elsewhere"
        )


def input_context(strategy: tf.distribute.Strategy) -> tf.distribute.InputContext:
    """Returns the place of this worker among all workers."""
    num_local, num_replicas = len(strategy.extended.worker_devices), strategy.num_replicas_in_sync
    ids = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    first = int(strategy.experimental_local_results(ids)[0])
    return tf.distribute.InputContext(num_replicas // num_local, first // num_local, num_replicas)
