"""The text of --help."""

from __future__ import annotations

from tfpose import predict
from tfpose.flags.help_text import render_help
from tfpose.flags.program_flags import ProgramFlags


def render(values: ProgramFlags) -> str:
    """The help text with single spaces."""
    return " ".join(render_help("Does something.", values).split())


def test_a_number_is_shown_as_a_number_also_where_it_has_bounds():
    values = ProgramFlags()
    values.define_float("rate", None, "Frame rate.", 0.1)
    values.define_integer("count", 3, "Count.", 1)
    assert render(values).endswith("--rate=NUMBER Frame rate. --count=INTEGER Count. (default: 3)")


def test_a_default_is_said_once():
    values = ProgramFlags()
    predict.define_flags(values)
    text = render(values)
    assert "By default results, in the current folder. --outputs" in text
    assert "with a public checkpoint in --model, otherwise payer2017. --tracker.similarity" in text
