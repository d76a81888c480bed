"""Real public weights on real photos: the scores that their publisher's code has there, through the programs."""

from __future__ import annotations

import json
import shutil

import pytest
from program_runs import run

pytestmark = pytest.mark.slow


@pytest.fixture
def evaluate(public_runs, tmp_path):
    """Evaluates on the photos; returns the metrics."""
    data = f"--config.data.directory={public_runs.records()}"

    def evaluate(config, workdir, *flags):
        words = (f"--config={config}", f"--workdir={workdir}", f"--output_dir={tmp_path / 'results'}", data, *flags)
        result = run("eval_main.py", *words)
        assert result.returncode == 0, result.stderr[-2000:]
        return json.loads((tmp_path / "results" / "metrics.json").read_text())

    return evaluate


@pytest.mark.parametrize(
    ("name", "use_flip_test", "expected"),
    [
        ("tinypose_256x192", False, 66.23),
        ("tinypose_128x96", True, 54.92),
    ],
)
def test_tinypose_has_its_published_scores_in_annotated_boxes(public_runs, evaluate, name, use_flip_test, expected):
    """With the publisher's score of a pose, the mean of all joints. One person of the 154 is 0.2 AP."""
    every_joint = ("--config.selection.joint_threshold=0", "--config.selection.oks_threshold=1")
    flip = f"--config.inference.use_flip_test={use_flip_test}"
    workdir = public_runs.workdir(name)
    metrics = evaluate(f"{workdir}.py", workdir, flip, *every_joint)
    assert metrics["coco"]["AP"] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("size", "box_ap", "box_ap50"), [(320, 39.39, 66.80), (192, 28.57, 48.17)])
def test_picodet_has_its_published_scores_by_its_name(public_runs, evaluate, tmp_path, size, box_ap, box_ap50):
    # A file that a user laid there.
    (tmp_path / "cache").mkdir()
    shutil.copy(public_runs.weights / f"picodet_s_{size}_pedestrian.pdparams", tmp_path / "cache")
    metrics = evaluate("configs/picodet_s_320_coco.py", f"picodet_s_{size}", f"--cache={tmp_path / 'cache'}")["boxes"]
    assert metrics["AP"] == pytest.approx(box_ap, abs=0.1)
    assert metrics["AP50"] == pytest.approx(box_ap50, abs=0.1)
