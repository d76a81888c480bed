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
