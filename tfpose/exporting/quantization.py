"""Makes LiteRT files of keypoint networks with weights and activations of 8 bits.

`quantize_weights` stores the weights in 8 bits, one scale for each output channel, and computes most of a network in
float32. `quantize_convolutions` lets convolutions compute in 8 bits too. For that it needs pictures, from which it
learns the range of each activation.

The converter's default, which quantizes all operations, breaks light networks. A sum of two branches and a channel of
small values beside a channel of large ones do not fit one scale of 8 bits. So only convolutions are quantized, and of
these the coarsest stay in float32: those whose step, the difference of two neighboring values of 8 bits, is largest
beside the standard deviation of their inputs or outputs, above all if their kernel is small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpose.exporting.conversion import build_litert_converter
from tfpose.inference.litert_network import open_interpreter
from tfpose.stderr_filter import held_back

# Operations that are quantized, and the positions of image and kernel among their inputs.
_QUANTIZED_OPERATIONS = {"CONV_2D": (0, 1), "TRANSPOSE_CONV": (2, 1)}
# Shares of the convolutions that may stay in float32, in the order in which they are tried.
_FLOAT_SHARES = (0.0, 0.25, 0.5)
_NUM_STEPS = 255
_SMALLEST = 1e-9
# From the content of a LiteRT file to the distance of its results from those of the original network.
Measure = Callable[[bytes], float]


@dataclasses.dataclass(frozen=True)
class QuantizedNetwork:
    """A quantized network.

    Attributes:
        content: Content of the LiteRT file. Inputs and outputs are float32.
        float_layers: Names of the convolutions that stay in float32, the coarsest first.
        num_convolutions: Number of all convolutions.
    """

    content: bytes
    float_layers: tuple[str, ...] = ()
    num_convolutions: int = 0


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """A convolution: the name of its output tensor, and its coarseness."""

    name: str
    coarseness: float


def quantize_weights(network: keras.Model) -> QuantizedNetwork:
    """Returns a network whose weights have 8 bits. Activations are float32.

    Args:
        network: Network with one input and a dict of outputs, batch normalization merged into its convolutions.
    """
    converter = build_litert_converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with held_back():
        return QuantizedNetwork(converter.convert())


def quantize_convolutions(
    network: keras.Model, float_content: bytes, images: np.ndarray, measure: Measure, most_distance: float
) -> QuantizedNetwork:
    """Returns a network whose convolutions compute in 8 bits, except for those that would cost too much accuracy.

    More and more convolutions, the coarsest first, stay in float32 until the results are near enough to those of the
    original, or half of the convolutions are in float32. All other operations compute in float32.

    Args:
        network: As for `quantize_weights`.
        float_content: Content of the LiteRT file of the network in float32.
        images: Inputs [N, H, W, 3] float32, from which the ranges of the activations are learned.
        measure: Function that compares a LiteRT file with the original.
        most_distance: Distance that is near enough.

    Raises:
        ValueError: There are no images, or the network has no convolutions.
    """
    if not len(images):
        raise ValueError("calibration must have at least one person, got none")
    convolutions, others = _rank_convolutions(float_content, images)
    with _calibrated(network, images) as quantize:
        for share in _FLOAT_SHARES:
            kept = convolutions[: math.ceil(share * len(convolutions))]
            content = quantize(others, [convolution.name for convolution in kept])
            if measure(content) <= most_distance:
                break
    layers = tuple(_layer_name(convolution.name, network) for convolution in kept)
    return QuantizedNetwork(content, layers, len(convolutions))


def _layer_name(tensor: str, network: keras.Model) -> str:
    """Returns the name of the layer that a tensor comes from, to which Keras adds a number at the second call."""
    names = {layer.name for layer in network.layers}
    parts = tensor.split(";")[0].split("/")
    found = (part if part in names else part.rpartition("_")[0] for part in parts)
    return next((part for part in found if part in names), tensor)


@contextlib.contextmanager
def _calibrated(network: keras.Model, images: np.ndarray) -> Iterator[Callable[[list[str], list[str]], bytes]]:
    """Yields a function from kinds of operations and names of tensors that stay in float32 to a quantized network."""
    converter = build_litert_converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    with warnings.catch_warnings(), held_back():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset
        )

    def quantize(operations: list[str], tensors: list[str]) -> bytes:
        debugger.options.denylisted_ops, debugger.options.denylisted_nodes = operations, tensors
        with held_back():
            return debugger.get_nondebug_quantized_model()

    yield quantize


def _rank_convolutions(content: bytes, images: np.ndarray) -> tuple[list[_Convolution], list[str]]:
    """Returns the convolutions of a LiteRT file, the coarsest first, and the kinds of all other operations."""
    interpreter = open_interpreter(content, keeps_tensors=True)
    operations = interpreter._get_ops_details()  # No public function tells the operations of a file.
    others = sorted({operation["op_name"] for operation in operations} - {*_QUANTIZED_OPERATIONS, "DELEGATE"})
    found = [operation for operation in operations if operation["op_name"] in _QUANTIZED_OPERATIONS]
    if not found:
        raise ValueError(f"the network must have convolutions to quantize, got {', '.join(others)}")
    places = {_image_of(operation) for operation in found} | {operation["outputs"][0] for operation in found}
    steps = _relative_steps(interpreter, images, places)
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    convolutions = []
    for operation in found:
        output = operation["outputs"][0]
        kernel = details[operation["inputs"][_QUANTIZED_OPERATIONS[operation["op_name"]][1]]]
        step = max(steps[_image_of(operation)], steps[output])
        convolutions.append(_Convolution(details[output]["name"], step / math.sqrt(np.prod(kernel["shape"]))))
    return sorted(convolutions, key=lambda convolution: -convolution.coarseness), others


def _image_of(operation: dict[str, Any]) -> int:
    return int(operation["inputs"][_QUANTIZED_OPERATIONS[operation["op_name"]][0]])


def _relative_steps(interpreter: Any, images: np.ndarray, places: set[int]) -> dict[int, float]:
    """Returns the steps of tensors in 8 bits, as shares of their standard deviations, by place."""
    (place,) = (detail["index"] for detail in interpreter.get_input_details())
    lowest, highest = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    deviations: dict[int, list[float]] = {place: [] for place in places}
    for image in images:
        interpreter.set_tensor(place, image[None])
        interpreter.invoke()
        for index in places:
            values = interpreter.get_tensor(index)
            lowest[index] = min(lowest[index], float(values.min()))
            highest[index] = max(highest[index], float(values.max()))
            deviations[index].append(float(values.std()))
    return {
        index: (highest[index] - lowest[index]) / _NUM_STEPS / max(float(np.mean(deviations[index])), _SMALLEST)
        for index in places
    }
