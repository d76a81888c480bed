"""A newcomer's first command: `tfpose predict PHOTO`, with the public weights laid into the cache by hand."""

from __future__ import annotations

import json
import shutil

import pytest
from program_runs import run

FILES = ("tinypose_256x192.pdparams", "picodet_s_320_pedestrian.pdparams")


@pytest.mark.slow
def test_people_are_found_without_a_model_and_the_second_run_converts_nothing(shared_dir, tmp_path):
    weights, photos = shared_dir / "data" / "weights", shared_dir / "data" / "coco_mini"
    if not weights.is_dir() or not photos.is_dir():
        pytest.skip("needs ../shared/data/weights and ../shared/data/coco_mini, which are absent")
    cache, output = tmp_path / "cache", tmp_path / "results"
    cache.mkdir()
    for name in FILES:
        shutil.copy(weights / name, cache)
    content = json.loads((photos / "annotations" / "person_keypoints_val.json").read_text())
    most = max(content["annotations"], key=lambda person: person["num_keypoints"])["image_id"]
    (name,) = (image["file_name"] for image in content["images"] if image["id"] == most)
    notes = []
    for _ in range(2):
        result = run("-m", "tfpose.predict", photos / "images" / "val" / name, f"--cache={cache}", f"--output={output}")
        assert result.returncode == 0, result.stderr[-2000:]
        assert result.stdout.splitlines()[0].startswith(f"{name.removesuffix('.jpg')}: 1 frames, ")
        lines = result.stderr.replace("\r", "\n").splitlines()
        notes.append([line for line in lines if line and ": frames: " not in line])
        assert all(line.startswith("note: ") for line in notes[-1]), notes[-1]
    converting = [[line for line in lines if "converting the network to LiteRT" in line] for lines in notes]
    assert [len(lines) for lines in converting] == [2, 0]
    assert notes[1][0].startswith("note: using keypoint network tinypose_256x192 (5.6 MB, from ")
    people = json.loads(next((output / "coco").glob("*.json")).read_text())
    assert max(person["score"] for person in people) > 0.5
    assert len(list((output / "pictures").iterdir())) == len(list((output / "predictions").iterdir())) == 1
