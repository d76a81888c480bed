"""Real public weights on real photos: the scores that their publisher's code has there, through the programs."""

from __future__ import annotations

import json

import numpy as np
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
        ("tinypose_256x192", True, 67.84),
        ("tinypose_256x192", False, 66.23),
        ("tinypose_128x96", True, 54.92),
        ("tinypose_128x96", False, 51.62),
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


def test_evaluation_and_prediction_find_the_same_poses(folder, shared_dir, tmp_path):
    """Three photos with the detector: the COCO results of both programs hold the same people to 0.01 px."""
    content = json.loads((shared_dir / "data/coco_mini/annotations/person_keypoints_val.json").read_text())
    images = [image for image in content["images"] if min(image["width"], image["height"]) > 400][:3]
    ids = {image["id"] for image in images}
    people = [person for person in content["annotations"] if person["image_id"] in ids]
    source = tmp_path / "source"
    (source / "annotations").mkdir(parents=True)
    (source / "val").mkdir()
    for image in images:
        name = image["file_name"].rpartition("/")[2]
        photo = next((shared_dir / "data" / "coco_mini" / "images").rglob(name))
        (source / "val" / name).symlink_to(photo)
        image["file_name"] = name
    few = {**content, "images": images, "annotations": people}
    (source / "annotations" / "person_keypoints_val.json").write_text(json.dumps(few))
    check(run("-m", "data_prep.build", "coco_keypoints", f"--source={source}", f"--output={tmp_path}"))
    model, detector = folder / "tinypose_256x192", folder / "picodet_s_320_pedestrian"
    check(
        run(
            *("eval_main.py", f"--config={folder / 'tinypose_256x192.py'}", f"--workdir={model}"),
            *(f"--output_dir={tmp_path / 'results'}", f"--config.data.directory={tmp_path / 'coco_keypoints'}"),
            *("--boxes=detector", f"--detector={detector}", "--box_score_threshold=0.4"),
        )
    )
    check(
        run(
            *("-m", "tfpose.predict", source / "val", f"--model={model}", f"--detector={detector}"),
            *("--box_score_threshold=0.4", "--outputs=coco", f"--output={tmp_path / 'predicted'}"),
        )
    )
    evaluated = json.loads((tmp_path / "results" / "predictions.json").read_text())
    predicted = json.loads(next((tmp_path / "predicted" / "coco").glob("*.json")).read_text())
    assert len(evaluated) == len(predicted) >= 3
    found, again = (np.array([person["keypoints"] for person in people]) for people in (evaluated, predicted))
    differences = np.abs(found[:, None] - again).max(axis=-1)
    assert differences.min(axis=0).max() < 0.01
    assert differences.min(axis=1).max() < 0.01
