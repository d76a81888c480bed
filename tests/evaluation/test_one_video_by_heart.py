"""The commands on real frames: a small single network learns the one training video of posetrack18_mini by heart."""

from __future__ import annotations

import json

import pytest
from program_runs import run

CONFIG = "--config=configs/single_network_posetrack18_mini.py"


@pytest.mark.slow
def test_single_network_overfits_a_real_video(shared_dir, tmp_path):
    """The nose is not annotated there: it has no figures, and costs nothing but the joints that it may add."""
    source = shared_dir / "data" / "posetrack18_mini"
    common = (CONFIG, f"--config.data.directory={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}")
    commands = [
        ("-m", "data_prep.build", "posetrack18", "--source", source, "--output", tmp_path / "data"),
        # Devices cannot be divided in a process that has used TensorFlow.
        ("train_main.py", *common, "--config.strategy=one_device"),
        ("eval_main.py", *common, f"--output_dir={tmp_path}"),
    ]
    for command in commands:
        result = run(*command)
        assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["provenance"]["frames"] == 28
    figures = metrics["posetrack"]
    assert figures["mota"][figures["joints"].index("nose")] is None
    assert figures["ap"][-1] >= 90
    assert figures["mota"][-1] >= 85
