"""Networks in LiteRT files. On CPUs small networks start sooner in LiteRT than in TensorFlow, and are faster."""

from __future__ import annotations

import concurrent.futures
import pathlib
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tfpose.processes import num_cores
from tfpose.stderr_filter import held_back


class LitertNetwork:
    """A network in a LiteRT file, which is called in a TensorFlow graph like the Keras network that it was made of.

    It computes in float32, each image in a thread of its own. Several calls at a time share the threads. Its outputs
    differ from those of TensorFlow in the last digits.
    """

    def __init__(self, file: pathlib.Path | bytes, num_threads: int | None = None) -> None:
        """Opens a file that `tfpose.exporting.conversion` wrote.

        Args:
            file: Path or content of the file. The network has one input, images [1, H, W, 3] float32.
            num_threads: Number of threads; None for one per core.

        Raises:
            ValueError: The file is not a LiteRT file.
        """
        self._content = _read(file)
        # An image per thread: two threads of one interpreter take 0.7 to 0.9 of the time of one for a small network.
        self._threads = concurrent.futures.ThreadPoolExecutor(num_threads or num_cores(), "litert")
        self._idle: list[Any] = []
        try:
            interpreter = open_interpreter(self._content)
        except ValueError as error:
            name = "content" if isinstance(file, bytes) else file
            raise ValueError(f"{name}: must be a whole LiteRT file, got another: {error}") from error
        (self._input,) = (detail["index"] for detail in interpreter.get_input_details())
        outputs = interpreter.get_signature_runner().get_output_details()
        self._names = list(outputs)
        self._indices = [detail["index"] for detail in outputs.values()]
        # Sizes that the network computes itself are known after a run only.
        interpreter.invoke()
        self._shapes = [interpreter.get_tensor(index).shape[1:] for index in self._indices]
        self._idle.append(interpreter)

    def __call__(self, images: tf.Tensor, training: bool = False) -> Any:
        """Returns the outputs for images [B, H, W, 3] float32: a dict by name, or the only tensor [B, ...]."""
        del training
        found = tf.numpy_function(self._run, [images], [tf.float32] * len(self._names), stateful=False)
        # Outside of a graph the only output is not in a list.
        outputs = list(found) if isinstance(found, (list, tuple)) else [found]
        for output, shape in zip(outputs, self._shapes, strict=True):
            output.set_shape([None, *shape])
        return dict(zip(self._names, outputs, strict=True)) if len(outputs) > 1 else outputs[0]

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        results = [np.empty((len(images), *shape), np.float32) for shape in self._shapes]

        def run(row: int) -> None:
            for result, output in zip(results, self._run_image(images[row : row + 1]), strict=True):
                result[row] = output

        # The iterator raises the error of a thread.
        for _ in self._threads.map(run, range(len(images))):
            pass
        return results

    def _run_image(self, image: np.ndarray) -> list[np.ndarray]:
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = open_interpreter(self._content)
        interpreter.set_tensor(self._input, image)
        interpreter.invoke()
        found = [interpreter.get_tensor(index)[0] for index in self._indices]
        self._idle.append(interpreter)
        return found


def open_interpreter(file: pathlib.Path | bytes, num_threads: int = 1, keeps_tensors: bool = False) -> Any:
    """Returns the interpreter of a LiteRT file, or of the content of one, with its memory.

    Args:
        file: Path or content of the file.
        num_threads: Number of threads.
        keeps_tensors: Whether the values of all tensors can be read after a run, not only those of the outputs.

    Raises:
        ValueError: It is not a LiteRT file.
    """
    content = _read(file)
    with held_back(), warnings.catch_warnings():
        # TensorFlow asks for another package, which reads the same files.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve_all_tensors`")
        interpreter = tf.lite.Interpreter(
            model_content=content, num_threads=num_threads, experimental_preserve_all_tensors=keeps_tensors
        )
        interpreter.allocate_tensors()
    return interpreter


def _read(file: pathlib.Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()
