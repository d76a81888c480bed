"""Values to search on the command line: --tune=max_age_frames=5,10 --tune=head_threshold=0.1,0.2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from tfpose.flags.tracker_flags import setting_parser
from tfpose.tracking.choice import TrackerChoice, check_effects
from tfpose.tracking.settings import replace_settings, setting_types

if TYPE_CHECKING:
    from tfpose.evaluation.single_network_search import SearchSystem

_RULES = {bool: "true or false", int: "a whole number", float: "a number"}


def parse_tracker_choices(texts: Sequence[str], base: TrackerChoice) -> dict[str, list[Any]]:
    """Returns the values to try for each setting of the tracker.

    Args:
        texts: One text per setting, such as `max_age_frames=5,10,20`.
        base: Tracker whose settings the values replace.

    Raises:
        ValueError: Names the flag, its rule and the value.
    """

    def check(name: str, value: Any) -> None:
        replace_settings(*base.settings(), {name: value})

    choices = _parse_choices(texts, setting_types(), check)
    check_effects([*base.changes, *choices], base, choices)
    return choices


def parse_search_choices(texts: Sequence[str], base: SearchSystem) -> dict[str, list[Any]]:
    """Returns the values to try for each setting of the single heatmap network and of the tracker.

    Args:
        texts: One text per setting, such as `head_threshold=0.1,0.2`.
        base: System whose settings the values replace.

    Raises:
        ValueError: Names the flag, its rule and the value.
    """
    # Here and not above: the search imports SciPy, --help must not wait for it.
    from tfpose.evaluation.single_network_search import THRESHOLDS

    def check(name: str, value: Any) -> None:
        if name in THRESHOLDS:
            base.with_changes({name: value})
        else:
            replace_settings(*base.tracker.settings(), {name: value})

    choices = _parse_choices(texts, {**THRESHOLDS, **setting_types()}, check)
    check_effects(choices, base.tracker, choices)
    return choices


def _parse_choices(
    texts: Sequence[str], types: Mapping[str, Any], check: Callable[[str, Any], None]
) -> dict[str, list[Any]]:
    """Returns the values of each text NAME=VALUE,VALUE,... by name.

    Args:
        texts: One text per setting.
        types: Type of each setting that can be searched.
        check: Raises a ValueError for a value that the named setting cannot have.
    """
    choices: dict[str, list[Any]] = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if name not in types or not separator:
            raise ValueError(f"--tune must be NAME=VALUE,VALUE,... with a NAME among {', '.join(types)}, got {text!r}")
        if name in choices:
            raise ValueError(f"--tune={text}: {name} must be given once, got it twice")
        choices[name] = [_parse_value(text, name, value, types[name]) for value in values.split(",")]
        for value in choices[name]:
            try:
                check(name, value)
            except ValueError as error:
                raise ValueError(f"--tune={text}: {error}") from error
    return choices


def _parse_value(text: str, name: str, value: str, kind: Any) -> Any:
    try:
        return setting_parser(kind).parse(value)
    except (TypeError, ValueError) as error:
        rule = _RULES.get(kind) or f"one of {', '.join(get_args(kind))}"
        raise ValueError(f"--tune={text}: each value of {name} must be {rule}, got {value!r}") from error
