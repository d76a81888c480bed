"""Where a run reports to: the default files, and two services that are faked here."""

from __future__ import annotations

import json
import pathlib
import sys
import types
from typing import Any

import numpy as np
import pytest

from tfpose.interruption import TrainingInterrupted
from tfpose.training.loggers import LOGGERS
from tfpose.training.progress import RunLog
from tfpose.training.session import RunSettings

SCALARS = {"loss": 0.5, "learning_rate": 0.1}
PICTURES = {"crops": np.zeros((2, 4, 6, 3), np.uint8)}


class Calls(list):
    """The calls of a fake module, in their order."""

    def note(self, name: str, result: Any = None) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.append((name, args, kwargs))
            return result

        return called


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    run = types.SimpleNamespace(id="abc", **{n: calls.note(n) for n in ("log", "define_metric", "finish")})
    module = types.SimpleNamespace(init=calls.note("init", run), Image=lambda picture: ("image", picture.shape))
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="xyz"))
    names = ("log_metrics", "log_image", "log_dict", "end_run")
    module = types.SimpleNamespace(start_run=calls.note("start_run", run), **{n: calls.note(n) for n in names})
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return calls


def report(workdir: pathlib.Path, *loggers: str) -> None:
    """A run with one report of each kind."""
    log = RunLog(workdir, start_step=0, total_steps=10, is_chief=True, loggers=loggers)
    log.write_training(5, SCALARS, images_per_second=8.0, seconds_per_step=1.0)
    log.write_evaluation(5, {"AP": 60.0})
    log.write_pictures(5, PICTURES)
    log.flush()
    log.close()


def test_default_writes_the_tables_and_tensorboard(tmp_path: pathlib.Path) -> None:
    report(tmp_path, *RunSettings(total_steps=1).loggers)
    assert (tmp_path / "train.csv").read_text() == "step,loss,learning_rate,images_per_second\n5,0.5,0.1,8.0\n"
    assert (tmp_path / "eval.csv").read_text() == "step,AP\n5,60.0\n"
    assert {path.name for path in tmp_path.iterdir()} == {"train.csv", "eval.csv", "tensorboard"}


def test_csv_alone_writes_the_tables_alone(tmp_path: pathlib.Path) -> None:
    report(tmp_path, "csv")
    assert {path.name for path in tmp_path.iterdir()} == {"train.csv", "eval.csv"}


def test_wandb_receives_numbers_pictures_and_the_config(tmp_path: pathlib.Path, wandb: Calls) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"seed": 3}))
    report(tmp_path, "wandb")
    (_, _, options), *_ = wandb
    assert options["config"] == {"seed": 3} and options["id"] is None and options["name"] == tmp_path.name
    logged = [args[0] for name, args, _ in wandb if name == "log"]
    assert logged[0] == {"step": 5, "train/loss": 0.5, "train/learning_rate": 0.1, "train/images_per_second": 8.0}
    assert logged[1] == {"step": 5, "eval/AP": 60.0}
    assert logged[2] == {"step": 5, "pictures/crops": [("image", (4, 6, 3))] * 2}
    assert [name for name, _, _ in wandb][-1] == "finish"


def test_mlflow_receives_numbers_pictures_and_the_config(tmp_path: pathlib.Path, mlflow: Calls) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"seed": 3}))
    report(tmp_path, "mlflow")
    assert mlflow[0] == ("start_run", (), {"run_name": tmp_path.name})
    assert ("log_dict", ({"seed": 3}, "config.json"), {}) in mlflow
    assert ("log_metrics", ({"eval/AP": 60.0},), {"step": 5}) in mlflow
    files = [options["artifact_file"] for name, _, options in mlflow if name == "log_image"]
    assert files == ["pictures/crops/step_00000005_0.png", "pictures/crops/step_00000005_1.png"]
    assert mlflow[-1][0] == "end_run"


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [(None, "FINISHED", 0), (TrainingInterrupted(143), "KILLED", 1), (FloatingPointError("loss"), "FAILED", 1)],
)
def test_services_are_told_how_the_run_ended(
    tmp_path: pathlib.Path, wandb: Calls, mlflow: Calls, error: BaseException | None, status: str, exit_code: int
) -> None:
    log = RunLog(tmp_path, start_step=0, total_steps=10, is_chief=True, loggers=("csv", "wandb", "mlflow"))
    log.close(error)
    assert mlflow[-1] == ("end_run", (status,), {})
    assert wandb[-1] == ("finish", (), {"exit_code": exit_code})


def test_a_service_that_fails_does_not_end_the_training(
    tmp_path: pathlib.Path, mlflow: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("API request failed")

    for name in ("log_metrics", "log_image", "end_run"):
        monkeypatch.setattr(sys.modules["mlflow"], name, fail)
    report(tmp_path, "mlflow", "csv")
    assert (tmp_path / "eval.csv").read_text() == "step,AP\n5,60.0\n"
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert told == ["warning: MlflowLogger: API request failed; the training goes on"]


def test_continued_run_appends_to_the_run_of_the_service(tmp_path: pathlib.Path, wandb: Calls, mlflow: Calls) -> None:
    for _ in range(2):
        report(tmp_path, "wandb", "mlflow")
    assert [options["id"] for name, _, options in wandb if name == "init"] == [None, "abc"]
    assert [options for name, _, options in mlflow if name == "start_run"][1] == {"run_id": "xyz"}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_missing_package_is_one_line_with_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"run.loggers '{name}' requires the package {name}; run pip install {name}"):
        LOGGERS[name](tmp_path, 0)


@pytest.mark.parametrize("names", [("csv", "print"), ("csv", "csv")])
def test_unknown_and_repeated_loggers_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"loggers must be distinct names of csv, .*, got {', '.join(names)}"):
        RunSettings(total_steps=1, loggers=names)


def test_only_the_chief_has_loggers(tmp_path: pathlib.Path) -> None:
    log = RunLog(tmp_path / "run", start_step=0, total_steps=1, is_chief=False)
    log.advance(1)
    log.write_training(1, SCALARS, images_per_second=1.0, seconds_per_step=1.0)
    log.close()
    assert not (tmp_path / "run").exists()
