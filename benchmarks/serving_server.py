"""A small model server with the REST interface of TensorFlow Serving, for machines without its container.

    python benchmarks/serving_server.py models/pose [--port=8501] [--threads=2]

It answers POST /v1/models/NAME:predict in the row format (base64 pictures, `signature_name`), GET /v1/models/NAME with
the state of the model, and GET /monitoring/prometheus/metrics with two counters. NAME is the name of the folder, which
holds one folder for each version; the newest is served. A request that the model refuses gets status 400. Unlike
TensorFlow Serving it does not join requests to batches, and has no gRPC.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.server
import json
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

METRICS_PATH = "/monitoring/prometheus/metrics"
MOST_BYTES = 1 << 28


class Model:
    """The newest version of a model."""

    def __init__(self, folder: pathlib.Path, num_threads: int) -> None:
        versions = [path for path in folder.iterdir() if path.name.isdecimal()]
        if not versions:
            raise FileNotFoundError(f"{folder}: must hold a folder for each version, such as 1, got none")
        self.name, self.version = folder.name, max(versions, key=lambda path: int(path.name)).name
        self._signatures = tf.saved_model.load(str(folder / self.version)).signatures
        self._free = threading.BoundedSemaphore(num_threads)
        self._lock = threading.Lock()
        self.counts = {"OK": 0, "INVALID_ARGUMENT": 0}

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the content of the answer."""
        try:
            answer = 200, self._predict(request)
        except (tf.errors.OpError, ValueError, LookupError, TypeError, AttributeError) as error:
            answer = 400, {"error": str(getattr(error, "message", error))}
        with self._lock:
            self.counts["OK" if answer[0] == 200 else "INVALID_ARGUMENT"] += 1
        return answer

    def _predict(self, request: dict[str, Any]) -> dict[str, Any]:
        signature = self._signatures[request.get("signature_name", "serving_default")]
        rows = request["instances"]
        inputs = {name: tf.constant([_plain(row[name]) for row in rows]) for name in rows[0]}
        with self._free:
            lists = {name: values.numpy().tolist() for name, values in signature(**inputs).items()}
        return {"predictions": [{name: values[row] for name, values in lists.items()} for row in range(len(rows))]}


def _plain(value: Any) -> Any:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests with `server.model`."""

    # Clients keep their connections.
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        model = self.server.model
        if self.path == f"/v1/models/{model.name}":
            state = {"version": model.version, "state": "AVAILABLE", "status": {"error_code": "OK"}}
            self._send(200, json.dumps({"model_version_status": [state]}, indent=1))
        elif self.path == METRICS_PATH:
            name = ":tensorflow:serving:request_count"
            lines = [f'{name}{{model_name="{model.name}",status="{key}"}} {n}' for key, n in model.counts.items()]
            self._send(200, "\n".join([f"# TYPE {name} counter", *lines, ""]), "text/plain")
        else:
            self._send(404, json.dumps({"error": f"no such path: {self.path}"}))

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        if size > MOST_BYTES or self.path != f"/v1/models/{self.server.model.name}:predict":
            self.close_connection = True
            self._send(404, json.dumps({"error": "no such path, or a request that is too large"}))
            return
        try:
            request = json.loads(self.rfile.read(size))
        except ValueError as error:
            self._send(400, json.dumps({"error": f"JSON Parse error: {error}"}))
            return
        status, content = self.server.model.answer(request)
        self._send(status, json.dumps(content))

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server of one model."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, model: Model, port: int) -> None:
        super().__init__(("localhost", port), Handler)
        self.model = model


@contextlib.contextmanager
def running_server(folder: pathlib.Path, port: int = 0, num_threads: int = 2) -> Iterator[str]:
    """The address of a model, such as http://localhost:8501/v1/models/pose, while it is served."""
    server = Server(Model(folder, num_threads), port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/v1/models/{server.model.name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the model, with a folder for each version")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="requests that run at once")
    arguments = parser.parse_args()
    with (
        running_server(arguments.folder, arguments.port, arguments.threads) as address,
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(f"serving {address}; Ctrl-C ends", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
