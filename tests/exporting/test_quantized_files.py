"""Quantized LiteRT files, and the evaluation of exported models."""

import json

import numpy as np
import program_runs
import pytest
import tensorflow as tf
from small_system import random_network, small_system, small_table
from two_stage_runs import write_detector_run, write_keypoint_run, write_pictures

from tfpose.checkpoints import load_for_inference
from tfpose.evaluation.person_scores import score_network
from tfpose.exporting import quantization, quantized_files
from tfpose.exporting.conversion import write_converted
from tfpose.exporting.quantized_files import QuantizationRequest, write_quantized
from tfpose.exporting.two_stage import bare_networks
from tfpose.inference.keypoint_system import read_keypoint_system
from tfpose.inference.litert_network import LitertNetwork
from tfpose.models.simplification import simplify_network
from tfpose.systems import two_stage
from tfpose.systems.system import RunChoice

CONFIG = "--config=two_stage_resnet50_coco"


@pytest.fixture(scope="module")
def network():
    return bare_networks(simplify_network(random_network(small_system())))["keypoints"]


@pytest.fixture(scope="module")
def float_content(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    write_converted({"network": network}, ["litert"], folder)
    return (folder / "network.tflite").read_bytes()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((3, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the work folder `run`."""
    root = tmp_path_factory.mktemp("exported")
    write_keypoint_run(root / "run")
    return root


@pytest.fixture(scope="module")
def folder(root):
    """The same folder with the export `plain` of the run, and the dataset `data`."""
    folder = root
    write_pictures(folder / "data")
    export(
        folder,
        "plain",
        "--convert=litert",
        "--quantize=weights,int8",
        f"--calibration={folder / 'data'}",
        "--calibration_split=val",
        "--quantize_score_split=val",
    )
    return folder


def export(folder, name, *flags):
    result = program_runs.run("-m", "tfpose.export", f"--workdir={folder / 'run'}", f"--output={folder / name}", *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    return result


def evaluate(folder, name, *flags):
    """Returns the joints of the people of each image, and the metrics."""
    output = folder / name
    data = f"--config.data.directory={folder / 'data'}"
    result = program_runs.run("eval_main.py", CONFIG, data, f"--output_dir={output}", *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    people = json.loads((output / "predictions.json").read_text())
    people = sorted(people, key=lambda person: (person["image_id"], -person["score"]))
    keypoints = np.array([person["keypoints"] for person in people]).reshape(len(people), -1, 3)
    return keypoints, json.loads((output / "metrics.json").read_text())


def outputs(content, images):
    return np.asarray(LitertNetwork(content)(tf.constant(images)))


@pytest.mark.slow
def test_weights_of_8_bits_make_a_smaller_file_with_nearly_the_same_heatmaps(network, images):
    expected = np.asarray(network(images)["heatmaps"])
    quantized = quantization.quantize_weights(network)
    found = outputs(quantized.content, images)
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert len(quantized.content) < 0.6 * 4 * network.count_params()


@pytest.mark.slow
def test_convolutions_stay_in_float_until_the_distance_is_small_enough(network, float_content, images):
    expected = np.asarray(network(images)["heatmaps"])
    distances = []

    def measure(content):
        distances.append(float(np.abs(outputs(content, images) - expected).max()))
        return distances[-1]

    most = quantization.quantize_convolutions(network, float_content, images, measure, np.inf)
    assert len(distances) == 1 and most.float_layers == ()
    half = quantization.quantize_convolutions(network, float_content, images, measure, -1.0)
    assert len(half.float_layers) == (half.num_convolutions + 1) // 2
    assert set(half.float_layers) <= {layer.name for layer in network.layers}
    assert len(half.content) > len(most.content)
    assert distances[-1] < distances[0]
    operations = [o["op_name"] for o in tf.lite.Interpreter(model_content=most.content)._get_ops_details()]
    assert "QUANTIZE" in operations and "DEQUANTIZE" in operations


def test_no_people_to_calibrate_with_is_an_error(network, images):
    with pytest.raises(ValueError, match="calibration must have at least one person, got none"):
        quantization.quantize_convolutions(network, b"", images[:0], lambda content: 0.0, 1.0)


@pytest.mark.slow
def test_an_export_writes_the_loss_of_accuracy_beside_each_file(folder):
    extra = folder / "plain" / "assets.extra"
    for name in ("keypoints_weights_int8", "keypoints_int8"):
        assert (extra / f"{name}.tflite").stat().st_size < (extra / "keypoints.tflite").stat().st_size
        measured = json.loads((extra / f"{name}.json").read_text())
        assert measured["megabytes"]["file"] < measured["megabytes"]["float"]
        assert 0 < measured["distance_heatmap_cells"] < 10
        assert measured["coco_ap"]["split"] == "val"


@pytest.mark.slow
def test_a_litert_file_is_evaluated_like_its_work_folder(folder):
    settings = json.loads((folder / "run" / "keypoint_system.json").read_text())["keypoints"]
    flip = f"--config.inference.use_flip_test={settings['use_flip_test']}"
    expected, metrics = evaluate(folder, "r_run", f"--workdir={folder / 'run'}", flip)
    file = folder / "plain" / "assets.extra" / "keypoints.tflite"
    found, metrics_of_file = evaluate(folder, "r_litert", f"--model={file}")
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert metrics_of_file["coco"] == pytest.approx(metrics["coco"], nan_ok=True)
    assert metrics_of_file["provenance"]["weights"] == str(file)
    in_boxes, _ = evaluate(folder, "r_boxes", f"--model={folder / 'plain'}")
    np.testing.assert_allclose(in_boxes, expected, atol=1e-2)


@pytest.mark.slow
def test_flags_change_the_settings_of_a_litert_file(folder):
    file = folder / "plain" / "assets.extra" / "keypoints.tflite"
    _, metrics = evaluate(folder, "r_flags", f"--model={file}", "--config.inference.use_flip_test=False")
    assert metrics["provenance"]["thresholds"]["use_flip_test"] is False


@pytest.mark.slow
def test_a_saved_model_finds_people_by_its_own_detector(folder):
    write_detector_run(folder / "detector")
    result = export(folder, "whole", f"--detector={folder / 'detector'}")
    assert "signatures serving_default, tolerant, from_frames, from_boxes, heatmaps" in result.stdout
    found, metrics = evaluate(folder, "r_own", f"--model={folder / 'whole'}", "--boxes=model")
    assert str(folder / "whole") in metrics["provenance"]["boxes"]
    assert len(found) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model={plain}", "--workdir=run"], ["--workdir cannot be combined with --model"]),
        (["--model={plain}", "--boxes=model"], ["must have a person detector for --boxes=model"]),
        (["--model={litert}", "--boxes=model"], ["--boxes=model requires a SavedModel in --model"]),
        (
            ["--model={plain}", "--config.inference.use_flip_test=False"],
            ["--config.inference.use_flip_test requires a .tflite file in --model"],
        ),
        (["--workdir={run}", "--boxes=model"], ["--boxes=model requires --model, got none"]),
        (["--model={run}"], ["--model must be a .tflite file or the folder of a SavedModel"]),
        (["--model={lonely}"], ["lonely.tflite: requires", "keypoint_system.json", "export the network again"]),
        (["--model={broken}"], ["keypoints.tflite: must be the LiteRT file of the keypoint network beside it"]),
        (["--model={missing}"], ["missing.tflite: not found; expected a LiteRT file"]),
        (["--model={nowhere}"], ["nowhere.tflite: not found; expected a LiteRT file"]),
    ],
)
def test_wrong_flags_of_an_evaluation_are_one_line(folder, tmp_path, flags, words):
    extra = folder / "plain" / "assets.extra"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "keypoints.tflite").write_bytes(b"no flatbuffer")
    (tmp_path / "broken" / "keypoint_system.json").write_bytes((extra / "keypoint_system.json").read_bytes())
    (tmp_path / "lonely.tflite").write_bytes(b"")
    paths = {
        "plain": folder / "plain",
        "run": folder / "run",
        "litert": extra / "keypoints.tflite",
        "lonely": tmp_path / "lonely.tflite",
        "broken": tmp_path / "broken" / "keypoints.tflite",
        "missing": extra / "missing.tflite",
        "nowhere": tmp_path / "nowhere.tflite",
    }
    data = f"--config.data.directory={folder / 'data'}"
    given = [flag.format(**paths) for flag in flags]
    result = program_runs.run("eval_main.py", CONFIG, data, f"--output_dir={tmp_path / 'out'}", *given)
    program_runs.assert_one_line(result, *words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--quantize=weights"], ["--quantize requires --convert=litert"]),
        (["--quantize=int4", "--convert=litert"], ["--quantize must be some of weights, int8, got 'int4'"]),
        (["--quantize=int8", "--convert=litert"], ["--quantize=int8 requires --calibration, got none"]),
        (["--calibration=data"], ["--calibration requires --quantize, got none"]),
        (["--calibration_split=val"], ["--calibration_split requires --calibration, got none"]),
    ],
)
def test_wrong_flags_of_an_export_are_one_line(root, tmp_path, flags, words):
    workdir, output = f"--workdir={root / 'run'}", f"--output={tmp_path / 'out'}"
    program_runs.assert_one_line(program_runs.run("-m", "tfpose.export", workdir, output, *flags), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("split", "score_split"), [("nowhere", ""), ("train", "nowhere")])
def test_a_split_that_is_not_there_is_named_before_the_work(split, score_split, tmp_path, monkeypatch):
    small_table(tmp_path)
    monkeypatch.setattr(two_stage, "_load_network", lambda *_: pytest.fail("the network was loaded"))
    request = QuantizationRequest(("int8",), str(tmp_path), split, score_split)
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        two_stage.export(RunChoice(tmp_path / "run"), tmp_path / "out", ["litert"], request)


def test_a_file_that_loses_too_much_is_named(network, tmp_path, monkeypatch, capsys):
    """The joints are measured on people of the calibration."""
    small_table(tmp_path)
    (tmp_path / "keypoints.tflite").touch()
    times = {"float": 1.0, "file": 1.0}
    measured = {"megabytes": times, "milliseconds_of_one_core_per_person": times}
    monkeypatch.setattr(quantized_files, "quantize_weights", lambda _: quantization.QuantizedNetwork(b""))
    for distance, is_named in ((0.1, False), (0.31, True)):
        values = {**measured, "distance_heatmap_cells": distance}
        monkeypatch.setattr(quantized_files._Measure, "describe", lambda *_, values=values: values)
        request = QuantizationRequest(("weights",), str(tmp_path))
        write_quantized(request, small_system(), network, tmp_path)
        expected = f"joints must be at most 0.3 heatmap cells from those of the float network, got {distance:.2f}"
        assert (expected in capsys.readouterr().err) == is_named


def test_a_score_requires_a_dataset():
    with pytest.raises(ValueError, match="--quantize_score_split requires --calibration, got none"):
        QuantizationRequest(("weights",), score_split="val")


@pytest.mark.slow
def test_the_score_of_a_network_is_that_of_coco(tmp_path):
    table, system = small_table(tmp_path, size=(120, 160)), small_system()
    assert -1 <= score_network(table, simplify_network(random_network(system)), system) <= 100


@pytest.mark.slow
def test_quantized_public_weights_keep_their_score(public_runs, tmp_path):
    """PP-TinyPose 128x96: 8 bits cost at most half a point of AP in the weights, 3 points in the convolutions."""
    workdir = public_runs.workdir("tinypose_128x96")
    system = read_keypoint_system(workdir)
    trained = system.build_network()
    load_for_inference(trained, workdir)
    network = bare_networks(simplify_network(trained))["keypoints"]
    write_converted({"keypoints": network}, ["litert"], tmp_path)
    request = QuantizationRequest(("weights", "int8"), str(public_runs.records()), score_split="val")
    write_quantized(request, system, network, tmp_path)
    for file, most in (("keypoints_weights_int8", 0.5), ("keypoints_int8", 3.0)):
        score = json.loads((tmp_path / f"{file}.json").read_text())["coco_ap"]
        assert score["float"] == pytest.approx(54.8, abs=2)
        assert score["float"] - score["file"] <= most
