import pytest
from absl import flags

import eval_main
from tfpose.flags.help_text import render_help
from tfpose.flags.program_flags import ProgramFlags
from tfpose.report import __main__ as report


@pytest.mark.parametrize("value", ["a,", "a,,b", " ,b"])
def test_an_empty_entry_of_a_list_is_not_the_current_folder(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    assert report.main([f"--results={value}"]) == 1
    rule = "--results must be entries separated by commas, none of them empty"
    assert capsys.readouterr().err == f"error: {rule}, got {value!r}\n"


def test_values_of_flags_may_begin_with_the_home_folder(monkeypatch):
    """A shell leaves --output=~/results as it is."""
    monkeypatch.setenv("HOME", "/home/me")
    words = ["--output=~/results", "--names=~/a,~/b", "--title", "a = ~/b", "~/photo.jpg", "--backup=~old.json"]
    values = ProgramFlags(words)
    assert values.arguments == (
        *("--output=/home/me/results", "--names=/home/me/a,/home/me/b", "--title", "a = ~/b"),
        *("~/photo.jpg", "--backup=~old.json"),
    )


def test_evaluate_names_flags_that_have_no_effect_on_photos(capsys):
    arguments = ["--workdir=runs/mine", "--metrics=mot", "--num_videos=2", "--tracker.max_age_frames=5", "--report"]
    values = ProgramFlags(arguments)
    eval_main.define_flags(values)
    values(["program", *arguments])
    eval_main.note_flags_of_videos(values, "train", has_videos=True)
    eval_main.note_flags_of_videos(values, "val", has_videos=False)
    assert capsys.readouterr().err == (
        "note: split val has no videos; tfpose does not use --metrics, --num_videos, --tracker.max_age_frames\n"
    )


def test_the_help_says_what_kind_of_value_a_flag_takes():
    values = ProgramFlags()
    values.define_list("names", [], "Names.")
    values.define_float("share", 0.5, "Share.", 0.0, 1.0)
    assert "--names=A,B,..." in render_help("", values) and "--share=NUMBER" in render_help("", values)


def test_a_required_text_must_not_be_empty():
    """As --output_dir=$RESULTS is without such a variable; it would be the current folder."""
    values = ProgramFlags()
    values.define_string("output_dir", None, "Folder. Required.", required=True)
    values.define_string("title", "", "Title.")
    with pytest.raises(flags.IllegalFlagValueError, match="--output_dir"):
        values(["program", "--output_dir=", "--title="])
    values(["program", "--output_dir=results", "--title="])
