"""A sample of `full_disk.py`: every program on a disk that is half as large as it needs."""

from __future__ import annotations

import dataclasses

import full_disk
import pytest

# What programs write, which `full_disk.py` finds by a run on a disk with room. A program that comes to write less than
# half of it ends well, and the test says so.
KILOBYTES = {
    "score": 644,
    "report": 200,
    "evaluate": 184,
    "export": 1748,
    "predict photos": 80,
    "predict video": 792,
    "preview": 2388,
    "pretrained": 133524,
}


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_whole(tmp_path):
    if not full_disk.can_mount():
        pytest.skip("small disks cannot be mounted here")
    cases = full_disk.build_cases(tmp_path)
    cases |= {name: dataclasses.replace(cases[name], num_bytes=size << 10) for name, size in KILOBYTES.items()}
    runs = list(full_disk.try_all(cases, shares=(0.5,)))
    assert [run for run in runs if run[2]] == []
    assert len(runs) > 30
