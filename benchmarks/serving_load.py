"""Measures a model server: throughput against latency, for numbers of clients and of images in a request.

    python benchmarks/serving_load.py PICTURE ... [--url=http://localhost:8501/v1/models/pose]
        [--clients=1,2,4,8] [--batch_sizes=1,4] [--requests=100] [--broken_every=10] [--signature=serving_default]
    python benchmarks/serving_load.py PICTURE ... --serve=models/pose

The server is TensorFlow Serving or another one with its REST interface; with --serve, the stand-in of
benchmarks/serving_server.py in a process of its own. Each client sends its next request when it has the answer to the
last one. Every tenth request holds one broken image among good ones. It must get an error (or, with
--signature=tolerant, the poses of the good images), and every other request must get its poses: otherwise the exit code
is 1. The latencies are those of the good requests. REST only: gRPC needs the package tensorflow-serving-api.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import math
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence

TIMEOUT_SECONDS = 120
START_SECONDS = 300
BROKEN = b"not an image"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        seconds: Time until the whole answer was there.
        status: HTTP status; 0 if there was no answer.
        is_broken: Whether the request held a broken image.
        is_right: Whether the answer is what it must be.
    """

    seconds: float
    status: int
    is_broken: bool
    is_right: bool


@dataclasses.dataclass(frozen=True)
class Load:
    """The requests of a measurement.

    Attributes:
        url: Address of the model.
        signature: Signature of the model.
        bodies: Bodies of good requests.
        broken: Body of a request with one broken image.
        broken_every: Each request of this number is broken; 0 for none.
        batch_size: Number of images in a request.
    """

    url: str
    signature: str
    bodies: Sequence[bytes]
    broken: bytes
    broken_every: int
    batch_size: int


def build_load(url: str, pictures: Sequence[bytes], signature: str, broken_every: int, batch_size: int) -> Load:
    """Requests with `batch_size` images each, so that all pictures come in turn."""
    turns = [[pictures[(first + k) % len(pictures)] for k in range(batch_size)] for first in range(len(pictures))]
    broken = encode([*turns[0][:-1], BROKEN], signature)
    return Load(url, signature, [encode(turn, signature) for turn in turns], broken, broken_every, batch_size)


def encode(pictures: Sequence[bytes], signature: str) -> bytes:
    """The body of a request in the row format."""
    rows = [{"image_bytes": {"b64": base64.b64encode(picture).decode()}} for picture in pictures]
    return json.dumps({"signature_name": signature, "instances": rows}).encode()


def measure(load: Load, num_clients: int, num_requests: int) -> tuple[list[Answer], float]:
    """The answers to all requests, and the seconds that all took together."""
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(num_clients) as pool:
        shares = [range(client, num_requests, num_clients) for client in range(num_clients)]
        found = list(pool.map(lambda share: list(run_client(load, share)), shares))
    return [answer for answers in found for answer in answers], time.perf_counter() - begin


def run_client(load: Load, share: Sequence[int]) -> Iterator[Answer]:
    """Sends requests one after the other over one connection."""
    place = urllib.parse.urlsplit(load.url)
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=TIMEOUT_SECONDS)) as connection:
        for number in share:
            is_broken = load.broken_every > 0 and number % load.broken_every == load.broken_every - 1
            body = load.broken if is_broken else load.bodies[number % len(load.bodies)]
            begin = time.perf_counter()
            try:
                connection.request("POST", f"{place.path}:predict", body)
                response = connection.getresponse()
                status, data = response.status, response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                status, data = 0, b""
            yield Answer(time.perf_counter() - begin, status, is_broken, is_right(load, status, data, is_broken))


