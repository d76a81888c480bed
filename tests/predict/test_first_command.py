"""A newcomer's first command: `tfpose predict PHOTO`, with the public weights laid into the cache by hand."""

from __future__ import annotations

import json

import pytest
from program_runs import run


def notes_of(stderr):
    lines = stderr.replace("\r", "\n").splitlines()
    notes = [line for line in lines if line and ": frames: " not in line]
    assert all(line.startswith("note: ") for line in notes), notes
    return notes


@pytest.mark.slow
def test_people_are_found_without_a_model_and_the_second_run_converts_nothing(public_runs, tmp_path):
    first = public_runs.first_command()
    second = run("-m", "tfpose.predict", first["photo"], f"--cache={first['cache']}", f"--output={tmp_path}")
    assert second.returncode == 0, second.stderr[-2000:]
    for stdout in (first["stdout"], second.stdout):
        assert stdout.splitlines()[0].startswith(f"{first['photo'].stem}: 1 frame, ")
    notes = [notes_of(stderr) for stderr in (first["stderr"], second.stderr)]
    converting = [[line for line in lines if "converting the network to LiteRT" in line] for lines in notes]
    assert [len(lines) for lines in converting] == [2, 0]
    assert notes[1][0].startswith("note: using keypoint network tinypose_256x192 (5.6 MB, from ")
    for output in (first["output"], tmp_path):
        people = json.loads(next((output / "coco").glob("*.json")).read_text())
        assert max(person["score"] for person in people) > 0.5
        assert len(list((output / "pictures").iterdir())) == len(list((output / "predictions").iterdir())) == 1
