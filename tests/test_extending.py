"""The files of docs/extend.md, each written outside the package: a toy part is added by one file and its entry."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import documentation_pages as pages
import keras
import numpy as np
import pytest
import two_stage_runs
from posetrack_cases import random_sequences
from program_runs import run

import tfpose
from data_prep import build
from data_prep.datasets import DATASETS
from tfpose.data.records import read_table
from tfpose.inference.detectors import DETECTORS, load_detector
from tfpose.inference.detectors.detector import Picture
from tfpose.inference.keypoint_networks import NETWORKS, KeypointNetwork, build_network
from tfpose.metrics.catalog import METRICS
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.report import report_tables
from tfpose.poses import Poses
from tfpose.tracking.settings import TrackerSettings
from tfpose.tracking.similarity import SIMILARITIES
from tfpose.tracking.tracker import Tracker

sys.path.insert(0, str(pages.PROJECT / "tests" / "data_prep"))
import source_folders

PAGE = pages.PROJECT / "docs" / "extend.md"
PREFIX = "extension: "
FILES = {
    block.directive.removeprefix(PREFIX): block.text
    for block in pages.read_blocks(PAGE)
    if block.directive.startswith(PREFIX)
}
REGISTRIES: tuple[dict[str, Any], ...] = (NETWORKS, DETECTORS, DATASETS, SIMILARITIES, METRICS)


def module_name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


@pytest.fixture
def add_part(tmp_path, monkeypatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a file of the page from a folder outside the package; what it adds is taken away again."""
    entries = [dict(registry) for registry in REGISTRIES]
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str) -> ModuleType:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES[name])
        importlib.invalidate_caches()
        return importlib.import_module(module_name(name))

    yield add
    for name in FILES:
        sys.modules.pop(module_name(name), None)
    for registry, before in zip(REGISTRIES, entries, strict=True):
        registry.clear()
        registry.update(before)


def test_the_page_has_a_file_for_each_registry():
    assert len(FILES) == len(REGISTRIES)


def test_a_keypoint_network_is_built_from_the_section_of_a_config(add_part):
    add_part("tiny_network.py")
    model = build_network(15, {"name": "tiny", "input_size": (64, 48), "width": 4})
    assert model.output_shape == (None, 16, 12, 15)
    assert model.layers[-1].name == "heatmaps"
    with pytest.raises(ValueError, match="got 'depth'"):
        build_network(15, {"name": "tiny", "input_size": (64, 48), "depth": 18})


def test_a_network_that_breaks_a_rule_is_refused(monkeypatch):
    def refuse(rule: str, build: Callable[..., Any]) -> None:
        monkeypatch.setitem(NETWORKS, "wrong", KeypointNetwork(build, heatmap_stride=4))
        with pytest.raises(ValueError, match=rule):
            build_network(3, {"name": "wrong", "input_size": (64, 48)})

    def build(num_joints: int, input_size: tuple[int, int], stride: int = 4, dtype: str = "float32") -> keras.Model:
        images = keras.Input((*input_size, 3))
        return keras.Model(images, keras.layers.Conv2D(num_joints, 1, stride, dtype=dtype)(images))

    def build_one_map(num_joints: int, input_size: tuple[int, int]) -> keras.Model:
        return build(1, input_size)

    def build_nothing(num_joints: int, input_size: tuple[int, int]) -> None: ...

    rule = r"network.name=wrong: the output must be heatmaps \(None, 16, 12, 3\), a cell for 4 pixels, got"
    refuse(rf"{rule} \(None, 8, 6, 3\)", functools.partial(build, stride=8))
    # This map would be compared with those of all joints.
    refuse(rf"{rule} \(None, 16, 12, 1\)", build_one_map)
    refuse("the heatmaps must be float32, got float16", functools.partial(build, dtype="float16"))
    refuse("the function must return a Keras model, got NoneType", build_nothing)
    refuse("must have types in its function, got 'input_size'", lambda num_joints, input_size: None)


CONFIG = """
import tiny_network
from tfpose.systems import build_config

def get_config():
    return build_config(
        "two_stage",
        data={"directory": DIRECTORY, "train_split": "val"},
        network={"name": "tiny", "input_size": (64, 48), "width": 4},
        augmentation={"mirror_probability": 0.5},
        initialize={"from_scratch": True},
        batch_size=2,
        strategy="one_device",
        optimization={"learning_rate": 1e-3, "optimizer": "muon"},
        run={"total_steps": 5, "evaluate_every": 5, "pictures_every": 5, "best_metric": "AP"},
    )
"""


