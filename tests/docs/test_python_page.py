"""The code of docs/python.md and of the notebook runs, in a folder as a reader has it after some work."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import cv2
import documentation_pages as pages
import numpy as np
import pytest
from posetrack_cases import random_sequences
from small_single_network import random_pose_unet, small_single_network

import tfpose
from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.posetrack import write_posetrack18
from tfpose.video_files import VideoFileWriter

BLOCKS = [b for b in pages.read_blocks(pages.PROJECT / "docs" / "python.md") if b.language == "python"]
NOTEBOOK = pages.PROJECT / "examples" / "quickstart.ipynb"


def write_run(directory: pathlib.Path) -> None:
    """The work folder of a small single network with random weights."""
    directory.mkdir(parents=True)
    system = small_single_network(max_people=3)
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    """A run, a photo, a video, annotations and predictions."""
    write_run(tmp_path / "runs" / "single")
    noise = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    frames = [cv2.resize(frame, (96, 64)) for frame in noise]
    cv2.imwrite(str(tmp_path / "photo.jpg"), frames[0][..., ::-1])
    with VideoFileWriter(tmp_path / "clip.mp4", 10) as video:
        for frame in frames:
            video.write(frame)
    true, predicted = random_sequences(seed=1)
    for name, sequence in (("annotations/val", true), ("results/predictions", predicted)):
        (tmp_path / name).mkdir(parents=True)
        write_posetrack18(tmp_path / name / f"{sequence.name}.json", sequence)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs_from_top_to_bottom(folder):
    assert len(BLOCKS) > 5 and {block.directive for block in BLOCKS} == {"executed"}
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block.text, str(block), "exec"), names)
    assert len(names["model"].predict(["photo.jpg"])[0]) == 3
    assert names["poses"].track_ids.tolist() == [0, 1, 2]
    assert names["metrics"]["posetrack"]["ap"][-1] > 0 and "hota" in names["metrics"]["posetrack21"]
    assert names["exit_code"] == 0 and list((folder / "tracked" / "predictions").glob("*.json"))


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text())
    names: dict[str, Any] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            assert not cell["outputs"], f"cell {number}: the notebook must be stored without outputs"
            exec(compile("".join(cell["source"]), f"quickstart.ipynb, cell {number}", "exec"), names)
    assert names["metrics"]["posetrack"]["mota"][-1] > 50
    assert names["sheet"].dtype == np.uint8 and isinstance(names["model"], tfpose.Model)
