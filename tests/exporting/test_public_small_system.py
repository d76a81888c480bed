"""The small public system, PicoDet and PP-TinyPose with real weights, gives a photo the same poses everywhere."""

import json

import numpy as np
import program_runs
import pytest
import tensorflow as tf

NUM_PHOTOS = 2
# Larger people are shown to the network at less than half their size. Then evaluation and `serving_default` decode the
# JPEG at a smaller size, and prediction, which has frames, takes means of pixels.
MOST_HEIGHT, MOST_WIDTH = 2 * 256 / 1.25, 2 * 192 / 1.25
pytestmark = pytest.mark.slow


def run(*arguments):
    result = program_runs.run("-m", *arguments)
    assert result.returncode == 0, result.stderr[-2000:]
    return result


@pytest.fixture(scope="module")
def folder(public_runs, tmp_path_factory):
    """The photos, and their dataset `data`."""
    photos = public_runs.source
    folder = tmp_path_factory.mktemp("small")
    content = json.loads((photos / "annotations" / "person_keypoints_val.json").read_text())
    labeled = {a["image_id"] for a in content["annotations"] if a["num_keypoints"] > 8}
    content["images"] = [image for image in content["images"] if image["id"] in labeled][:NUM_PHOTOS]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    (folder / "source" / "annotations").mkdir(parents=True)
    (folder / "source" / "val").mkdir()
    (folder / "source" / "annotations" / "person_keypoints_val.json").write_text(json.dumps(content))
    for image in content["images"]:
        (folder / "source" / "val" / image["file_name"]).write_bytes(
            (photos / "images" / "val" / image["file_name"]).read_bytes()
        )
    run("data_prep.build", "coco_keypoints", "--source", folder / "source", "--output", folder / "data")
    return folder


def poses_by_image(results):
    """Keypoints [P, 17, 2] of the images in COCO results, best first."""
    ordered = sorted(results, key=lambda entry: -entry["score"])
    ids = {entry["image_id"] for entry in ordered}
    rows = {i: [entry["keypoints"] for entry in ordered if entry["image_id"] == i] for i in ids}
    return {i: np.array(values).reshape(-1, 17, 3)[..., :2] for i, values in rows.items()}


def test_evaluation_prediction_and_saved_model_agree(public_runs, folder):
    """With doubtful boxes too; and both networks are converted to LiteRT."""
    cache = f"--cache={public_runs.first_command()['cache']}"
    workdir = public_runs.workdir("tinypose_256x192")
    boxes = ["--detector=picodet_s_320", cache, "--box_score_threshold=0.15"]
    photos, dataset = folder / "source" / "val", f"--config.data.directory={folder / 'data' / 'coco_keypoints'}"
    evaluated, predicted, exported = (folder / name for name in ("evaluated", "predicted", "exported"))
    config = [f"--config={workdir}.py", f"--workdir={workdir}", dataset, "--boxes=detector"]
    run("eval_main", *config, *boxes, f"--output_dir={evaluated}")
    expected = poses_by_image(json.loads((evaluated / "predictions.json").read_text()))
    assert len(expected) == NUM_PHOTOS and min(map(len, expected.values())) > 1
    run("tfpose.predict", photos, f"--model={workdir}", *boxes, "--outputs=coco", f"--output={predicted}")
    found = poses_by_image(json.loads((predicted / "coco" / "val.json").read_text()))
    result = run("tfpose.export", f"--workdir={workdir}", *boxes, f"--output={exported}", "--convert=litert")
    assert "keypoints.tflite" in result.stdout and "detector.tflite" in result.stdout
    assert "deprecated" not in result.stderr
    serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
    paths = sorted(photos.iterdir())
    served = {name: values.numpy() for name, values in serve(tf.constant([p.read_bytes() for p in paths])).items()}
    for row, path in enumerate(paths):
        people, image_id = slice(served["num_persons"][row]), int(path.stem)
        np.testing.assert_allclose(served["keypoints"][row, people, :, :2], expected[image_id], atol=1e-2)
        widths, heights = (served["boxes"][row, people, 2:] - served["boxes"][row, people, :2]).T
        is_small = (widths < MOST_WIDTH) & (heights < MOST_HEIGHT)
        assert is_small.any()
        np.testing.assert_allclose(found[image_id][is_small], expected[image_id][is_small], atol=1e-2)
