"""Calls of exported SavedModels, in this process and in one without tfpose."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap

import tensorflow as tf

_WITHOUT_TFPOSE = """
import pathlib, sys, zlib
sys.path = [path for path in sys.path if not pathlib.Path(path or ".", "tfpose").is_dir()]
sys.modules["tfpose"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
data = tf.constant([pathlib.Path(sys.argv[2]).read_bytes()])
"""


@functools.cache
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
