import pytest
from absl import flags

from tfpose.flags.program_flags import ProgramFlags


def test_values_of_flags_may_begin_with_the_home_folder(monkeypatch):
    """A shell leaves --output=~/results as it is."""
    monkeypatch.setenv("HOME", "/home/me")
    words = ["--output=~/results", "--names=~/a,~/b", "--title", "a = ~/b", "~/photo.jpg", "--backup=~old.json"]
    values = ProgramFlags(words)
    assert values.arguments == (
        *("--output=/home/me/results", "--names=/home/me/a,/home/me/b", "--title", "a = ~/b"),
        *("~/photo.jpg", "--backup=~old.json"),
    )


def test_a_required_text_must_not_be_empty():
    """As --output_dir=$RESULTS is without such a variable; it would be the current folder."""
    values = ProgramFlags()
    values.define_string("output_dir", None, "Folder. Required.", required=True)
    values.define_string("title", "", "Title.")
    with pytest.raises(flags.IllegalFlagValueError, match="--output_dir"):
        values(["program", "--output_dir=", "--title="])
    values(["program", "--output_dir=results", "--title="])
