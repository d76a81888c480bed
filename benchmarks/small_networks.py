"""Compares inference of the small networks, PP-TinyPose and PicoDet-S, with other runtimes on a CPU.

    pip install 'tfpose[onnx]' openvino
    python benchmarks/small_networks.py

Each network has random weights and batch normalization merged into its convolutions. The sides are the graph in
TensorFlow, as in an exported SavedModel, the LiteRT file, and the ONNX file in onnxruntime and in OpenVINO, each with
as many threads as the machine has cores. All sides run in turn, so that other load on the machine slows all; the
smallest times are compared. A runtime that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from inference_graph import compile_network, randomize_normalizations
from results_file import RECORD_HELP, ratios, record

from tfpose.exporting.conversion import write_converted
from tfpose.models.picodet import build_picodet
from tfpose.models.simplification import simplify_network
from tfpose.models.tinypose import build_tinypose

NUM_JOINTS = 17
NUM_THREADS = os.cpu_count() or 1
NUM_WARMUP_RUNS = 3
Run = Callable[[], object]


def build_named(name: str) -> keras.Model:
    """A network whose normalizations are not trivial, so that nothing of them vanishes from the graph."""
    keras.utils.set_random_seed(0)
    builders = {
        "tinypose_256x192": lambda: build_tinypose(NUM_JOINTS, input_size=(256, 192)),
        "tinypose_128x96": lambda: build_tinypose(NUM_JOINTS, input_size=(128, 96)),
        "picodet_s_320": lambda: build_picodet(input_size=(320, 320)),
        "picodet_s_192": lambda: build_picodet(input_size=(192, 192)),
    }
    network = builders[name]()
    randomize_normalizations(network)
    network = simplify_network(network)
    outputs = network.output if isinstance(network.output, dict) else {"heatmaps": network.output}
    return keras.Model(network.inputs, outputs, name=name)


def build_sides(network: keras.Model, batch: int, folder: pathlib.Path) -> dict[str, Run]:
    """Functions that run the network once, by runtime."""
    _, height, width, channels = network.inputs[0].shape
    images = np.random.default_rng(0).standard_normal((batch, height, width, channels), np.float32)
    sides = {"TensorFlow": compile_network(network, tf.constant(images))}
    formats = ["litert"]
    if all(importlib.util.find_spec(package) for package in ("tf2onnx", "onnx", "onnxruntime")):
        formats.append("onnx")
    write_converted({network.name: network}, formats, folder)
    sides["LiteRT"] = _litert(folder / f"{network.name}.tflite", images)
    if "onnx" in formats:
        sides["onnxruntime"] = _onnxruntime(folder / f"{network.name}.onnx", images)
        if importlib.util.find_spec("openvino"):
            sides["OpenVINO"] = _openvino(folder / f"{network.name}.onnx", images)
    return sides


def _litert(path: pathlib.Path, images: np.ndarray) -> Run:
    interpreter = tf.lite.Interpreter(str(path), num_threads=NUM_THREADS)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def run() -> object:
        interpreter.set_tensor(place, images)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    return run


def _onnxruntime(path: pathlib.Path, images: np.ndarray) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = NUM_THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})


def _openvino(path: pathlib.Path, images: np.ndarray) -> Run:
    import openvino

    core = openvino.Core()
    # Otherwise it computes in bfloat16 where the processor can.
    config = {"INFERENCE_NUM_THREADS": NUM_THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = core.read_model(str(path))
    model.reshape(list(images.shape))
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer([images])


def time_in_turn(sides: dict[str, Run], num_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every round, by side."""
    for run in sides.values():
        for _ in range(NUM_WARMUP_RUNS):
            run()
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(num_rounds):
        for side, run in sides.items():
            start = time.perf_counter()
            run()
            times[side].append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Times all networks and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["tinypose_256x192", "picodet_s_320"], help="names")
    parser.add_argument("--batch", type=int, default=1, help="crops or images in a call")
    parser.add_argument("--rounds", type=int, default=100, help="runs of each side")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    options = parser.parse_args()
    print(f"tensorflow {tf.__version__}, {NUM_THREADS} threads, load average {os.getloadavg()[0]:.1f}")
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            times = time_in_turn(build_sides(build_named(name), options.batch, pathlib.Path(folder)), options.rounds)
        print(f"{name}, batch {options.batch}: milliseconds of a call, smallest and median")
        for side, values in times.items():
            print(f"  {side:12} {min(values):8.2f} {float(np.median(values)):8.2f}")
        others = {side: values for side, values in times.items() if side not in ("TensorFlow", "LiteRT")}
        best = min(others.values(), key=min, default=None)
        if best:
            for side in ("TensorFlow", "LiteRT"):
                print(f"  {side} / best of the others: {min(times[side]) / min(best):.2f}")
        if options.record:
            prefix = f"small_networks.{name}.batch_{options.batch}"
            measured = {f"{prefix}.{side.lower()}": (values, "ms") for side, values in times.items()}
            if best:
                measured[f"{prefix}.litert_ratio"] = (ratios(times["LiteRT"], best), "times")
            record(measured)


if __name__ == "__main__":
    main()
