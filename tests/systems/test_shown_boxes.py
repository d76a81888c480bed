"""Which boxes people see, which ones are scored, and in which number format a detector finds them."""

import pathlib

import pytest

from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.inference_dtype import InferenceDtype
from tfpose.systems import two_stage
from tfpose.systems.system import RunChoice


@pytest.mark.parametrize(("given", "used"), [(None, 0.5), (0.05, 0.05)])
def test_prediction_and_export_keep_confident_boxes(monkeypatch, given, used):
    asked = []
    monkeypatch.setattr(two_stage, "load_exportable_detector", lambda *arguments: asked.append(arguments))
    two_stage._load_detector(BoxSettings("detector", "rcnn", score_threshold=given))
    assert asked == [("rcnn", "best", used, None, "float32")]


@pytest.mark.parametrize(("dtype", "used"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("auto", "float32")])
def test_a_detector_follows_bfloat16_but_not_auto_which_does_not_measure_it(dtype, used):
    boxes = BoxSettings("detector", "rcnn")
    run = RunChoice(pathlib.Path("run"), boxes=boxes, inference_dtype=InferenceDtype(dtype, "data"))
    assert two_stage._choose_boxes(run).detector_dtype == used
    assert two_stage._choose_boxes(RunChoice(pathlib.Path("run"))) is None
