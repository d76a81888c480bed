"""The SavedModel of the single heatmap network, and its bare networks for other runtimes."""

import importlib.util
import zlib

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from record_writing import synthetic_image, write_dataset
from saved_model_calls import call, pictures, run_without_tfpose, slices_backwards
from small_single_network import random_pose_unet, small_single_network

from tfpose.data.records import read_table
from tfpose.exporting import conversion
from tfpose.exporting.single_network import SingleNetworkModule, export_single_network
from tfpose.exporting.two_stage import trace
from tfpose.inference.single_network import predict_frames
from tfpose.inference.single_network_system import build_inference_network, build_inference_parts
from tfpose.skeletons import POSETRACK15

SIZES = [(120, 160), (50, 90), (300, 200), (64, 96), (131, 77)]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Noisy pictures of several sizes, JPEG and PNG, two of which are shrunk to less than half."""
    images = [synthetic_image(i, POSETRACK15, size=size) for i, size in enumerate(SIZES)]
    picture = cv2.imdecode(np.frombuffer(images[1]["image"], np.uint8), cv2.IMREAD_COLOR)
    images[1]["image"] = cv2.imencode(".png", picture)[1].tobytes()
    return read_table(write_dataset(tmp_path_factory.mktemp("data"), POSETRACK15, images), "train")


@pytest.fixture(scope="module")
def exported(served_models):
    system = small_single_network()
    return system, random_pose_unet(system), served_models.path("single_network")


@pytest.fixture(scope="module")
def half_network():
    return random_pose_unet(small_single_network(), precision="mixed_float16")


def call_unsaved(network, system, image_bytes):
    """The function of the signature, which takes less time than to write and read it."""
    function = trace(SingleNetworkModule(network, system).find_people, tf.TensorSpec([None], tf.string))
    return {name: values.numpy() for name, values in function(tf.constant(image_bytes)).items()}


def predict(system, network, table, batch_size=2):
    parts = build_inference_parts(build_inference_network(network, system), system)
    return predict_frames(*parts, table, system.fit, system.inference, batch_size)


def test_graphs_slice_forwards_only(exported):
    """TensorFlow's layout optimizer gives up at a stride below 0, and writes an error."""
    assert slices_backwards(exported[2]) == []


def test_saved_model_gives_the_poses_of_evaluation(exported, table):
    """Pictures of different sizes in one batch, here and there in batches of another size."""
    system, network, output = exported
    assert_poses_of_evaluation(call(output, pictures(table)), system, network, table)


def test_a_network_of_half_precision_gives_the_poses_of_evaluation(half_network, table):
    system = small_single_network()
    assert_poses_of_evaluation(call_unsaved(half_network, system, pictures(table)), system, half_network, table)


def assert_poses_of_evaluation(found, system, network, table):
    expected = predict(system, network, table)
    counts = [len(poses) for poses in expected]
    assert found["num_persons"].tolist() == counts
    assert len(set(counts)) > 1 and min(counts) > 0
    assert found["keypoints"].shape == (len(SIZES), max(counts), 15, 3)
    for row, poses in enumerate(expected):
        people = slice(len(poses))
        np.testing.assert_allclose(found["keypoints"][row, people, :, :2], poses.keypoints, atol=1e-3)
        np.testing.assert_allclose(found["keypoints"][row, people, :, 2], poses.joint_scores, atol=1e-5)
        np.testing.assert_allclose(found["boxes"][row, people], poses.boxes, atol=1e-3)
        np.testing.assert_allclose(found["scores"][row, people], poses.scores, atol=1e-5)
        for values in (found["keypoints"], found["boxes"], found["scores"]):
            assert not values[row, len(poses) :].any()


def test_exported_function_makes_the_flip_test(table):
    system = small_single_network(use_flip_test=True)
    network = random_pose_unet(system)
    expected, plain = (predict(s, network, table) for s in (system, small_single_network()))
    found = call_unsaved(network, system, pictures(table))
    assert found["num_persons"].tolist() == [len(poses) for poses in expected]
    for row, poses in enumerate(expected):
        np.testing.assert_allclose(found["keypoints"][row, : len(poses), :, :2], poses.keypoints, atol=1e-3)
        np.testing.assert_allclose(found["keypoints"][row, : len(poses), :, 2], poses.joint_scores, atol=1e-5)
    assert not np.allclose(expected[0].joint_scores[0], plain[0].joint_scores[0], atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_merged_normalization_gives_the_maps_of_training(exported, half_network, precision):
    system, network = exported[0], exported[1] if precision == "float32" else half_network
    merged = build_inference_network(network, system)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in merged.frame.layers)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 96, 3)).astype(np.float32)
    heads = np.array([[[3.0, 4.0], [20.0, 9.0]], [[10.0, 8.0], [1.0, 1.0]]], np.float32)
    # Half precision rounds by up to 5e-4 in each of the some twenty layers of a path.
    tolerance = 1e-5 if network.frame.layers[1].compute_dtype == "float32" else 1e-2
    expected, found = network(images, heads), merged(images, heads)
    assert float(np.abs(expected["person_maps"]).max()) > 1e-3
    for name, values in found.items():
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
        np.testing.assert_allclose(values, np.asarray(expected[name], np.float32), atol=tolerance, err_msg=name)


