"""Writes bare networks as files for other runtimes: LiteRT (TensorFlow Lite) and ONNX.

The program that runs these files must do the steps around the networks itself, from cutting crops to decoding heatmaps;
see `tfpose.inference`.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpose.inference.litert_network import open_interpreter
from tfpose.models.upsampling import joining_copies
from tfpose.stderr_filter import held_back

Arrays = dict[str, np.ndarray]
SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
# Largest difference of an output, as a share of its largest value, or of 1 where all values are smaller.
TOLERANCE = 1e-4
_ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
_ONNX_OPSET = 17
# From so many weights on, the converter itself makes constants of them: it is slower for small networks, but holds
# fewer copies, and constants in a graph must stay below 2 GB.
_LARGE_NETWORK = 2**24
_LITERT_OPERATORS = ("Custom ops:", "Flex ops:")


def check_formats(formats: Sequence[str]) -> None:
    """Checks that networks can be written in these formats.

    Raises:
        ValueError: A format is unknown, or needs packages that are not installed.
    """
    unknown = [name for name in formats if name not in SUFFIXES]
    if unknown:
        raise ValueError(f"--convert must be some of {', '.join(SUFFIXES)}, got {unknown[0]!r}")
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in formats and missing:
        raise ValueError(f"--convert=onnx requires {', '.join(missing)}; run pip install 'tfpose[onnx]'")


def write_converted(
    networks: Mapping[str, keras.Model], formats: Sequence[str], directory: pathlib.Path
) -> dict[str, float]:
    """Writes each network in each format, after comparing its outputs with those of the original.

    Args:
        networks: Networks by file name. Each has a dict of outputs, batch normalization merged into its convolutions,
            and takes any batch size.
        formats: Formats to write, some of `SUFFIXES`.
        directory: Folder for `<name>.tflite` and `<name>.onnx`. Inputs and outputs have the names of the network's.

    Returns:
        Largest difference of any output by file name, as a share of the output's largest value or of 1.

    Raises:
        ValueError: See `check_formats`; or an operator has no counterpart in a format, or the outputs differ by more
            than `TOLERANCE`.
    """
    check_formats(formats)
    converters = {"litert": _convert_to_litert, "onnx": _convert_to_onnx}
    directory.mkdir(parents=True, exist_ok=True)
    differences = {}
    for name, network in networks.items():
        for file_format in formats:
            path = directory / f"{name}{SUFFIXES[file_format]}"
            try:
                data, run = converters[file_format](network)
                difference = compare_outputs(network, run)
            except Exception as error:  # The converters' libraries raise errors of any kind.
                reason = _describe_failure(error)
                raise ValueError(f"{path.name}: cannot be converted to {file_format}: {reason}") from error
            if not difference <= TOLERANCE:
                raise ValueError(f"{path.name}: outputs must differ by at most {TOLERANCE}, got {difference}")
            path.write_bytes(data)
            differences[path.name] = difference
    return differences


def compare_outputs(network: keras.Model, run: Callable[[Arrays], Arrays], batch_size: int = 2) -> float:
    """Compares a network's outputs with those of its converted form on random inputs.

    Args:
        network: Network with a dict of outputs.
        run: Function that runs the converted form, from inputs by name to outputs by name.
        batch_size: Number of random inputs.

    Returns:
        Largest difference, as a share of the output's largest value, or of 1 where all values are smaller; NaN if an
        output is not finite.
    """
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-1, 1, (batch_size, *tensor.shape[1:])).astype(np.float32) for tensor in network.inputs]
    expected = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    found = run(dict(zip(_input_names(network), inputs, strict=True)))
    shares = []
    for name, values in expected.items():
        values = keras.ops.convert_to_numpy(values)
        shares.append(np.abs(found[name] - values).max() / max(1.0, np.abs(values).max()))
    return float(np.max(shares))


def _describe_failure(error: Exception) -> str:
    """Returns one line of a converter's error: LiteRT's line that names operators without counterpart, or the first."""
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line for line in lines if line.startswith(_LITERT_OPERATORS)), lines[0])


def _input_names(network: keras.Model) -> list[str]:
    return [tensor.name for tensor in network.inputs]


def _convert_to_litert(network: keras.Model) -> tuple[bytes, Callable[[Arrays], Arrays]]:
    with held_back():
        data = build_litert_converter(network).convert()
    return data, lambda inputs: open_interpreter(data).get_signature_runner()(**inputs)


def build_litert_converter(network: keras.Model) -> Any:
    """Returns TensorFlow's converter to LiteRT of a network with a dict of outputs."""
    with joining_copies(network):
        return _build_litert_converter(network)


def _build_litert_converter(network: keras.Model) -> Any:
    module = tf.Module()
    if sum(np.prod(variable.shape) for variable in network.variables) < _LARGE_NETWORK:
        call = _with_constants(network)
    else:
        call = functools.partial(network, training=False)
        module.kept = [variable.value for variable in network.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions([_trace(network, call)], module)


def _with_constants(network: keras.Model) -> Callable[[Any], Any]:
    """Returns a function that computes what a network does, whose graph holds the weights.

    To replace the variables of a graph by constants takes longer than to trace it.
    """
    trainable, others = (
        [keras.ops.convert_to_numpy(variable) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )

    def call(inputs: Any) -> Any:
        weights = [[tf.constant(values) for values in group] for group in (trainable, others)]
        return network.stateless_call(*weights, inputs, training=False)[0]

    return call


def _trace(network: keras.Model, call: Callable[[Any], Any]) -> Any:
    """Returns as a concrete function what `call` computes from the inputs of a network.

    To convert a Keras model itself takes several times as long, because Keras saves each of its layers.
    """
    names = _input_names(network)

    def call_by_name(**tensors: tf.Tensor) -> Mapping[str, tf.Tensor]:
        inputs = [tensors[name] for name in names]
        return call(inputs if len(inputs) > 1 else inputs[0])

    signature = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in network.inputs}
    return tf.function(call_by_name, autograph=False).get_concrete_function(**signature)


def _convert_to_onnx(network: keras.Model) -> tuple[bytes, Callable[[Arrays], Arrays]]:
    import onnxruntime
    import tf2onnx

    def call(*tensors: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return network(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in network.inputs]
    model, _ = tf2onnx.convert.from_function(tf.function(call), input_signature=signature, opset=_ONNX_OPSET)
    data = model.SerializeToString()

    def run(inputs: Arrays) -> Arrays:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))

    return data, run
