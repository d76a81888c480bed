"""Answers requests from several threads with exported SavedModels, in a process that has TensorFlow and no tfpose.

    python serve_requests.py MODELS REQUESTS ANSWERS

MODELS is a JSON object from names to folders, REQUESTS a list of objects with `name`, `model`, `signature`, `images`
(base64) and, where the signature takes them, `boxes`. Each request is answered twice, first by several threads in an
order by lot, by the model as `tf.saved_model.load` reads it and as TensorFlow Serving does, by a session. ANSWERS gets
a list of objects with `name`, `loader`, `phase`, and `outputs` or `error` and `message`.
"""

from __future__ import annotations

import base64
import concurrent.futures
import json
import pathlib
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

NUM_THREADS = 4
Call = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def load_by_signatures(folder: str) -> Call:
    """The model as Python programs use it."""
    model = tf.saved_model.load(folder)

    def call(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = model.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return call


def load_by_session(folder: str) -> Call:
    """The model as TensorFlow Serving runs it: one session, tensors fed and fetched by name."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def

    def call(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        definition = signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: tensor.name for name, tensor in definition.outputs.items()}, feeds)

    return call


LOADERS = {"signatures": load_by_signatures, "session": load_by_session}


def answer(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a request as lists, or its error."""
    inputs = {"image_bytes": np.array([base64.b64decode(data) for data in request["images"]], object)}
    if "boxes" in request:
        inputs["boxes"] = np.array(request["boxes"], np.float32).reshape(request["boxes_shape"])
    try:
        outputs = call(request["signature"], inputs)
    except Exception as error:  # Whatever comes out is what the test looks at.
        return {"error": type(error).__name__, "message": str(error)}
    return {"outputs": {name: value.tolist() for name, value in outputs.items()}}


def main(models_file: str, requests_file: str, answers_file: str) -> None:
    """Loads, answers from threads, then once more one after the other."""
    models, requests = (json.loads(pathlib.Path(path).read_text()) for path in (models_file, requests_file))
    answers = []
    for loader, load in LOADERS.items():
        calls = {name: load(folder) for name, folder in models.items()}
        drawn = random.Random(0).sample(requests, len(requests))
        with concurrent.futures.ThreadPoolExecutor(NUM_THREADS) as pool:
            found = list(pool.map(lambda request, calls=calls: answer(calls[request["model"]], request), drawn))
        later = [answer(calls[request["model"]], request) for request in requests]
        for phase, asked, given in (("together", drawn, found), ("later", requests, later)):
            answers += [
                {"name": request["name"], "loader": loader, "phase": phase, **one}
                for request, one in zip(asked, given, strict=True)
            ]
    pathlib.Path(answers_file).write_text(json.dumps(answers))
    print(f"{len(answers)} answers, tfpose is {sys.modules['tfpose']}")


if __name__ == "__main__":
    sys.modules["tfpose"] = None  # From here on `import tfpose` fails.
    main(*sys.argv[1:])
