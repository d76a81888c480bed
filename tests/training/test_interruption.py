from __future__ import annotations

import os
import pathlib
import signal

import pytest
import toy_run

from tfpose import checkpoints
from tfpose.interruption import SignalWatch, TrainingInterrupted
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_saves_and_exits_with_its_code(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, code: int
) -> None:
    def evaluate(*_: object) -> dict[str, float]:
        os.kill(os.getpid(), number)
        return {"ap": 0.5}

    before = signal.getsignal(number)
    with pytest.raises(TrainingInterrupted) as caught:
        train(
            TrainingPlan(
                build_model=toy_run.build_model,
                compute_loss=toy_run.compute_loss,
                make_dataset=toy_run.make_dataset,
                hooks=Hooks(evaluate=evaluate),
            ),
            strategy=build_strategy("one_device"),
            workdir=tmp_path,
            optimization=OptimizationSettings(0.01),
            run=RunSettings(total_steps=9, evaluate_every=4),
        )
    assert caught.value.code == code
    assert "stopped by a signal after step 4; the state is saved" in capsys.readouterr().err
    assert [checkpoints.parse_step(path) for path in checkpoints.list_checkpoints(tmp_path)] == [4]
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As SIGHUP below nohup, and Ctrl-C in a script's job in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalWatch() as watch:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not watch.stop_requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_second_signal_acts_as_usual() -> None:
    with SignalWatch() as watch:
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.stop_requested and watch.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
