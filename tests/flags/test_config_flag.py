"""The flag --config: names, paths, and what is wrong with them."""

from __future__ import annotations

import os

import pytest
from absl import flags

from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import config_source, configs_directory, define_config_flag, find_config, load_config
from tfpose.flags.program_flags import ProgramFlags
from tfpose.systems.run_config import write_run_config

NAME = "two_stage_resnet50_coco"


def parse(*arguments):
    """The flags after they are parsed, or None."""
    found = []
    program = Program("program", "", lambda values: define_config_flag(values, "A."), lambda v, _: found.append(v))
    code = run_program(program, arguments)
    assert (code == 0) == bool(found)
    return found[0] if found else None


def test_a_name_is_the_config_of_the_library_from_any_folder(tmp_path, monkeypatch):
    path = configs_directory() / f"{NAME}.py"
    by_path = parse(f"--config={path}").config
    monkeypatch.chdir(tmp_path)
    by_name = parse(f"--config={NAME}").config
    assert by_name.to_dict() == by_path.to_dict()
    assert by_name.is_locked


def test_changes_and_the_file_are_told():
    values = parse(f"--config={NAME}", "--config.batch_size=3", "--config.network.input_size=(64,32)")
    assert values.config.batch_size == 3
    assert config_source(values) == (NAME, {"batch_size": 3, "network.input_size": (64, 32)})
    assert parse(f"--config={NAME}").config.batch_size != 3


@pytest.mark.parametrize(
    ("name", "given"),
    [("optimization.cosine_steps", "3"), ("optimization.ema_decay", "0.5"), ("run.evaluate_every", "3")],
)
def test_none_leaves_out_what_a_config_has(name, given):
    section, field = name.split(".")
    read = [parse(f"--config={NAME}", f"--config.{name}={text}").config[section][field] for text in (given, "None")]
    assert read == [float(given), None]


def test_a_text_behind_a_colon_is_the_argument_of_the_config(tmp_path):
    path = tmp_path / "sized.py"
    path.write_text(
        "import ml_collections\ndef get_config(size):\n    return ml_collections.ConfigDict({'size': int(size)})\n"
    )
    assert parse(f"--config={path}:7").config.size == 7


def test_a_config_is_read_anew_though_its_size_and_time_are_the_same(tmp_path):
    path = tmp_path / "sweep.py"
    for number in (1, 2):
        lines = ("from ml_collections import ConfigDict", f"def get_config(): return ConfigDict({{'x': {number}}})")
        path.write_text("\n".join(lines))
        os.utime(path, (0, 0))
        assert load_config(str(path)).x == number
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.py"]


def test_values_of_the_config_of_a_run_can_be_changed(tmp_path):
    def parse_with_workdir(*arguments):
        values = ProgramFlags(arguments)
        define_config_flag(values, "A.", is_that_of_run=True)
        values.define_string("workdir", None, "Work folder.")
        values(["program", *values.arguments])
        return values

    config = load_config(NAME)
    config.batch_size = 5
    write_run_config(config, tmp_path)
    for workdir in ([f"--workdir={tmp_path}"], ["-workdir", str(tmp_path)]):
        values = parse_with_workdir(*workdir, "--config.data.directory=here", "--config.crop.margin_scale=1.5")
        assert (values.config.batch_size, values.config.data.directory) == (5, "here")
        assert values.config.crop.to_dict() == {**config.crop.to_dict(), "margin_scale": 1.5}
        assert values.config.is_locked
        assert config_source(values)[0] == str(tmp_path / "config.json")
    assert parse_with_workdir(f"--workdir={tmp_path}").config is None
    values = parse_with_workdir(f"--workdir={tmp_path}", f"--config={NAME}", "--config.data.directory=here")
    assert values.config.batch_size != 5
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(flags.Error, match="must be an object with the name of a system"):
        parse_with_workdir(f"--workdir={tmp_path}", "--config.data.directory=here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [f"--config={NAME}", *["--config.network.input_size=(64,32)"] * 2],
            "--config.network.input_size must be given once, got 2 values",
        ),
        (
            ["--config=two_stage_resnet50"],
            f"--config=two_stage_resnet50: there is no config of this name; did you mean {NAME}",
        ),
        (["--config=x"], "--config=x: there is no config of this name; the names are keypoint_rcnn_r50_coco, "),
        (["--config=configs/none.py"], "--config=configs/none.py: there is no such file"),
        ([f"--config=my/{NAME}.py"], f"there is no such file; did you mean {NAME} or "),
        (["--config.batch_size=3"], "program has no flag --config.batch_size; --config must be given in front of it"),
        (["--config.batch_size=3", f"--config={NAME}"], "--config must be given in front of --config.NAME=VALUE"),
        ([f"--config={NAME}", "--config.batch_size=x"], "--config.batch_size must be an integer, got 'x'"),
        ([f"--config={NAME}", "--config.batch_sise=3"], "the config has no value 'batch_sise'. Did you mean"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, arguments, message):
    assert parse(*arguments) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config():\n    return missing\n", "NameError: name 'missing' is not defined (line 2)"),
        ("def get_config()\n", "SyntaxError"),
        ("def get_config():\n    return 3\n", "get_config() must return a ConfigDict, got int"),
        ("x = 3\n", "AttributeError"),
    ],
)
def test_a_defect_of_a_config_is_one_line(capsys, tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert parse(f"--config={path}") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --config={path}: ") and message in line


def test_paths_come_before_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("")
    assert find_config(NAME).resolve() == tmp_path / NAME
