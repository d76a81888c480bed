"""The losses of a run do not depend on how its examples are spread over devices and processes."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import os
import pathlib
import re
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
import toy_run
from free_ports import find_free_ports
from process_copies import Launcher, ProcessCopy

from tfpose import checkpoints
from tfpose.training import distribution
from tfpose.training.distribution import build_strategy, is_chief
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, train

PROGRAM = "import toy_run; toy_run.main()"
TIMEOUT_SECONDS = 180


def finish(process: ProcessCopy, expected_code: int = 0) -> None:
    assert process.wait(TIMEOUT_SECONDS) == expected_code, process.read_errors()[-3000:]


def read_column(path: pathlib.Path, name: str) -> list[float]:
    with open(path, newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Runs of 20 steps on one device, by variant."""
    folder = tmp_path_factory.mktemp("single")
    for name, settings in toy_run.VARIANTS.items():
        train(
            TrainingPlan(
                build_model=functools.partial(toy_run.build_model_of, name),
                compute_loss=toy_run.compute_loss,
                make_dataset=toy_run.make_dataset,
                hooks=Hooks(evaluate=toy_run.evaluate),
            ),
            strategy=build_strategy("one_device"),
            workdir=folder / name,
            optimization=OptimizationSettings(0.01, warmup_steps=5, **settings),
            run=RunSettings(total_steps=20, log_every=1, evaluate_every=10),
        )
    return folder


def test_losses_change_over_the_compared_steps(single: pathlib.Path) -> None:
    losses = read_column(single / "plain" / "train.csv", "loss")
    assert losses[-1] < 0.8 * losses[0]
    clipped = read_column(single / "clipped" / "train.csv", "loss")
    assert not np.allclose(losses, clipped, rtol=1e-3)


@pytest.mark.parametrize("variant", ["compiled", "accumulated"])
def test_compiling_and_accumulating_keep_the_losses(single: pathlib.Path, variant: str) -> None:
    for column in ("loss", "loss/joints", "loss/sizes", "small_errors", "gradient_norm"):
        expected = read_column(single / "plain" / "train.csv", column)
        found = read_column(single / variant / "train.csv", column)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_two_devices_train_like_one(single: pathlib.Path, tmp_path: pathlib.Path, launcher: Launcher) -> None:
    names = ["clipped", "compiled", "accumulated", "muon"]
    arguments = ("--workdir", tmp_path, "--strategy", "mirrored", "--cpus", 2, "--variants", *names)
    finish(launcher.start(PROGRAM, *arguments))
    for name in names:
        for column in ("loss", "loss/sizes", "small_errors", "gradient_norm"):
            expected = read_column(single / name / "train.csv", column)
            found = read_column(tmp_path / name / "train.csv", column)
            assert len(found) == 20
            np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=f"{name} {column}")
        check_evaluations(single / name, tmp_path / name)


def check_evaluations(expected: pathlib.Path, found: pathlib.Path) -> None:
    """All devices and workers evaluate together; nothing is counted twice or left out."""
    tables = [read_column(workdir / "eval.csv", "weight") for workdir in (expected, found)]
    assert len(tables[0]) == 2
    np.testing.assert_allclose(*tables, rtol=1e-5)


def test_cores_as_devices_train_like_one(single: pathlib.Path, tmp_path: pathlib.Path, launcher: Launcher) -> None:
    num_cores = len(os.sched_getaffinity(0))
    if num_cores < 2 or toy_run.GLOBAL_BATCH % num_cores:
        pytest.skip(f"a batch of {toy_run.GLOBAL_BATCH} does not divide among {num_cores} cores")
    finish(launcher.start(PROGRAM, "--workdir", tmp_path, "--strategy", "cpu_cores"))
    for column in ("loss", "gradient_norm"):
        expected = read_column(single / "plain" / "train.csv", column)
        np.testing.assert_allclose(read_column(tmp_path / "plain" / "train.csv", column), expected, rtol=1e-5)
    check_evaluations(single / "plain", tmp_path / "plain")


