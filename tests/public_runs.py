"""Records of real photos, and work folders of public weights: made once for all tests, by whichever worker."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import pytest
from program_runs import run

from tfpose.file_locks import wait_for_lock

DEFAULT_FILES = ("tinypose_256x192.pdparams", "picodet_s_320_pedestrian.pdparams")


class PublicRuns:
    """A folder for what is made when the first test asks for it; tests must not change it.

    Attributes:
        folder: the folder; it has the configs of the work folders too.
        source: the photos, as their publisher has them.
        weights: the files of the publishers.
    """

    def __init__(self, folder: pathlib.Path, data: pathlib.Path) -> None:
        self.folder, self.source, self.weights = folder, data / "coco_mini", data / "weights"
        if not self.source.is_dir() or not self.weights.is_dir():
            pytest.skip("needs data/weights and data/coco_mini of ../shared, which are absent")
        folder.mkdir(exist_ok=True)

    def records(self) -> pathlib.Path:
        """The dataset of the photos."""
        name = "coco_keypoints"
        return self._make(name, "data_prep.build", name, f"--source={self.source}", f"--output={self.folder}")

    def workdir(self, name: str) -> pathlib.Path:
        """The work folder of a published network, such as tinypose_128x96; its config lies beside it."""
        files = (self.weights / f"{name}.pdparams", f"--output={self.folder / name}.weights.h5")
        return self._make(name, "tfpose.pretrained", *files)

    def first_command(self) -> dict[str, Any]:
        """A newcomer's first command, with the weights laid into the cache by hand.

        Returns:
            Its `photo`, `cache` and folder `output`, and its lines on `stdout` and `stderr`.
        """
        cache, output = self.folder / "cache", self.folder / "first_results"
        content = json.loads((self.source / "annotations" / "person_keypoints_val.json").read_text())
        most = max(content["annotations"], key=lambda person: person["num_keypoints"])["image_id"]
        (name,) = (image["file_name"] for image in content["images"] if image["id"] == most)
        with wait_for_lock(self.folder / "lock", say=lambda holder: None):
            if not cache.exists():
                cache.mkdir()
                for file in DEFAULT_FILES:
                    shutil.copy(self.weights / file, cache)
        photo = self.source / "images" / "val" / name
        self._make("first_results", "tfpose.predict", photo, f"--cache={cache}", f"--output={output}")
        said = json.loads((self.folder / "first_results.done").read_text())
        return {"photo": photo, "cache": cache, "output": output, **said}

    def _make(self, name: str, program: str, *words: object) -> pathlib.Path:
        """What a program makes as `name` of the folder; beside it what the program said."""
        done = self.folder / f"{name}.done"
        with wait_for_lock(self.folder / "lock", say=lambda holder: None):
            if not done.exists():
                result = run("-m", program, *words)
                assert result.returncode == 0, result.stderr[-2000:]
                done.write_text(json.dumps({"stdout": result.stdout, "stderr": result.stderr}))
        return self.folder / name