def is_right(load: Load, status: int, data: bytes, is_broken: bool) -> bool:
    """Whether an answer has an error, poses, or poses of all but the last image, as its request demands."""
    try:
        content = json.loads(data)
    except ValueError:
        return False
    if is_broken and load.signature != "tolerant":
        return status == 400 and "error" in content
    rows = content.get("predictions", [])
    wanted = [True] * (len(rows) - 1) + [not is_broken]
    is_valid = [row.get("is_valid", True) for row in rows]
    return status == 200 and len(rows) == load.batch_size and is_valid == wanted


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not smaller than so many percent of the values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def describe(load: Load, num_clients: int, answers: Sequence[Answer], seconds: float) -> str:
    """A row of the table."""
    good = [1000 * answer.seconds for answer in answers if not answer.is_broken and answer.status == 200]
    images = len(good) * load.batch_size / seconds
    times = " ".join(f"{percentile(good, percent):8.1f}" for percent in (50, 95, 99)) if good else " none" * 3
    num_broken = sum(answer.is_broken for answer in answers)
    wrong = sum(not answer.is_right for answer in answers)
    return f"{num_clients:7d} {load.batch_size:6d} {images:9.1f} {times} {num_broken:6d} {wrong:5d}"


def wait_until_available(url: str, has_ended: Callable[[], bool] = lambda: False) -> None:
    """Waits until the server has loaded the model.

    Raises:
        TimeoutError: It has not.
        ConnectionError: The server has ended.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if has_ended():
            raise ConnectionError(f"{url}: the server has ended, see its message")
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as response:
            versions = json.load(response).get("model_version_status", [])
            if any(version.get("state") == "AVAILABLE" for version in versions):
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url}: the model must be AVAILABLE within {START_SECONDS} s, got another state or no answer")


@contextlib.contextmanager
def started_server(folder: pathlib.Path, port: int) -> Iterator[str]:
    """The address of the model while the stand-in runs in a process of its own.

    Raises:
        ConnectionError: There is another server at the port, whose answers would be measured, or the stand-in ends.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("localhost", port)) == 0:
            raise ConnectionError(f"--port must be free, got {port}, at which another server answers")
    script = pathlib.Path(__file__).with_name("serving_server.py")
    server = subprocess.Popen([sys.executable, str(script), str(folder), f"--port={port}"], stdout=subprocess.DEVNULL)
    address = f"http://localhost:{port}/v1/models/{folder.resolve().name}"
    try:
        wait_until_available(address, lambda: server.poll() is not None)
        yield address
    finally:
        server.terminate()
        server.wait()


def whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=pathlib.Path)
    parser.add_argument("--url", default="http://localhost:8501/v1/models/pose", help="address of the model")
    parser.add_argument("--serve", type=pathlib.Path, help="folder of a model for the stand-in; replaces --url")
    parser.add_argument("--port", type=int, default=8501, help="port of the stand-in")
    parser.add_argument("--signature", default="serving_default", choices=["serving_default", "tolerant"])
    parser.add_argument("--clients", type=whole_numbers, default=[1, 2, 4, 8])
    parser.add_argument("--batch_sizes", type=whole_numbers, default=[1, 4])
    parser.add_argument("--requests", type=int, default=100, help="number of requests of each measurement")
    parser.add_argument("--broken_every", type=int, default=10, help="0 sends no broken image")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(words)
    pictures = [path.read_bytes() for path in arguments.pictures]
    serving = started_server(arguments.serve, arguments.port) if arguments.serve else None
    num_wrong = 0
    with serving or contextlib.nullcontext(arguments.url) as url:
        wait_until_available(url)
        print("clients images  images/s   p50 ms   p95 ms   p99 ms broken wrong")
        for batch_size in arguments.batch_sizes:
            load = build_load(url, pictures, arguments.signature, arguments.broken_every, batch_size)
            # The first requests are slow: TensorFlow prepares the network for each size.
            measure(dataclasses.replace(load, broken_every=0), 1, len(load.bodies))
            for num_clients in arguments.clients:
                answers, seconds = measure(load, num_clients, arguments.requests)
                print(describe(load, num_clients, answers, seconds), flush=True)
                num_wrong += sum(not answer.is_right for answer in answers)
    return int(num_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