@pytest.mark.parametrize(("batch_size", "num_devices", "num_threads"), [(8, 4, 1), (9, 3, 1), (7, 1, 6), (None, 6, 1)])
def test_cores_are_divided_as_the_batch_allows(
    launcher: Launcher, batch_size: int | None, num_devices: int, num_threads: int
) -> None:
    program = (
        "import os, tensorflow as tf; from tfpose.training.distribution import build_strategy\n"
        f"os.sched_getaffinity = lambda process: set(range({num_devices * num_threads}))\n"
        f"assert build_strategy('cpu_cores', {batch_size}).num_replicas_in_sync == {num_devices}\n"
        f"assert tf.config.threading.get_intra_op_parallelism_threads() == {num_threads}"
    )
    finish(launcher.start(program))


def test_cores_become_devices_before_tensorflow_is_used(launcher: Launcher) -> None:
    program = (
        "import os, tensorflow as tf; from tfpose.training.distribution import build_strategy\n"
        "strategy = build_strategy('cpu_cores'); assert strategy is build_strategy('cpu_cores')\n"
        "assert strategy.num_replicas_in_sync == len(os.sched_getaffinity(0))\n"
        "assert tf.config.threading.get_intra_op_parallelism_threads() == 1"
    )
    finish(launcher.start(program))
    tf.zeros(1)
    with pytest.raises(ValueError, match="strategy cpu_cores must be built before any other use of TensorFlow, got"):
        build_strategy("cpu_cores")


@contextlib.contextmanager
def started_workers(launcher: Launcher, workdir: pathlib.Path, *arguments: object) -> Iterator[list[ProcessCopy]]:
    """Two processes that train together, killed at the end of the block if they still run."""
    addresses = [f"127.0.0.1:{port}" for port in find_free_ports(2)]
    configs = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)]
    arguments = ("--workdir", workdir, "--strategy", "auto", *arguments)
    workers = [launcher.start(PROGRAM, *arguments, TF_CONFIG=json.dumps(config)) for config in configs]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait(TIMEOUT_SECONDS)


def wait_for_step(chief: ProcessCopy, step: int) -> None:
    for line in chief.read_lines():
        if re.match(f"step +{step}/", line):
            return
    pytest.fail(f"ended before step {step}:\n{chief.read_errors()[-3000:]}")


def check_that_both_go_on(launcher: Launcher, single: pathlib.Path, workdir: pathlib.Path, *arguments: object) -> None:
    """Both processes start again, and the run has the losses of one device."""
    with started_workers(launcher, workdir, *arguments) as workers:
        for worker in workers:
            finish(worker)
    table = workdir / "plain" / "train.csv"
    assert read_column(table, "step") == list(range(1, 21))
    expected = read_column(single / "plain" / "train.csv", "loss")
    np.testing.assert_allclose(read_column(table, "loss"), expected, rtol=1e-5)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_running_statistics_of_two_devices(tmp_path: pathlib.Path, launcher: Launcher, num_processes: int) -> None:
    """A device normalizes over its part of the batch; the statistics are means over the devices."""
    num_steps, parts = 3, {"plain": 1, "compiled": 1, "accumulated": 2}
    arguments = ("--batch-norm", "--steps", num_steps, "--learning-rate", 0.0, "--variants", *parts)
    if num_processes == 1:
        finish(launcher.start(PROGRAM, "--workdir", tmp_path, "--strategy", "mirrored", "--cpus", 2, *arguments))
    else:
        with started_workers(launcher, tmp_path, *arguments) as workers:
            for worker in workers:
                finish(worker)
    for name, num_parts in parts.items():
        arrays, _ = checkpoints.read_checkpoint(checkpoints.list_checkpoints(tmp_path / name)[-1])
        kernel, bias = (arrays[f"model/features/{kind}"] for kind in ("kernel", "bias"))
        means = np.zeros((2, len(bias)))
        for step in range(num_steps):
            images = toy_run.make_global_batch(tf.constant(step, tf.int64))["image"]
            features = np.asarray(tf.nn.conv2d(images, kernel, 1, "SAME") + bias)
            for part in np.moveaxis(features.reshape(2, num_parts, -1, *features.shape[1:]), 1, 0):
                means = 0.9 * means + 0.1 * part.mean(axis=(1, 2, 3))
        np.testing.assert_allclose(arrays["model/norm/moving_mean"], means.mean(axis=0), rtol=1e-5, err_msg=name)


