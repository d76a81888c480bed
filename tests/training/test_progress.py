from __future__ import annotations

import io
import math
import pathlib

import pytest
import tensorflow as tf

from tfpose.training.loggers import CsvTable
from tfpose.training.progress import ProgressBar, ScalarWindow, format_duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_table_keeps_every_digit_and_continues(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    CsvTable(path, 0).append(1, {"loss": 1 / 3})
    CsvTable(path, 1).append(2, {"loss": 0.1})
    assert path.read_text() == "step,loss\n1,0.3333333333333333\n2,0.1\n"


def test_rows_after_the_restored_step_go(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    table = CsvTable(path, 0)
    for step in (10, 20, 30):
        table.append(step, {"loss": float(step)})
    table = CsvTable(path, 20)
    assert table.steps == {10, 20}
    assert path.read_text() == "step,loss\n10,10.0\n20,20.0\n"


def test_torn_last_row_goes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("step,loss\n100,0.5\n12")  # of "1250,0.25"
    assert CsvTable(path, 1000).steps == {100}
    assert path.read_text() == "step,loss\n100,0.5\n"


def test_new_run_begins_a_new_table(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    CsvTable(path, 0).append(5, {"loss": 1.0})
    CsvTable(path, 0).append(1, {"error": 2.0})
    assert path.read_text() == "step,error\n1,2.0\n"


def test_a_continued_run_may_add_columns(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "eval.csv"
    CsvTable(path, 0).append(5, {"AP": 1.0})
    table = CsvTable(path, 5)
    table.append(6, {"PCK": 2.0, "AP": 3.0})
    table.append(7, {"AP": 4.0})
    assert path.read_text() == "step,AP,PCK\n5,1.0,\n6,3.0,2.0\n7,4.0,\n"


def test_other_file_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("name,age\nAnna,3\n")
    with pytest.raises(ValueError, match="train.csv: the first column must be step, .* got the columns .*name.*age"):
        CsvTable(path, 0)
    assert path.read_text() == "name,age\nAnna,3\n"


def test_window_averages_losses_and_keeps_the_last_rate() -> None:
    window = ScalarWindow(0, {"loss": [1.0], "learning_rate": [0.5]})
    window.add({"loss": tf.constant(3.0), "learning_rate": tf.constant(0.25)})
    window.fetch(has_loss_scale=False)
    assert window.pending == {"loss": [1.0, 3.0], "learning_rate": [0.5, 0.25]}
    assert window.summarize() == {"loss": 2.0, "learning_rate": 0.25}
    assert window.pending == {}


def test_window_names_the_step_that_is_not_finite() -> None:
    window = ScalarWindow(40)
    for loss in (1.0, math.nan, 2.0):
        window.add({"loss": tf.constant(loss), "gradient_norm": tf.constant(1.0)})
    with pytest.raises(FloatingPointError, match="loss is nan at step 42"):
        window.fetch(has_loss_scale=True)


def test_infinite_gradient_passes_only_with_loss_scaling() -> None:
    for has_loss_scale in (True, False):
        window = ScalarWindow(0)
        window.add({"loss": tf.constant(1.0), "gradient_norm": tf.constant(math.inf)})
        if has_loss_scale:
            window.fetch(has_loss_scale=True)
            assert math.isnan(window.summarize()["gradient_norm"])
        else:
            with pytest.raises(FloatingPointError, match="gradient_norm is inf at step 1"):
                window.fetch(has_loss_scale=False)


def test_progress_is_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    bar = ProgressBar(200, stream=stream)
    bar.advance(50)
    bar.show(50, 0.5, 12.34, 3700)
    bar.show(100, 0.25, 12.34, 60)
    bar.say("done")
    bar.close()
    assert stream.getvalue().splitlines() == [
        "step  50/200  loss 0.5  12.3 images/s  1:01:40 left",
        "step 100/200  loss 0.25  12.3 images/s  0:01:00 left",
        "done",
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    bar = ProgressBar(200, start_step=20, stream=stream)
    bar.advance(50)
    bar.show(50, 0.5, 12.34, 3700)
    bar.say("a message")
    bar.close()
    shown = stream.getvalue()
    assert "\n" not in shown.split("a message")[0]
    last = shown.rstrip("\n").split("\r")[-1]
    assert last.startswith("training  25%|") and "| 50/200 steps, loss 0.5  12.3 images/s  1:01:40 left" in last
    assert "a message\n" in shown and shown.endswith("\n")


def test_unknown_duration_is_a_question_mark() -> None:
    assert format_duration(math.inf) == "?"
