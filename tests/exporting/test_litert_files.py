"""Prediction by networks in LiteRT files: the poses of TensorFlow, and files that are written once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_weights import build_random
from small_system import random_network, small_system

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.exporting import conversion, litert_files
from tfpose.exporting.conversion import write_converted
from tfpose.exporting.two_stage import bare_networks
from tfpose.inference.detected_boxes import DETECTOR, BoxSettings
from tfpose.inference.keypoint_system import write_keypoint_system
from tfpose.inference.litert_network import LitertNetwork, open_interpreter
from tfpose.inference.picodet_system import PicodetSettings, write_picodet_settings
from tfpose.models.simplification import simplify_network
from tfpose.models.tinypose import build_tinypose
from tfpose.prediction.model import function_of_frames
from tfpose.systems.loading import load_pose_model
from tfpose.systems.system import RunChoice


def build_two_outputs() -> keras.Model:
    images = keras.Input((8, 6, 3), name="images")
    small = keras.layers.Conv2D(2, 3, name="small")(images)
    return keras.Model(images, {"small": small, "mean": keras.layers.GlobalAveragePooling2D()(small)})


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_outputs_are_those_of_the_network(tmp_path, batch, is_large, monkeypatch):
    if is_large:
        monkeypatch.setattr(conversion, "_LARGE_NETWORK", 1)
    network = build_two_outputs()
    write_converted({"net": network}, ["litert"], tmp_path)
    converted = LitertNetwork(tmp_path / "net.tflite")
    in_graph = tf.function(lambda images: converted(images, training=False), [tf.TensorSpec((None, 8, 6, 3))])
    images = np.random.default_rng(0).random((batch, 8, 6, 3), np.float32)
    found = in_graph(tf.constant(images))
    assert set(found) == {"small", "mean"} and found["small"].shape == (batch, 6, 4, 2)
    if batch:
        for name, values in network(images).items():
            np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_the_fast_operators_compute_all_of_a_tinypose(tmp_path):
    network = simplify_network(build_random(lambda: build_tinypose(5, 16, (64, 64), (1, 2, 1)), lambda path: 0.3))
    write_converted(bare_networks(network), ["litert"], tmp_path)
    operations = open_interpreter(tmp_path / "keypoints.tflite")._get_ops_details()
    # XNNPACK takes a part of the graph for each stretch of operators that it knows.
    assert [operation["op_name"] for operation in operations].count("DELEGATE") == 1


def test_calls_from_several_threads_do_not_mix(tmp_path):
    network = build_two_outputs()
    write_converted({"net": network}, ["litert"], tmp_path)
    converted = LitertNetwork(tmp_path / "net.tflite", num_threads=3)
    batches = np.random.default_rng(0).random((16, 5, 8, 6, 3), np.float32)
    expected = [network(images)["small"].numpy() for images in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda images: converted(images)["small"].numpy(), batches))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_only_output_is_no_dict(tmp_path):
    network = build_two_outputs()
    write_converted({"net": keras.Model(network.input, {"small": network.output["small"]})}, ["litert"], tmp_path)
    assert LitertNetwork(tmp_path / "net.tflite")(tf.zeros((2, 8, 6, 3))).shape == (2, 6, 4, 2)


@pytest.mark.parametrize("num_bytes", [0, 300])
def test_a_file_that_is_cut_short_is_named(num_bytes, tmp_path):
    write_converted({"net": build_two_outputs()}, ["litert"], tmp_path)
    path = tmp_path / "net.tflite"
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match=r"net.tflite: must be a whole LiteRT file"):
        LitertNetwork(path)


def test_a_file_is_written_once(tmp_path, capsys):
    calls = []

    def build():
        calls.append(1)
        return build_two_outputs()

    first, second = (litert_files.prepare_litert(tmp_path, build) for _ in range(2))
    assert first == second and first.is_file() and len(calls) == 1
    captured = capsys.readouterr()
    assert captured.err == f"note: {tmp_path}: converting the network to LiteRT, which is done once\n"
    assert not captured.out


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda content: bytes(len(content))])
def test_a_broken_file_is_written_again(tmp_path, damage):
    path = litert_files.prepare_litert(tmp_path, build_two_outputs)
    path.write_bytes(damage(path.read_bytes()))
    LitertNetwork(litert_files.prepare_litert(tmp_path, build_two_outputs))


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    def fail(networks, formats, folder):
        (folder / "inference.tflite").write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(litert_files, "write_converted", fail)
    with pytest.raises(OSError, match="no space left"):
        litert_files.prepare_litert(tmp_path, build_two_outputs)
    assert not list(tmp_path.rglob("*.tflite"))


@pytest.fixture
def run(tmp_path) -> RunChoice:
    """A two-stage system and a detector that takes the first cells of a picture for people."""
    keypoints, detector = tmp_path / "keypoints", tmp_path / "detector"
    write_keypoint_system(keypoints, small_system())
    write_weights(random_network(small_system()), keypoints / BEST_WEIGHTS_NAME)
    settings = PicodetSettings(input_size=(64, 64), width=16, scale=0.25, score_threshold=0.0, max_people=4)
    write_picodet_settings(detector, settings)
    write_weights(build_random(settings.build_network, lambda path: 0.2), detector / BEST_WEIGHTS_NAME)
    return RunChoice(keypoints, boxes=BoxSettings(DETECTOR, str(detector), score_threshold=0.0))


def test_poses_are_those_of_tensorflow(run):
    frame = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    by_runtime = {}
    for prefers_litert in (False, True):
        choice = RunChoice(run.workdir, boxes=run.boxes, prefers_litert=prefers_litert)
        by_runtime[prefers_litert] = load_pose_model(choice).predict([frame])[0]
        files = [pathlib.Path(folder, "inference.tflite") for folder in (run.workdir, run.boxes.detector)]
        assert [file.is_file() for file in files] == [prefers_litert] * 2
    assert len(by_runtime[True]) == len(by_runtime[False]) > 0
    np.testing.assert_allclose(by_runtime[True].boxes, by_runtime[False].boxes, atol=0.01)
    np.testing.assert_allclose(by_runtime[True].keypoints, by_runtime[False].keypoints, atol=0.1)


def test_poses_do_not_depend_on_the_frames_beside_them(run):
    frames = list(np.random.default_rng(1).integers(0, 256, (5, 90, 120, 3), np.uint8))
    model = load_pose_model(RunChoice(run.workdir, boxes=run.boxes, prefers_litert=True))
    alone = [model.predict([frame])[0] for frame in frames]
    together = model.predict(frames)
    assert len({len(poses) for poses in alone} - {0}) > 0
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_few_frames_have_the_same_poses_without_a_graph(run, monkeypatch):
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 256, size, np.uint8) for size in ((90, 120, 3), (700, 900, 3))]
    graphs: list[bool] = []

    def build(function, needs_graph):
        graphs.append(needs_graph)
        return function_of_frames(function, needs_graph)

    monkeypatch.setattr("tfpose.systems.two_stage.function_of_frames", build)
    counts = (None, 100, 2)
    choices = [dataclasses.replace(run, prefers_litert=True, num_frames=count) for count in counts]
    in_graph, _, without_graph = map(load_pose_model, choices)
    assert graphs == [True, True, False]
    for frame in frames:
        expected, found = (model.predict([frame])[0] for model in (in_graph, without_graph))
        assert len(expected) > 0
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


def test_a_frame_without_people_needs_no_graph(run):
    nobody = dataclasses.replace(run.boxes, score_threshold=0.999)
    model = load_pose_model(dataclasses.replace(run, boxes=nobody, prefers_litert=True, num_frames=1))
    assert [len(poses) for poses in model.predict([np.zeros((90, 120, 3), np.uint8)])] == [0]


def test_a_folder_that_cannot_be_written_means_tensorflow(run, monkeypatch, capsys):
    def refuse(workdir, build_network):
        raise PermissionError(13, "Permission denied", str(workdir))

    monkeypatch.setattr("tfpose.systems.two_stage.prepare_litert", refuse)
    model = load_pose_model(RunChoice(run.workdir, boxes=run.boxes, prefers_litert=True))
    assert "Permission denied; TensorFlow runs the networks instead of LiteRT" in capsys.readouterr().err
    assert len(model.predict([np.zeros((90, 120, 3), np.uint8)])) == 1