def test_two_processes_train_like_one_though_one_is_told_to_stop(
    single: pathlib.Path, tmp_path: pathlib.Path, launcher: Launcher
) -> None:
    with started_workers(launcher, tmp_path, "--pause", 0.1) as workers:
        wait_for_step(workers[0], 8)
        workers[1].send_signal(signal.SIGTERM)
        for worker in workers:
            finish(worker, expected_code=143)
    stopped_at = checkpoints.parse_step(checkpoints.list_checkpoints(tmp_path / "plain")[-1])
    assert 8 <= stopped_at < 20
    check_that_both_go_on(launcher, single, tmp_path)
    check_evaluations(single / "plain", tmp_path / "plain")
    # One for each of the two starts: the second worker writes none.
    assert len(list((tmp_path / "plain" / "tensorboard").iterdir())) == 2


@pytest.mark.slow
def test_when_a_process_is_killed_the_other_ends_and_both_go_on_together(
    single: pathlib.Path, tmp_path: pathlib.Path, launcher: Launcher
) -> None:
    """What a cluster has to do is to start again the processes that ended: all of them, by themselves.

    First the chief is killed, and when both have gone on past the next checkpoint, the other one.
    """
    for killed, step, saved in ((0, 8, 5), (1, 13, 10)):
        with started_workers(launcher, tmp_path, "--pause", 0.1, "--checkpoint-every", 5) as workers:
            wait_for_step(workers[0], step)
            workers[killed].send_signal(signal.SIGKILL)
            assert workers[killed].wait(TIMEOUT_SECONDS) == -signal.SIGKILL
            finish(workers[1 - killed], expected_code=1)
            assert "UnavailableError" in workers[1 - killed].read_errors()
        steps = list(map(checkpoints.parse_step, checkpoints.list_checkpoints(tmp_path / "plain")))
        assert saved <= max(steps) < 20
    check_that_both_go_on(launcher, single, tmp_path, "--checkpoint-every", 5)


def test_one_process_is_its_own_chief() -> None:
    strategy = build_strategy("one_device")
    assert is_chief(strategy)
    assert strategy.num_replicas_in_sync == 1


def test_wrong_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="strategy must be one of .*, got 'tpu'"):
        build_strategy("tpu")


def test_several_workers_need_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG must list the processes .*, got no TF_CONFIG"):
        build_strategy("multi_worker")
    cluster = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    for name in ("one_device", "mirrored", "cpu_cores"):
        with pytest.raises(ValueError, match=f"auto or multi_worker where TF_CONFIG lists 2 processes, got '{name}'"):
            build_strategy(name)


def test_what_differs_between_the_processes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = build_strategy("one_device")
    distribution.check_same_everywhere(strategy, {"seed": "1"})
    monkeypatch.setattr(distribution, "count_processes", lambda _: 3)
    seen = []

    def find_digits(_: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
        seen.append(values)
        return values

    monkeypatch.setattr(distribution, "sum_over_replicas", find_digits)
    for rate in ("0.1", "0.2"):
        distribution.check_same_everywhere(strategy, {"seed": "1", "rate": rate, "data": "a"})
    monkeypatch.setattr(distribution, "sum_over_replicas", lambda *_: sum(seen))
    monkeypatch.setattr(type(strategy), "num_replicas_in_sync", 2)
    with pytest.raises(ValueError, match="rate must be the same in all processes of TF_CONFIG, got 0.1 here"):
        distribution.check_same_everywhere(strategy, {"seed": "1", "rate": "0.1", "data": "a"})
    with pytest.raises(ValueError, match=r"rate \(and 1 more\) must be the same"):
        distribution.check_same_everywhere(strategy, {"seed": "1", "rate": "0.1", "data": "b"})


def test_default_strategy_is_one_device_here() -> None:
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("several GPUs")
    assert isinstance(build_strategy(), tf.distribute.OneDeviceStrategy)


def test_runs_of_one_process_can_be_mirrored_one_after_the_other() -> None:
    for shape in ((2,), (3, 5)):
        strategy = build_strategy("mirrored")
        if strategy.num_replicas_in_sync < 2:
            pytest.skip("needs two logical CPUs: TensorFlow was started with one")

        @tf.function
        def add_up(strategy=strategy, shape=shape):
            def on_replica():
                return tf.distribute.get_replica_context().all_reduce("sum", tf.ones(shape))

            return strategy.experimental_local_results(strategy.run(on_replica))

        for total in add_up():
            np.testing.assert_array_equal(total, np.full(shape, strategy.num_replicas_in_sync))
