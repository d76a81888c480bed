"""Rules about flags that need or exclude each other."""

from __future__ import annotations

from collections.abc import Iterable

from tfpose.flags.program_flags import ProgramFlags


def require_flags(values: ProgramFlags, names: Iterable[str], reason: str) -> None:
    """Checks that flags are given.

    Args:
        values: The parsed flags.
        names: The names of the flags that must have a value.
        reason: What they are needed for, such as "with --tune".

    Raises:
        ValueError: Names the first flag that has no value.
    """
    for name in names:
        if not values[name].value:
            raise ValueError(f"--{name} must be given {reason}, got nothing")


def forbid_flags(values: ProgramFlags, names: Iterable[str], other: str) -> None:
    """Checks that flags are not given.

    Args:
        values: The parsed flags.
        names: The names of the flags that must be left out.
        other: What they exclude, such as "--tuned".

    Raises:
        ValueError: Names the first flag that is given.
    """
    for name in names:
        if values[name].present:
            raise ValueError(f"--{name} cannot be combined with {other}")


def require_companion(values: ProgramFlags, names: Iterable[str], *companions: str) -> None:
    """Checks that flags are given only together with one of some others.

    Args:
        values: The parsed flags.
        names: The names of the flags that need one of the others.
        companions: The names of the others.

    Raises:
        ValueError: Names the first flag that is given without it.
    """
    if any(values[companion].value for companion in companions):
        return
    others = " or ".join(f"--{companion}" for companion in companions)
    for name in names:
        if values[name].present:
            raise ValueError(f"--{name} requires {others}, got none")
