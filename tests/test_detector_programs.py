"""The person detector by the command-line programs, and its configs."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os

import pytest
from program_runs import assert_one_line, run
from record_writing import synthetic_image, write_dataset

from tfpose.coco_results import read_detections
from tfpose.data.detection_images import DetectionInput
from tfpose.inference.keypoint_rcnn_system import keypoint_rcnn_settings, read_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
from tfpose.models.keypoint_rcnn.settings import RESNET50, RESNEXT101_32X8D
from tfpose.skeletons import POSETRACK15
from tfpose.training.optimization import OptimizationSettings

pytestmark = pytest.mark.slow

CONFIG = "--config=configs/keypoint_rcnn_synthetic.py"
SMALL = (
    "--config.network.blocks_per_stage=(1,1,1,1)",
    "--config.network.shortest_edge=64",
    "--config.network.longest_edge=128",
    "--config.input.shortest_edges=(56,64)",
    "--config.input.longest_edge=128",
    "--config.input.padded_size=(64,128)",
    "--config.batch_size=2",
    "--config.run.total_steps=2",
    "--config.run.log_every=1",
    "--config.run.checkpoint_every=2",
    "--config.run.evaluate_every=2",
    "--config.run.pictures_every=2",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        images = [synthetic_image(i, POSETRACK15, (60, 90), num_people=i % 3) for i in range(4)]
        write_dataset(directory, POSETRACK15, images, split)
    return directory


def test_train_and_evaluate(dataset, tmp_path):
    arguments = (f"--workdir={tmp_path / 'run'}", f"--config.data.directory={dataset}")
    result = run("train_main.py", CONFIG, *arguments, *SMALL, timeout=800)
    assert result.returncode == 0, result.stderr[-3000:]
    assert {"keypoint_rcnn.json", "best.weights.h5", "model.weights.h5", "eval.csv"} <= set(
        os.listdir(tmp_path / "run")
    )
    assert read_keypoint_rcnn_settings(tmp_path / "run").shortest_edge == 64
    result = run("eval_main.py", f"--workdir={tmp_path / 'run'}", f"--output_dir={tmp_path / 'results'}", timeout=800)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "COCO boxes of people" in result.stdout
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert 0 <= metrics["boxes"]["AP50"] <= 100
    detections = read_detections(tmp_path / "results" / "detections.json")
    assert len(detections.scores) == metrics["provenance"]["detections"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train_main.py", "--config.input.padded_size=(64,96)"), "padded_size must hold the largest image"),
        (("train_main.py", "--config.initialize.from_scratch=False"), "initialize must set exactly one of"),
        (("train_main.py", "--config.network.stride_in=5x5"), "stride_in must be one of"),
        (
            ("train_main.py", "--config.optimization.optimizer=sdg"),
            "optimizer must be one of adam, adamw, sgd, muon, got 'sdg'",
        ),
        (
            ("eval_main.py", "--output_dir=unused", "--boxes=ground_truth"),
            "--boxes cannot be combined with a config of a Keypoint R-CNN",
        ),
        (("eval_main.py", "--output_dir=unused"), "expected the work folder of a Keypoint R-CNN"),
    ],
)
def test_wrong_settings_end_with_one_line(dataset, tmp_path, arguments, words):
    program, *changes = arguments
    result = run(program, CONFIG, f"--workdir={tmp_path}", f"--config.data.directory={dataset}", *changes)
    assert_one_line(result, words)


@pytest.mark.parametrize(("name", "expected"), [("r50", RESNET50), ("x101", RESNEXT101_32X8D)])
def test_configs_of_the_zoo_are_those_of_the_zoo(name, expected):
    config = importlib.import_module(f"configs.keypoint_rcnn_{name}_coco").get_config()
    settings = keypoint_rcnn_settings({**config.network.to_dict(), "num_joints": 17})
    assert settings == expected
    assert DetectionInput(**config.input) == DetectionInput()
    assert SamplingSettings(**config.sampling) == SamplingSettings()
    schedule = dataclasses.asdict(OptimizationSettings(**config.optimization))
    assert (schedule["optimizer"], schedule["momentum"], schedule["weight_decay"]) == ("sgd", 0.9, 1e-4)
