"""The command tfpose, and the programs called as functions."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys

import pytest
from absl import flags
from program_runs import ENVIRONMENT, PROJECT, assert_one_line, run
from tqdm import tqdm

import tfpose
from tfpose import console
from tfpose.flags.command_line import Program, run_program

CONFIGS = ("train", "evaluate", "preview", "tune")


def call(*arguments, **options):
    return run("-m", "tfpose", *arguments, **options)


def test_help_fits_a_screen_and_names_every_subcommand():
    result = call("--help")
    lines = result.stdout.splitlines()
    assert result.returncode == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(console.SUBCOMMANDS)


class Unread(io.StringIO):
    """Standard error after a lost connection, or whose reader has ended."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_run_whose_progress_nobody_reads_any_more_goes_on(monkeypatch, capsys):
    def work(values, inputs):
        for _ in tqdm(range(3), desc="work"):
            print("note: still at work", file=sys.stderr, flush=True)
        print("results")

    monkeypatch.setattr(sys, "stderr", Unread())
    program = Program("tfpose example", "An example.", lambda values: None, work)
    assert run_program(program, []) == 0
    assert capsys.readouterr().out == "results\n"


def test_without_arguments_the_help_is_an_error():
    result = call()
    assert result.returncode == 1 and result.stderr == console.HELP


def test_version():
    assert call("--version").stdout == f"tfpose {tfpose.__version__}\n"


def test_an_unknown_subcommand_is_one_line_with_the_close_one():
    assert_one_line(call("trian"), "tfpose has no subcommand 'trian'; did you mean train?")
    assert_one_line(
        call("--workdir=x"), "no subcommand '--workdir=x'; the subcommands are predict, predict-many, train, "
    )


@pytest.mark.parametrize("name", list(console.SUBCOMMANDS))
def test_help_of_a_subcommand_is_the_help_of_its_program(name):
    module = importlib.import_module(console.SUBCOMMANDS[name][0])
    result = call(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(module.__doc__.strip().splitlines()[0])
    assert "--verbosity" not in result.stdout
    full = call(name, "--helpfull").stdout
    assert full.startswith(result.stdout.rstrip()) and "--verbosity" in full


@pytest.mark.parametrize("name", list(console.SUBCOMMANDS))
def test_every_help_text_is_whole(name):
    """Docstring, and for each flag a sentence with a capital and a full stop."""
    from tfpose.flags.command_line import define_all_flags
    from tfpose.flags.program_flags import ProgramFlags

    program = importlib.import_module(console.SUBCOMMANDS[name][0]).PROGRAM
    values = ProgramFlags()
    define_all_flags(program, values)
    for flag in {values[name] for name in values}:
        assert flag.help and (flag.help[0].isupper() or flag.help[0].isdigit() or " " in flag.help), flag.name
        assert flag.help.endswith("."), flag.name


def test_programs_are_functions_that_can_be_called_again(capsys):
    from tfpose import export, score

    before = set(flags.FLAGS)
    for _ in range(2):
        assert export.main([]) == 1
        assert capsys.readouterr().err == "error: --workdir must be given, got nothing\n"
        assert score.main(["--ground_truth=/none", "--predictions=/none", "--output_dir=/none"]) == 1
        assert capsys.readouterr().err.startswith("error: /none")
    assert set(flags.FLAGS) == before


def test_flags_come_from_a_file_too(tmp_path, capsys):
    from tfpose import score

    (tmp_path / "flags").write_text("--ground_truth=/none\n--predictions=/none\n--output_dir=/none\n--table=html\n")
    assert score.main([f"--flagfile={tmp_path / 'flags'}"]) == 1
    assert capsys.readouterr().err == "error: --table must be some of text, latex, markdown, csv, got html\n"
    assert score.main(["--flagfile=/none"]) == 1
    assert "Unable to open flagfile" in capsys.readouterr().err


def test_programs_run_without_standard_streams(tmp_path):
    """As a service may start them."""
    command = (
        f"{sys.executable} -m tfpose --version; {sys.executable} -m tfpose track --predictions=none --output_dir=o"
    )
    for closed in ("<&-", "<&- >&-", "<&- >&- 2>&-"):
        result = subprocess.run(
            ["bash", "-c", f"exec {closed}; {command}"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert result.stderr.startswith("error: ") == ("2>&-" not in closed)


def test_a_reader_that_stops_reading_ends_the_program_quietly():
    command = f"{sys.executable} -m tfpose track --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode in (0, 141) and done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_defect_keeps_its_traceback():
    from tfpose.flags.command_line import Program, run_program

    def fail(values, inputs):
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        run_program(Program("x", "", lambda values: None, fail), [])


@pytest.mark.parametrize("name", ["score", "track", "report"])
def test_programs_for_files_start_without_tensorflow(name):
    code = f"import sys, tfpose.console as c; c.main([{name!r}, '--help']); assert 'tensorflow' not in sys.modules"
    assert run("-c", code, separate_process=True).returncode == 0
