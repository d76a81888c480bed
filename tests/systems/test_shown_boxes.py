"""Which boxes people see, and which ones are scored."""

import pytest

from tfpose.inference.detected_boxes import BoxSettings
from tfpose.systems import two_stage


@pytest.mark.parametrize(("given", "used"), [(None, 0.5), (0.05, 0.05)])
def test_prediction_and_export_keep_confident_boxes(monkeypatch, given, used):
    asked = []
    monkeypatch.setattr(two_stage, "load_exportable_detector", lambda *arguments: asked.append(arguments))
    two_stage._load_detector(BoxSettings("detector", "rcnn", score_threshold=given))
    assert asked == [("rcnn", "best", used, None)]