def test_pictures_without_people_have_no_columns(table):
    system = small_single_network(head_threshold=0.99)
    found = call_unsaved(random_pose_unet(system), system, pictures(table)[:3])
    assert found["num_persons"].tolist() == [0, 0, 0]
    assert found["keypoints"].shape == (3, 0, 15, 3)
    assert found["boxes"].shape == (3, 0, 4) and found["scores"].shape == (3, 0)


def test_no_pictures_at_all_are_fine(exported):
    found = call(exported[2], np.zeros(0, object))
    assert found["num_persons"].shape == (0,)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff cut", b"\x89PNG\r\n\x1a\n cut"])
def test_bytes_that_are_no_picture_are_a_clean_error(exported, table, data):
    _, _, output = exported
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(output, [table.read_image_bytes(0), data])


def test_truncated_pictures_are_a_clean_error(exported, table):
    _, _, output = exported
    for whole in pictures(table)[:2]:
        with pytest.raises(tf.errors.InvalidArgumentError):
            call(output, [whole[: len(whole) // 2]])


def test_saved_model_runs_where_there_is_only_tensorflow(exported, table, tmp_path):
    """In a process that cannot import tfpose the checksum of the keypoints is the same."""
    _, _, output = exported
    statements = """
        found = model.signatures["serving_default"](image_bytes=data)
        maps = model.signatures["heatmaps"](images=tf.zeros([1, 64, 96, 3]))
        print(zlib.crc32(found["keypoints"].numpy().round(2).tobytes()), *maps["head_maps"].shape)
        print(sorted(maps), *maps["joint_maps"].shape)
    """
    printed = run_without_tfpose(statements, output, table.read_image_bytes(0), tmp_path)
    here = call(output, [table.read_image_bytes(0)])["keypoints"]
    assert here.size > 0
    lines = printed.splitlines()
    assert lines[0].split() == [str(zlib.crc32(here.round(2).tobytes())), "1", "16", "24", "1"]
    assert lines[1] == "['head_maps', 'joint_maps'] 1 16 24 15"


def test_export_does_not_overwrite_what_is_no_saved_model(tmp_path):
    (tmp_path / "precious").mkdir()
    system = small_single_network()
    with pytest.raises(FileExistsError, match="must be a new folder or a SavedModel"):
        export_single_network(random_pose_unet(system), system, tmp_path / "precious")
    assert list(tmp_path.iterdir()) == [tmp_path / "precious"]


def small_parts():
    system = small_single_network()
    merged = build_inference_network(random_pose_unet(system), system)
    return {"frame": merged.frame, "person": merged.person}


def test_litert_gives_the_maps_of_both_networks(tmp_path):
    """For another batch size than the one compared at export."""
    parts = small_parts()
    differences = conversion.write_converted(parts, ["litert"], tmp_path)
    assert sorted(differences) == sorted(path.name for path in tmp_path.iterdir()) == ["frame.tflite", "person.tflite"]
    assert max(differences.values()) < conversion.TOLERANCE
    for name, network in parts.items():
        run = tf.lite.Interpreter(model_path=str(tmp_path / f"{name}.tflite")).get_signature_runner()
        assert conversion.compare_outputs(network, lambda inputs, run=run: run(**inputs), batch_size=3) < 1e-5


def test_onnx_gives_the_maps_of_both_networks(tmp_path):
    for package in ("tf2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs the extra tfpose[onnx]: {package} is not installed")
    import onnxruntime

    parts = small_parts()
    differences = conversion.write_converted(parts, ["onnx"], tmp_path)
    assert sorted(differences) == sorted(path.name for path in tmp_path.iterdir()) == ["frame.onnx", "person.onnx"]
    for name, network in parts.items():
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        assert [value.name for value in session.get_inputs()] == [tensor.name for tensor in network.inputs]
        outputs = [value.name for value in session.get_outputs()]

        def run(inputs, session=session, outputs=outputs):
            return dict(zip(outputs, session.run(outputs, inputs), strict=True))

        assert conversion.compare_outputs(network, run, batch_size=3) < 1e-5


def test_a_wrong_conversion_is_not_written(tmp_path, monkeypatch):
    def convert_badly(network):
        return b"model", lambda inputs: {"doubled": 2 * inputs["x"] + 1e-2}

    x = keras.Input((4,), name="x")
    network = keras.Model(x, {"doubled": 2 * x})
    monkeypatch.setattr(conversion, "_convert_to_litert", convert_badly)
    with pytest.raises(ValueError, match=r"net\.tflite: outputs must differ by at most 0\.0001, got 0\.0"):
        conversion.write_converted({"net": network}, ["litert"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_operator_without_counterpart_is_named(tmp_path):
    x = keras.Input((4,), name="x")
    network = keras.Model(x, {"y": keras.ops.erfinv(x)})
    with pytest.raises(ValueError, match=r"^net\.tflite: cannot be converted to litert: Custom ops: Erfinv$"):
        conversion.write_converted({"net": network}, ["litert"], tmp_path)


def test_formats_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    system = small_single_network()
    with pytest.raises(ValueError, match="--convert must be some of litert, onnx, got 'torch'"):
        export_single_network(random_pose_unet(system), system, tmp_path / "model", ["torch"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--convert=onnx requires tf2onnx, onnx, onnxruntime; run pip"):
        export_single_network(random_pose_unet(system), system, tmp_path / "model", ["onnx"])
    assert not list(tmp_path.iterdir())
