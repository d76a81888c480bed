"""The evaluation of exports: the poses and the settings are those of the work folder."""

import dataclasses
import pathlib
import types

import numpy as np
import pytest
from ml_collections import ConfigDict
from small_system import random_network, small_system, small_table

from tfpose.evaluation.report_splits import TrainingRun
from tfpose.evaluation.scoring import ScoringSettings
from tfpose.evaluation.splits import SplitOutput
from tfpose.exporting.two_stage import KeypointModule
from tfpose.inference.person_keypoints import (
    build_keypoint_function,
    ground_truth_boxes,
    poses_by_image,
    predict_people,
)
from tfpose.models.simplification import simplify_network
from tfpose.systems import exported
from tfpose.systems.system import EvaluationRequest, RunChoice

MODEL = pathlib.Path("exported")


def request_with(**changes):
    """A request whose flags change settings of the config."""
    provenance = TrainingRun(pathlib.Path("run"), "config.py", changes)
    return EvaluationRequest(
        RunChoice(MODEL), "val", SplitOutput(pathlib.Path("results")), ScoringSettings(), provenance=provenance
    )


def test_boxes_without_area_have_the_poses_of_the_work_folder(tmp_path):
    """The signature `from_boxes` takes them for padding."""
    system = small_system(selection={"oks_threshold": 1.0})
    table, network = small_table(tmp_path, size=(120, 160)), simplify_network(random_network(system))
    people = ground_truth_boxes(table)
    boxes = people.boxes[:6].copy()
    boxes[1, 2], boxes[2, 3], boxes[3, 2:] = boxes[1, 0], boxes[2, 1] + 0.4, boxes[3, :2]
    boxes[4] = [200, 300, 190, 290]
    people = dataclasses.replace(people.select(np.arange(6)), boxes=boxes, rows=np.full(6, -1))
    found = predict_people(build_keypoint_function(network, system), table, people, system)
    expected = poses_by_image(table, people, *found, system)
    loaded = types.SimpleNamespace(signatures={"from_boxes": KeypointModule(network, system).find_people})
    for poses, of_run in zip(exported._poses_in_boxes(loaded, table, people, system), expected, strict=True):
        np.testing.assert_allclose(poses.keypoints, of_run.keypoints, atol=1e-2)
        np.testing.assert_allclose(poses.scores, of_run.scores, atol=1e-5)


@pytest.mark.parametrize("name", ["crop.margin_pixels", "normalization.mean", "selection.oks_threshold"])
def test_settings_that_an_export_holds_cannot_be_changed(name):
    with pytest.raises(ValueError, match=rf"--config\.{name} has no effect on the export exported"):
        exported._refuse_settings(MODEL, request_with(**{name: 1}), ())


def test_settings_of_data_boxes_and_selection_can_be_changed():
    names = ["data.directory", "tracker.max_age_frames", "evaluation.batch_size", "selection.oks_threshold"]
    exported._refuse_settings(MODEL, request_with(**dict.fromkeys(names, 1)), ("selection",))


def test_the_tracker_is_that_of_the_config(monkeypatch, tmp_path):
    chosen = []
    monkeypatch.setattr(exported, "_predict_saved_model", lambda *_: None)
    monkeypatch.setattr(exported, "evaluate_split", lambda *arguments: chosen.append(arguments[-1]))
    (tmp_path / "saved_model.pb").touch()
    exported.evaluate_exported(tmp_path, ConfigDict({"tracker": {"max_age_frames": 3}}), None, request_with())
    exported.evaluate_exported(tmp_path, ConfigDict(), None, request_with())
    assert [dict(choice.changes) for choice in chosen] == [{"max_age_frames": 3}, {}]
