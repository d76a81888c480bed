"""Damaged files: always the right kind of result or one clear line, never anything else, whatever is done with them."""

from __future__ import annotations

import json
import pathlib
import resource

import numpy as np
import pytest
from posetrack_cases import mutate

from tfpose.evaluation.retracking import track_file
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack
from tfpose.posetrack import read_posetrack
from tfpose.tracking.choice import TrackerChoice

NUM_MUTATIONS = 1000
TRACKER = TrackerChoice("offline")


def outcome_of(action, *arguments) -> str | None:
    """What an action refused with; None where it did its work."""
    try:
        action(*arguments)
    except ValueError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message) < 1000
        message.encode()
        return message
    return None


def score(folder: pathlib.Path, metrics: tuple[str, ...]) -> None:
    report = evaluate_posetrack(folder / "gt", folder / "pred", PoseTrackOptions(metrics))
    json.dumps(report.to_dict(), allow_nan=False)


def track(path: pathlib.Path, folder: pathlib.Path, file_format: str) -> None:
    track_file(path, folder, TRACKER, file_format)
    # Whatever was written can be read again.
    assert read_posetrack(folder / path.name).frames is not None


# Mutated files hold numbers such as 1e308.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("case", ["pt17_handmade", "pt18_perfect"])
def test_mutated_files_are_scored_and_tracked_or_refused_in_one_line(poseval_dir, tmp_path, case):
    rng = np.random.default_rng(7)
    is_2018 = case.startswith("pt18")
    metrics = ("ap", "mot", "hota") if is_2018 else ("ap", "mot")
    name = sorted(path.name for path in (poseval_dir / case / "gt").iterdir())[0]
    contents = {side: json.loads((poseval_dir / case / side / name).read_text()) for side in ("gt", "pred")}
    most_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = {"score": 0, "track": 0}
    for _ in range(NUM_MUTATIONS):
        for side in ("gt", "pred"):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / name).write_text(json.dumps(contents[side]))
        side = ("gt", "pred")[rng.integers(2)]
        text = json.dumps(mutate(contents[side], rng))
        cut = len(text) if rng.random() < 0.9 else int(rng.integers(len(text)))
        (tmp_path / side / name).write_text(text[:cut])
        refused["score"] += outcome_of(score, tmp_path, metrics) is not None
        file_format = "2018" if is_2018 else "2017"
        refused["track"] += outcome_of(track, tmp_path / side / name, tmp_path / "out", file_format) is not None
    assert all(NUM_MUTATIONS / 8 < count < NUM_MUTATIONS for count in refused.values()), refused
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most_memory
    assert grown < 1 << 20, "kilobytes"
