"""The processes of one training on several machines: what TF_CONFIG says about them, and how they wait for each other.

TensorFlow waits for the other processes in a call that neither Ctrl-C nor SIGTERM ends. So the processes meet at the
addresses of TF_CONFIG before TensorFlow takes these addresses: of two processes the later one in TF_CONFIG connects to
the earlier one, and both know then that the other is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time
from typing import Any

from tfpose.messages import MOST_OF_A_VALUE, printable

_VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")
_MOST_SECONDS = 600.0
# Seconds until the first message about missing processes, and between further messages.
_FIRST_MESSAGE, _NEXT_MESSAGES = 10.0, 60.0
_PAUSE = 0.2
_ANSWER_SECONDS = 2.0
_GREETING = b"tfpose meeting\n"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        names: Names of the processes, such as "worker 0".
        addresses: Their addresses, HOST:PORT.
        own: Position of this process.
    """

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    own: int


def read_cluster() -> Cluster | None:
    """Reads the environment variable TF_CONFIG; returns None if it is not set.

    Raises:
        ValueError: TF_CONFIG is not a description of a cluster of chief and workers with a task of this process.
    """
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        got = printable(text, MOST_OF_A_VALUE)
        raise ValueError(f"{_VARIABLE} must be JSON, with names in double quotes, got {got}") from error
    cluster = _mapping("cluster", content.get("cluster") if isinstance(content, dict) else None)
    _check(not set(cluster) - set(_JOBS), "cluster", "processes of the types chief and worker", ", ".join(cluster))
    processes = []
    for job in _JOBS:
        addresses = cluster.get(job, [])
        is_list = isinstance(addresses, list) and all(map(_is_address, addresses))
        _check(is_list, f"cluster.{job}", "a list of addresses HOST:PORT", addresses)
        processes += [(job, index, address) for index, address in enumerate(addresses)]
    _check(bool(processes), "cluster", "at least one process of type chief or worker", cluster)
    _check(len(cluster.get("chief", [])) <= 1, "cluster.chief", "at most one address", cluster.get("chief"))
    task = _mapping("task", content.get("task"))
    _check(task.get("type") in _JOBS, "task.type", "chief or worker (the chief evaluates)", task.get("type"))
    count = len(cluster.get(task["type"], []))
    index = task.get("index")
    is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count
    _check(is_index, "task.index", f"below {count}, the number of processes of type {task['type']}", index)
    names = tuple(f"{job} {number}" for job, number, _ in processes)
    own = names.index(f"{task['type']} {index}")
    return Cluster(names, tuple(address for *_, address in processes), own)


def _mapping(field: str, value: Any) -> dict[str, Any]:
    _check(isinstance(value, dict), field, "an object", value)
    return dict(value)


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    host, _, port = value.rpartition(":")
    return bool(host) and port.isdecimal() and len(port) <= len("65535") and 0 < int(port) <= 65535


def _check(is_kept: bool, field: str, rule: str, value: Any) -> None:
    if not is_kept:
        got = "nothing" if value is None else printable(json.dumps(value), MOST_OF_A_VALUE)
        raise ValueError(f"{_VARIABLE}: {field} must be {rule}, got {got}")


def meet_processes(cluster: Cluster, most_seconds: float = _MOST_SECONDS) -> None:
    """Waits until every process of the cluster is there, and says on stderr which ones it waits for.

    Raises:
        ConnectionError: This process cannot listen at its address.
        TimeoutError: A process did not come in time.
    """
    met: set[int] = set()
    started = time.monotonic()
    next_message = started + _FIRST_MESSAGE
    with _listen(cluster) as listener:
        while missing := [i for i in range(len(cluster.names)) if i != cluster.own and i not in met]:
            now = time.monotonic()
            waited_for = ", ".join(f"{cluster.names[i]} at {cluster.addresses[i]}" for i in missing)
            if now - started > most_seconds:
                raise TimeoutError(
                    f"{_VARIABLE}: every process must start within {most_seconds:.0f} s, got no answer from "
                    f"{waited_for}; after the loss of one process start all of them again"
                )
            if now >= next_message:
                print(f"waiting for {waited_for}", file=sys.stderr, flush=True)
                next_message = now + _NEXT_MESSAGES
            met |= {i for i in missing if i < cluster.own and _visit(cluster, i)}
            met |= _receive(listener, cluster)


def _listen(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.own]
    port = int(address.rpartition(":")[2])
    try:
        listener = _create_server(port)
    except OSError as error:
        raise ConnectionError(
            f"{_VARIABLE}: {cluster.names[cluster.own]} must be able to listen at {address}, got "
            f"{error.strerror or error}"
        ) from error
    listener.settimeout(_PAUSE)
    return listener


def _create_server(port: int) -> socket.socket:
    """Listens at all addresses of this machine; without IPv6, at those of IPv4."""
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _visit(cluster: Cluster, other: int) -> bool:
    """Connects to another process; returns whether it answered."""
    host, _, port = cluster.addresses[other].rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS) as connection,
    ):
        connection.sendall(_GREETING + f"{cluster.own}\n".encode())
        return _read_line(connection) == _GREETING
    return False


def _receive(listener: socket.socket, cluster: Cluster) -> set[int]:
    """Answers one process that connects, if one does in the next moment; returns its position."""
    with contextlib.suppress(OSError, ValueError):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_ANSWER_SECONDS)
            if _read_line(connection) == _GREETING:
                other = int(_read_line(connection))
                connection.sendall(_GREETING)
                return {other} if cluster.own < other < len(cluster.names) else set()
    return set()


def _read_line(connection: socket.socket) -> bytes:
    """Reads up to a line's end, byte by byte, because what follows belongs to the next line."""
    line = b""
    while not line.endswith(b"\n") and len(line) < len(_GREETING):
        byte = connection.recv(1)
        if not byte:
            break
        line += byte
    return line