def test_a_keypoint_network_is_trained_evaluated_exported_and_loaded(add_part, tmp_path):
    """One file, one entry and a config; nothing else knows the network."""
    add_part("tiny_network.py")
    data, workdir, results = two_stage_runs.write_pictures(tmp_path / "data"), tmp_path / "run", tmp_path / "results"
    config = tmp_path / "tiny_config.py"
    config.write_text(CONFIG.replace("DIRECTORY", repr(str(data))))
    for program, *arguments in (
        ("train_main.py", f"--config={config}", f"--workdir={workdir}"),
        ("eval_main.py", f"--config={config}", f"--workdir={workdir}", f"--output_dir={results}"),
        ("-m", "tfpose.export", f"--workdir={workdir}", f"--output={tmp_path / 'exported'}"),
    ):
        result = run(program, *arguments)
        assert result.returncode == 0, result.stderr[-2000:]
    assert "AP" in json.loads((results / "metrics.json").read_text())["coco"]
    assert (tmp_path / "exported" / "saved_model.pb").is_file()
    model = tfpose.load(workdir, detector="whole_image")
    (poses,) = model.predict([np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)])
    assert model.skeleton.num_joints == 15 and len(poses) == 1


def test_a_detector_is_loaded_by_its_name(add_part):
    with pytest.raises(FileNotFoundError, match="got 'center'"):
        load_detector("center")
    add_part("center_detector.py")
    detector = load_detector("center")
    ((boxes, scores),) = detector.find_people([Picture(lambda: np.zeros((40, 80, 3), np.uint8))])
    np.testing.assert_array_equal(boxes, [[20, 10, 60, 30]])
    assert detector.source == "center" and scores.tolist() == [1]


def person_at(x: float) -> Poses:
    """One person whose box is [20, 20] around (x, 50), with a single joint far away from it."""
    box = np.array([[x - 10, 40, x + 10, 60]])
    return Poses(np.array([[[1000 * x, 0.0]]]), np.ones((1, 1)), np.ones(1), box, np.full(1, -1))


def test_a_dataset_is_built_by_its_name(add_part, tmp_path, capsys):
    add_part("clicked_points/builder.py")
    (tmp_path / "clicked_points" / "README.md").write_text("Hands.\n")
    (tmp_path / "clicked_points" / "CITATIONS.bib").write_text("@misc{hands}\n")
    source = tmp_path / "source"
    source.mkdir()
    (source / "0001.png").write_bytes(source_folders.encoded_picture(20, 30, ".png"))
    header = ",".join(f"{joint}_{axis}" for joint in ("wrist", "thumb_tip", "index_tip") for axis in "xy")
    (source / "train.csv").write_text(f"file,{header}\n0001.png,1,2,11,2,6,12\n")
    arguments = ["clicked_points", f"--source={source}", f"--output={tmp_path / 'data'}"]
    assert build.main(arguments) == 0, capsys.readouterr().err
    table = read_table(tmp_path / "data" / "clicked_points" / "1.0.0", "train")
    np.testing.assert_array_equal(table.people["keypoints"], [[[1, 2], [11, 2], [6, 12]]])
    np.testing.assert_array_equal(table.people["box"], [[-1, 0, 13, 14]])
    assert table.images["height"].tolist() == [20]


def test_a_similarity_decides_who_continues_a_track(add_part):
    with pytest.raises(ValueError, match="similarity must be one of"):
        TrackerSettings(similarity="center")
    add_part("center_similarity.py")
    tracker = Tracker(TrackerSettings(similarity="center", max_joint_distance_pixels=30))
    ids = [int(tracker.update(person_at(x)).track_ids[0]) for x in (50, 70, 99, 130)]
    assert ids == [0, 0, 0, 1]


def test_distances_of_another_shape_are_refused(monkeypatch):
    """Those of people to tracks would give wrong identities."""
    similarity = dataclasses.replace(SIMILARITIES["iou"], distances=lambda tracks, people, skeleton: np.ones((3, 1)))
    monkeypatch.setitem(SIMILARITIES, "turned", similarity)
    tracker = Tracker(TrackerSettings(similarity="turned"))
    with pytest.raises(ValueError, match=r"similarity turned: distances must be \[tracks, people\] \(0, 1\), got"):
        tracker.update(person_at(50))


def test_counts_of_another_number_of_sequences_are_refused(monkeypatch):
    group = METRICS["ap"]
    block = dataclasses.replace(group.blocks[0], count=lambda batch: [0])
    monkeypatch.setitem(METRICS, "summed", dataclasses.replace(group, blocks=(block,)))
    true, predicted = zip(*(random_sequences(seed, name=f"{seed:06d}_mpii_test") for seed in (1, 2)), strict=True)
    with pytest.raises(
        ValueError, match="metric average_precision: count must return the counts of 2 sequences, got 1"
    ):
        evaluate_sequences(true, predicted, PoseTrackOptions(("summed",)))


def test_a_metric_is_computed_and_has_a_table(add_part):
    with pytest.raises(ValueError, match="got missing"):
        PoseTrackOptions(("missing",))
    add_part("missing_joints.py")
    true, predicted = random_sequences(seed=3)
    report = evaluate_sequences([true], [predicted], PoseTrackOptions(("missing",)))
    num_true, num_predicted = (
        sum(int((frame.visibility > 0).sum()) for frame in sequence.frames) for sequence in (true, predicted)
    )
    assert report.to_dict()["posetrack"]["missing"][-1] == pytest.approx(100 * (1 - num_predicted / num_true))
    assert report_tables(report)[-1].title == "Missing joints (%)"
