"""Calls of exported SavedModels, in this process and in one without tfpose."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap

import numpy as np
import tensorflow as tf

_WITHOUT_TFPOSE = """
import pathlib, sys, zlib
sys.path = [path for path in sys.path if not pathlib.Path(path or ".", "tfpose").is_dir()]
sys.modules["tfpose"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
data = tf.constant([pathlib.Path(sys.argv[2]).read_bytes()])
"""


# One at a time: each holds hundreds of megabytes.
@functools.lru_cache(maxsize=1)
def load(output):
    return tf.saved_model.load(str(output))


def call(output, image_bytes):
    signature = load(output).signatures["serving_default"]
    return {name: values.numpy() for name, values in signature(image_bytes=tf.constant(image_bytes)).items()}


def pictures(table):
    return [table.read_image_bytes(row) for row in range(table.num_images)]


def run_without_tfpose(statements, output, image_bytes, folder):
    """What statements print about `model` and `data`, the loaded SavedModel and a batch of one encoded picture."""
    (folder / "image.jpg").write_bytes(image_bytes)
    program = _WITHOUT_TFPOSE + textwrap.dedent(statements)
    command = [sys.executable, "-c", program, str(output), str(folder / "image.jpg")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def slices_backwards(output):
    """Names of the operations of a SavedModel that slice with a stride below 0."""
    found = []
    for signature in load(output).signatures.values():
        graph = signature.graph.as_graph_def()
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"}
            strides = {node.name: node.input[3].split(":")[0] for node in nodes if node.op == "StridedSlice"}
            found += [name for name, stride in strides.items() if np.any(constants.get(stride, np.zeros(1)) < 0)]
    return found
