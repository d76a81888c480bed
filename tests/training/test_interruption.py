from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator

import pytest
import toy_run

from tfpose import checkpoints, interruption
from tfpose.interruption import SignalWatch, TrainingInterrupted, signals_interrupt
from tfpose.training.loggers import CsvLogger
from tfpose.training.loop import Hooks, OptimizationSettings, RunSettings, TrainingPlan, build_strategy, train


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_saves_and_exits_with_its_code(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    ends = []
    monkeypatch.setattr(CsvLogger, "close", lambda logger, error: ends.append(error))

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
    assert caught.value.code == code and ends == [caught.value]
    assert "stopped by a signal after step 4; the state is saved" in capsys.readouterr().err
    assert [checkpoints.parse_step(path) for path in checkpoints.list_checkpoints(tmp_path)] == [4]
    assert signal.getsignal(number) == before


def test_second_signal_acts_as_usual() -> None:
    with SignalWatch() as watch:
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.stop_requested and watch.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_lost_terminal_stops_once_and_takes_what_is_written_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell sends SIGHUP to its commands when its terminal is gone, and the system once more when the shell ends."""
    keyboard, terminal = os.openpty()
    monkeypatch.setattr(interruption, "_OUTPUTS", (terminal,))
    before = signal.getsignal(signal.SIGHUP)
    try:
        with SignalWatch() as watch:
            os.close(keyboard)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGHUP)
            assert watch.stop_requested and watch.exit_code == 129
            assert os.write(terminal, b"clip: 8 frames\n")
    finally:
        os.close(terminal)
    assert signal.getsignal(signal.SIGHUP) == before


@pytest.fixture
def nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("nohup")
def test_under_nohup_a_lost_connection_stops_nothing() -> None:
    with SignalWatch() as watch, signals_interrupt():
        os.kill(os.getpid(), signal.SIGHUP)
    assert not watch.stop_requested
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_what_must_be_cleaned_up(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals_interrupt():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
