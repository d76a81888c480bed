"""What TF_CONFIG must be, and how the processes of one training wait for each other."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import threading

import pytest
from free_ports import find_free_ports

from tfpose.training import cluster as clusters
from tfpose.training.cluster import Cluster, meet_processes, read_cluster

TWO = {"worker": ["10.0.0.1:23451", "10.0.0.2:23452"]}


def test_chief_and_workers_are_read_in_order(monkeypatch):
    config = {"cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert read_cluster() == Cluster(("chief 0", "worker 0", "worker 1"), ("a:1", "b:2", "c:3"), 2)
    monkeypatch.delenv("TF_CONFIG")
    assert read_cluster() is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{'cluster': 1}", r"TF_CONFIG must be JSON, with names in double quotes, got {'cluster': 1}"),
        ("[" * 100_000, r"TF_CONFIG must be JSON.*\[ \.\.\. \["),
        ([], "cluster must be an object, got nothing"),
        ({"cluster": {}, "task": {}}, "cluster must be at least one process"),
        ({"cluster": TWO | {"ps": ["a:1"]}}, "cluster must be processes of the types chief and worker, got .*ps"),
        ({"cluster": {"worker": "a:1"}}, "cluster.worker must be a list of addresses HOST:PORT, got .a:1"),
        ({"cluster": {"worker": ["a"]}}, "cluster.worker must be a list of addresses HOST:PORT"),
        ({"cluster": {"worker": ["a:99999"]}}, "cluster.worker must be a list of addresses HOST:PORT"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "cluster.chief must be at most one address"),
        ({"cluster": TWO}, "task must be an object, got nothing"),
        (
            {"cluster": TWO, "task": {"type": "evaluator", "index": 0}},
            r'task.type must be chief or worker.*"evaluator"',
        ),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "task.index must be below 2, .* got 2"),
        ({"cluster": TWO, "task": {"type": "worker", "index": True}}, "task.index must be below 2, .* got true"),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "task.index must be below 0"),
    ],
)
def test_what_is_wrong_in_tf_config_is_named(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ValueError, match=message) as caught:
        read_cluster()
    assert "TF_CONFIG" in str(caught.value) and len(str(caught.value)) < 250


def local_cluster(own: int, addresses: tuple[str, ...]) -> Cluster:
    return Cluster(tuple(f"worker {index}" for index in range(len(addresses))), addresses, own)


def test_processes_meet_whatever_their_order():
    addresses = tuple(f"127.0.0.1:{port}" for port in find_free_ports(4))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        meetings = [pool.submit(meet_processes, local_cluster(own, addresses), 60) for own in (2, 0, 3, 1)]
        assert [meeting.result() for meeting in meetings] == [None] * 4


def test_a_process_that_does_not_come_is_named(monkeypatch, capsys):
    addresses = tuple(f"127.0.0.1:{port}" for port in find_free_ports(2))
    monkeypatch.setattr(clusters, "_FIRST_MESSAGE", 0.0)
    with pytest.raises(TimeoutError, match=f"got no answer from worker 1 at {addresses[1]}; after the loss of one"):
        meet_processes(local_cluster(0, addresses), 0.3)
    assert capsys.readouterr().err == f"waiting for worker 1 at {addresses[1]}\n"


def test_waiting_ends_with_ctrl_c():
    addresses = tuple(f"127.0.0.1:{port}" for port in find_free_ports(2))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        meet_processes(local_cluster(1, addresses))


def test_a_running_training_does_not_answer_a_process_that_comes_back_alone():
    """TensorFlow listens at the address then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        addresses = (f"127.0.0.1:{server.getsockname()[1]}", f"127.0.0.1:{find_free_ports(1)[0]}")
        with pytest.raises(TimeoutError, match="got no answer from worker 0"):
            meet_processes(local_cluster(1, addresses), 0.1)


def test_an_address_in_use_is_named():
    with socket.create_server(("", 0)) as server:
        addresses = (f"127.0.0.1:{server.getsockname()[1]}", "127.0.0.1:9")
        with pytest.raises(ConnectionError, match="worker 0 must be able to listen at .*, got Address already in use"):
            meet_processes(local_cluster(0, addresses))
