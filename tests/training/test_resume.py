"""A run that is killed, or stopped, and continued has the losses of one that never stopped."""

from __future__ import annotations

import pathlib
import re
import signal

import pytest
from process_copies import Launcher, ProcessCopy

from tfpose import checkpoints

PROGRAM = "import toy_run; toy_run.main()"
TIMEOUT_SECONDS = 120
STEPS = 120
# Rows and checkpoints fall on different steps, so that a checkpoint also holds an unfinished row.
ARGUMENTS = ("--steps", STEPS, "--log-every", 7, "--checkpoint-every", 10, "--batch-norm", "--variants")


def signal_after(process: ProcessCopy, step: int, number: signal.Signals) -> tuple[int, str]:
    """Sends the signal when the progress reaches `step`; returns the exit code and what was said."""
    for line in process.read_lines():
        match = re.match(r"step +(\d+)/", line)
        if match and int(match[1]) >= step:
            process.send_signal(number)
            break
    return process.wait(TIMEOUT_SECONDS), process.read_errors()


def read_rows(run: pathlib.Path) -> list[list[str]]:
    """The table without the column of speeds."""
    lines = (run / "train.csv").read_text().splitlines()
    speed = lines[0].split(",").index("images_per_second")
    return [[field for i, field in enumerate(line.split(",")) if i != speed] for line in lines]


@pytest.mark.parametrize("variant", ["clipped", "muon"])
def test_killed_and_stopped_runs_continue_to_the_bit(tmp_path: pathlib.Path, variant: str, launcher: Launcher) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"

    def start(workdir: pathlib.Path, *options: object) -> ProcessCopy:
        return launcher.start(PROGRAM, "--workdir", workdir, *ARGUMENTS, variant, *options)

    reference = start(whole)
    code, _ = signal_after(start(stopped, "--pause", 0.03), 28, signal.SIGKILL)
    assert code == -signal.SIGKILL
    killed_at = [checkpoints.parse_step(p) for p in checkpoints.list_checkpoints(stopped / variant)]
    assert killed_at and max(killed_at) < STEPS

    code, said = signal_after(start(stopped, "--pause", 0.03), 63, signal.SIGTERM)
    assert code == 143, said
    stopped_at = int(re.search(r"stopped by a signal after step (\d+); the state is saved", said)[1])
    assert checkpoints.parse_step(checkpoints.list_checkpoints(stopped / variant)[-1]) == stopped_at
    assert 63 <= stopped_at < STEPS

    final = start(stopped)
    assert final.wait(TIMEOUT_SECONDS) == 0, final.read_errors()
    assert f"continuing after step {stopped_at}" in final.read_errors()
    assert reference.wait(TIMEOUT_SECONDS) == 0

    assert read_rows(stopped / variant) == read_rows(whole / variant)
    assert len(read_rows(whole / variant)) == 1 + -(-STEPS // 7)
    assert (stopped / variant / "eval.csv").read_text() == (whole / variant / "eval.csv").read_text()
    values, metadata = checkpoints.read_checkpoint(checkpoints.list_checkpoints(stopped / variant)[-1])
    expected, _ = checkpoints.read_checkpoint(checkpoints.list_checkpoints(whole / variant)[-1])
    assert metadata.step == STEPS
    assert values.keys() == expected.keys()
    assert all(values[name].tobytes() == expected[name].tobytes() for name in values)
