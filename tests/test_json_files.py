"""orjson reads and writes what the module `json` reads and writes, and leaves everything else to it."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
import math
import random

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from json_mutations import SCALARS, TEXTS, Mutator

from tfpose import json_files
from tfpose.json_files import format_as_json, format_json, parse_json, read_json, write_json

CONTENT = {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [{"keypoints": [1.5, 2, 0.25], "bbox": []}] * 2}
INPUTS = {
    "plain": b'{"a": [1, -2.5, "x", true, false, null, {}], "b": {"c": []}}',
    "numbers": b"[0, -0, -0.0, 1E5, 1e-400, 5e-324, 0.1000000000000000055511151231257827, 9007199254740993, 1.0]",
    "NaN": b"[NaN, 1]",
    "infinity": b"[Infinity, -Infinity]",
    "too large": b"[1e400, -1e400]",
    "duplicate keys": b'{"a": 1, "b": 2, "a": {"b": 3, "b": 4}}',
    "single surrogate": b'["\\ud800", "\\udc00x"]',
    "pair of surrogates": b'"\\ud83d\\ude00"',
    "encoded surrogate": b'"\xed\xa0\x80"',
    "byte order mark": b"\xef\xbb\xbf[1]",
    "UTF-16": '["é", 1]'.encode("utf-16"),
    "UTF-32": '["é", 1]'.encode("utf-32-le"),
    "at 64 bits": b"[9223372036854775807, 9223372036854775808, 18446744073709551615, -9223372036854775808]",
    "beyond 64 bits": b"[18446744073709551616, 1]",
    "beyond 64 bits, negative": b"[-9223372036854775809]",
    "beyond 64 bits, alone": b"18446744073709551616",
    "beyond 64 bits, negative and alone": b" -18446744073709551616",
    "beyond 64 bits in a key": b'{"18446744073709551616": 18446744073709551616}',
    "many digits": b"1" * 6000,
    "many digits before a point": b"[123456789012345678901234567890.5]",
    "many digits behind a point": b"[0.00012345678901234567, 0.123456789012345678901234567890e5]",
    "more content": b"[1] x",
    "more closing brackets": b'{"a": 1}}',
    "single quotes": b"{'a': 1}",
    "trailing comma": b"[1,]",
    "leading zero": b"[01]",
    "no digit behind the point": b"[1.]",
    "comment": b"[1] // one",
    "control character": b'"a\x01b"',
    "escaped zero": b'"\\u0000"',
    "bad escape": b'"\\x41"',
    "form feed": b"\x0c[1]",
    "invalid UTF-8": b'["\xff"]',
    "cut in a character": b'"\xc3',
    "cut": b'{"a": [1, 2',
    "cut in a number": b"[-",
    "empty": b"",
    "spaces": b" \n\t ",
    "deep": b"[" * 200 + b"]" * 200,
    "deeper than json reads": b"[" * 100_000,
}


def _outcome(read, content: bytes) -> tuple:
    try:
        return "read", repr(read(content))
    except (ValueError, RecursionError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", INPUTS)
def test_the_result_or_the_error_is_that_of_the_module_json(name):
    assert _outcome(parse_json, INPUTS[name]) == _outcome(json.loads, INPUTS[name])


def test_messages_of_files_do_not_depend_on_orjson(tmp_path, monkeypatch):
    path = tmp_path / "a.json"

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return read_json(path)

    outcomes = [_outcome(read, content) for content in INPUTS.values()]
    monkeypatch.setattr(json_files, "parse_json", json.loads)
    assert outcomes == [_outcome(read, content) for content in INPUTS.values()]
    assert any(outcome[0] is ValueError for outcome in outcomes)


@pytest.mark.parametrize("inner", ["", ', {"people": []}, "\\"people\\": "'])
def test_a_list_that_is_there_twice_is_refused(tmp_path, inner):
    """Every reader of JSON forgets the first one without a word."""
    path = tmp_path / "a.json"
    path.write_text(f'{{"people": [1, "people"{inner}], "people": 3, "people": [4]}}')
    with pytest.raises(ValueError, match=r"a.json: broken JSON: 'people' must be there once, got it 3 times"):
        read_json(path, checks_lists=True)
    path.write_text(f'{{"people": [1, "people"{inner}]}}')
    assert len(read_json(path, checks_lists=True)["people"]) == 2 + 2 * bool(inner)


def test_damaged_files_are_read_alike():
    mutator = Mutator(CONTENT)
    for seed in range(400):
        damaged = mutator.damaged(seed)
        assert _outcome(parse_json, damaged) == _outcome(json.loads, damaged), seed


def test_random_numbers_are_read_to_the_last_digit():
    rng = random.Random(0)
    floats = [math.ldexp(rng.random() - 0.5, rng.randint(-1070, 1020)) for _ in range(2000)]
    whole = [rng.randint(-(1 << bits), 1 << bits) for bits in range(1, 90) for _ in range(10)]
    # One by one, since a single long number makes `json` read the whole content.
    for number in (*floats, *whole, *(f"{value:.25e}" for value in floats), *(f"{value:.30f}" for value in floats)):
        text = f"[{number}]".encode()
        assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("shift", range(25))
def test_long_numbers_are_found_at_every_place_of_a_block(monkeypatch, shift):
    monkeypatch.setattr(json_files, "_SEARCHED_BYTES", 40)
    content = b"[" + b"1," * 17 + b" " * shift + b"1234567890123456789" + b",3" * 30 + b"]"
    assert json_files._has_long_number(content)
    assert json_files._has_long_number(content[: content.rindex(b"9") + 1])
    assert not json_files._has_long_number(content.replace(b"1234567890123456789", b"0.1234567890123456789"))
    assert not json_files._has_long_number(content.replace(b"1234567890123456789", b"123456789012345678"))


def test_ordinary_content_is_read_by_orjson_alone(monkeypatch):
    def refuse(content: bytes) -> None:
        raise AssertionError(content)

    monkeypatch.setattr(json_files.json, "loads", refuse)
    content = {**CONTENT, "scores": [0.00012345678901234567, 1e-7, 123456789012345678, "é"]}
    assert parse_json(orjson.dumps(content)) == content


@pytest.mark.parametrize("value", [*SCALARS, *TEXTS, (), (1, (2.5,)), {"a": {"b": [1e16, 1e-7, -0.0]}}, CONTENT])
def test_what_is_written_means_the_same(value):
    written = format_json(value)
    assert written.isascii()
    assert repr(json.loads(written)) == repr(json.loads(json.dumps(value)))
    assert written == format_json(copy.deepcopy(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [None, math.nan], {"a": [1.0, math.nan]}])
def test_nan_and_infinity_are_not_written(value, tmp_path):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert not list(tmp_path.iterdir())


def test_keys_that_are_no_text_are_written_as_text():
    assert format_json({1: 2, None: 3, 2.5: 4}) == '{"1":2,"null":3,"2.5":4}'


@pytest.mark.parametrize(
    "value", [np.float32(1), np.zeros(2), {1, 2}, datetime.date(2020, 1, 1), dataclasses.make_dataclass("A", [])()]
)
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match="is not JSON serializable"):
        format_json({"a": value})


def test_floats_of_numpy_are_written():
    assert format_json([np.float64(0.5), 1]) == "[0.5,1]"


def test_indented_files_are_as_before():
    assert format_json({"a": [1, "é"]}, indent=2) == json.dumps({"a": [1, "é"]}, indent=2)


NUMBERS_AS_JSON = st.one_of(st.floats(), st.integers(-(1 << 70), 1 << 70))


@settings(max_examples=50)
@given(st.lists(st.one_of(NUMBERS_AS_JSON, st.lists(NUMBERS_AS_JSON), st.text(), st.none(), st.booleans())))
@example([1e16, 1e15, 123456789012345678.0, 9999999999999998.0, 1e-4, 1e-5, 0.00001234, 0.00012, -0.0, 5e-324, 1e22])
@example([[2.5, 3, 12, 3, 12.0, 15], [], {"counts": [3, 5], "size": [2, 4]}, {1: 2}])
def test_the_format_of_the_module_json_is_kept_to_the_last_character(value):
    assert format_as_json(value) == json.dumps(value, separators=(",", ":"))
