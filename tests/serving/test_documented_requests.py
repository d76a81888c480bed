"""The Python programs of docs/serve.md, run against a small stand-in of TensorFlow Serving's protocols.

The stand-in follows the published description of the REST API (row format, base64) and the messages of the gRPC
service; it is no test of the server.
"""

from __future__ import annotations

import base64
import concurrent.futures
import http.server
import json
import pathlib
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import cv2
import documentation_pages as pages
import numpy as np
import pytest
import tensorflow as tf

SNIPPETS = {block.directive: block.text for block in pages.read_blocks(pages.PROJECT / "docs" / "serve.md")}
REST_ADDRESS, GRPC_ADDRESS = "localhost:8501", "localhost:8500"


@pytest.fixture(scope="module")
def folder(served_models, tmp_path_factory) -> pathlib.Path:
    """Where the programs of the page run: a photo, and the two-stage system as models/pose."""
    folder = tmp_path_factory.mktemp("serve")
    noise = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    (folder / "photo.jpg").write_bytes(cv2.imencode(".jpg", cv2.resize(noise, (180, 240)))[1].tobytes())
    shutil.copytree(served_models.path("two_stage"), folder / "models" / "pose" / "1")
    return folder


@pytest.fixture(scope="module")
def signatures(served_models) -> Iterator[dict[str, Any]]:
    """Signatures by name, each of the system that has it."""
    models = {name: tf.saved_model.load(str(served_models.path(name))) for name in ("two_stage", "single_network")}
    yield {
        "from_boxes": models["two_stage"].signatures["from_boxes"],
        "serving_default": models["single_network"].signatures["serving_default"],
        "tolerant": models["single_network"].signatures["tolerant"],
    }


def plain(value: Any) -> Any:
    """A JSON value with its base64 objects as bytes."""
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def answer_rows(signatures: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The REST API's row format: a list of objects in, a list of objects out."""
    rows = request["instances"]
    inputs = {name: tf.constant([plain(row[name]) for row in rows]) for name in rows[0]}
    found = signatures[request.get("signature_name", "serving_default")](**inputs)
    lists = {name: values.numpy().tolist() for name, values in found.items()}
    return {"predictions": [{name: values[row] for name, values in lists.items()} for row in range(len(rows))]}


@pytest.fixture(scope="module")
def rest_address(signatures) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, content = 200, answer_rows(signatures, request)
            except tf.errors.InvalidArgumentError as error:
                status, content = 400, {"error": error.message}
            data = json.dumps(content).encode()
            self.send_response(status if self.path == "/v1/models/pose:predict" else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def run_snippet(name: str, folder: pathlib.Path, **addresses: str) -> str:
    code = SNIPPETS[name]
    for written, actual in addresses.items():
        assert written in code
        code = code.replace(written, actual)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_rest_request_with_a_picture_gets_poses(folder, signatures, rest_address):
    printed = run_snippet("served: serving_default", folder, **{REST_ADDRESS: rest_address})
    found = signatures["serving_default"](image_bytes=tf.constant([(folder / "photo.jpg").read_bytes()]))
    count, keypoints = printed.split(maxsplit=1)
    assert int(count) == found["num_persons"].numpy()[0] > 0
    np.testing.assert_allclose(json.loads(keypoints), found["keypoints"].numpy()[0], rtol=1e-4, atol=1e-3)


def test_rest_request_with_a_broken_picture_gets_the_poses_of_the_other(folder, signatures, rest_address):
    printed = run_snippet("served: tolerant", folder, **{REST_ADDRESS: rest_address})
    found = signatures["serving_default"](image_bytes=tf.constant([(folder / "photo.jpg").read_bytes()]))
    assert printed.splitlines() == [f"True {found['num_persons'].numpy()[0]}", "False 0"]


def test_rest_request_with_boxes_gets_poses(folder, rest_address):
    count, scores = run_snippet("served: from_boxes", folder, **{REST_ADDRESS: rest_address}).split(maxsplit=1)
    assert int(count) == 1
    assert json.loads(scores)[0] > 0 == json.loads(scores)[1]


def test_a_broken_picture_is_an_error_and_the_next_request_is_answered(folder, rest_address):
    body = json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(b"no picture").decode()}}]}).encode()
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"http://{rest_address}/v1/models/pose:predict", body)
    assert raised.value.code == 400
    assert "Unknown image file format" in json.loads(raised.value.read())["error"]
    run_snippet("served: from_boxes", folder, **{REST_ADDRESS: rest_address})


def answer_message(signatures: dict[str, Any], request: Any) -> dict[str, np.ndarray]:
    """The outputs of a PredictRequest."""
    inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
    found = signatures[request.model_spec.signature_name or "serving_default"](**inputs)
    return {name: values.numpy() for name, values in found.items()}


def test_grpc_request_gets_poses(folder, signatures):
    reason = "needs tensorflow-serving-api, as its readers do"
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=reason)
    services = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc", reason=reason)
    import grpc

    class Service(services.PredictionServiceServicer):
        def Predict(self, request, context):
            response = predict_pb2.PredictResponse()
            for name, values in answer_message(signatures, request).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    services.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        printed = run_snippet("served by grpc: from_boxes", folder, **{GRPC_ADDRESS: f"localhost:{port}"})
    finally:
        server.stop(None)
    assert printed.strip() == "(1, 1, 15, 3)"


def test_warm_up_requests_are_where_the_server_looks_and_can_be_answered(folder, signatures):
    reason = "needs tensorflow-serving-api, as its readers do"
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=reason)
    run_snippet("warm-up", folder)
    path = folder / "models" / "pose" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert len(records) == 1
    request = logs.PredictionLog.FromString(records[0]).predict_log.request
    assert answer_message(signatures, request)["num_persons"].tolist() == [1]
