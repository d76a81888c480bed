"""Real public weights on real photos: the scores that their publisher's code has there, through the programs."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest
from program_runs import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """Records of coco_mini, imported keypoint networks, and a cache with the files of the detectors."""
    shared = request.getfixturevalue("shared_dir")
    if not (shared / "data" / "weights").is_dir() or not (shared / "data" / "coco_mini").is_dir():
        pytest.skip("needs data/weights and data/coco_mini of ../shared, which are absent")
    root = tmp_path_factory.mktemp("real")
    source = shared / "data" / "coco_mini"
    check(run("-m", "data_prep.build", "coco_keypoints", f"--source={source}", f"--output={root}"))
    weights = shared / "data" / "weights"
    for name in ("tinypose_256x192", "tinypose_128x96"):
        check(run("-m", "tfpose.pretrained", weights / f"{name}.pdparams", f"--output={root / name}.weights.h5"))
    # Files that a user laid there.
    (root / "cache").mkdir()
    for size in (320, 192):
        shutil.copy(weights / f"picodet_s_{size}_pedestrian.pdparams", root / "cache")
    return root


def check(result):
    assert result.returncode == 0, result.stderr[-2000:]


def evaluate(folder, config, workdir, *flags):
    output = folder / "results" / "_".join([pathlib.Path(workdir).name, *(flag.rpartition("=")[2] for flag in flags)])
    data = f"--config.data.directory={folder / 'coco_keypoints'}"
    check(run("eval_main.py", f"--config={config}", f"--workdir={workdir}", f"--output_dir={output}", data, *flags))
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
    metrics = evaluate(folder, folder / f"{name}.py", folder / name, flip, *every_joint)
    assert metrics["coco"]["AP"] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("size", "box_ap", "box_ap50"), [(320, 39.39, 66.80), (192, 28.57, 48.17)])
def test_picodet_has_its_published_scores_by_its_name(folder, size, box_ap, box_ap50):
    name, cache = f"picodet_s_{size}", f"--cache={folder / 'cache'}"
    metrics = evaluate(folder, "configs/picodet_s_320_coco.py", name, cache)["boxes"]
    assert metrics["AP"] == pytest.approx(box_ap, abs=0.1)
    assert metrics["AP50"] == pytest.approx(box_ap50, abs=0.1)
