import eval_main
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
