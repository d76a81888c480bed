"""Values are compared with type hints, and the rule is in the words of the place where the value is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from tfpose.type_rules import Notation, type_rule

NOTATION = Notation(
    {
        int: ("a whole number", lambda value: type(value) is int),
        bool: ("true or false", lambda value: isinstance(value, bool)),
        type(None): ("null", lambda value: value is None),
    },
    sequence="a list",
)


@pytest.mark.parametrize(
    ("hint", "right", "wrong", "rule"),
    [
        (int, 3, True, "a whole number"),
        (bool, False, 0, "true or false"),
        (int | None, None, "x", "a whole number or null"),
        (Literal[1, "a"], "a", True, "one of 1, a"),
        (tuple[int, bool], [1, True], (1, 2), "a list (a whole number, true or false)"),
        (tuple[int, int], (1, 2), (1, 2, 3), "a list (a whole number, a whole number)"),
        (tuple[int, ...], (), [1, None], "a list, each a whole number"),
        (Sequence[tuple[int, ...]], [(1, 2)], [3], "a list, each a list, each a whole number"),
        (list[bool], [True], "yes", "a list, each true or false"),
        (Mapping[str, int], {"a": 1}, {"a": "b"}, "an object"),
        (set, {1}, [1], "an object"),
    ],
)
def test_a_value_of_another_type_gets_the_rule_of_its_type(hint: Any, right: Any, wrong: Any, rule: str):
    assert type_rule(hint, right, NOTATION) == ""
    assert type_rule(hint, wrong, NOTATION) == rule


def test_any_value_is_of_the_type_any():
    assert type_rule(Any, math.nan, NOTATION) == ""
