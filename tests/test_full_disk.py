"""A sample of `full_disk.py`: every program on a disk that is half as large as it needs."""

from __future__ import annotations

import full_disk
import pytest


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_whole(tmp_path):
    if not full_disk.can_mount():
        pytest.skip("small disks cannot be mounted here")
    runs = list(full_disk.try_all(full_disk.build_cases(tmp_path), shares=(0.5,)))
    assert [run for run in runs if run[2]] == []
    assert len(runs) > 30
