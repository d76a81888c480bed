"""Real public weights on real photos: the scores that their publisher's code has there, through the programs."""

from __future__ import annotations

import json

import pytest
from program_runs import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """Records of coco_mini, and the imported weights."""
    shared = request.getfixturevalue("shared_dir")
    if not (shared / "data" / "weights").is_dir() or not (shared / "data" / "coco_mini").is_dir():
        pytest.skip("needs data/weights and data/coco_mini of ../shared, which are absent")
    root = tmp_path_factory.mktemp("real")
    source = shared / "data" / "coco_mini"
    check(run("-m", "data_prep.build", "coco_keypoints", f"--source={source}", f"--output={root}"))
    for name in ("tinypose_256x192", "tinypose_128x96", "picodet_s_320_pedestrian", "picodet_s_192_pedestrian"):
        weights = shared / "data" / "weights" / f"{name}.pdparams"
        check(run("-m", "tfpose.pretrained", weights, f"--output={root / name}.weights.h5"))
    return root


def check(result):
    assert result.returncode == 0, result.stderr[-2000:]


def evaluate(folder, config, name, *flags):
    output = folder / "results" / "_".join([name, *(flag.rpartition("=")[2] for flag in flags)])
    data = f"--config.data.directory={folder / 'coco_keypoints'}"
    check(
        run("eval_main.py", f"--config={config}", f"--workdir={folder / name}", f"--output_dir={output}", data, *flags)
    )
    return json.loads((output / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("name", "use_flip_test", "expected"),
    [
        ("tinypose_256x192", False, 66.23),
        ("tinypose_128x96", True, 54.92),
    ],
)
def test_tinypose_has_its_published_scores_in_annotated_boxes(folder, name, use_flip_test, expected):
    """With the publisher's score of a pose, the mean of all joints. One person of the 154 is 0.2 AP."""
    every_joint = ("--config.selection.joint_threshold=0", "--config.selection.oks_threshold=1")
    flip = f"--config.inference.use_flip_test={use_flip_test}"
    metrics = evaluate(folder, folder / f"{name}.py", name, flip, *every_joint)
    assert metrics["coco"]["AP"] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("size", "box_ap", "box_ap50"), [(320, 39.39, 66.80), (192, 28.57, 48.17)])
def test_picodet_has_its_published_scores(folder, size, box_ap, box_ap50):
    metrics = evaluate(folder, "configs/picodet_s_320_coco.py", f"picodet_s_{size}_pedestrian")["boxes"]
    assert metrics["AP"] == pytest.approx(box_ap, abs=0.1)
    assert metrics["AP50"] == pytest.approx(box_ap50, abs=0.1)
