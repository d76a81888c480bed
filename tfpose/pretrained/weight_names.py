"""Compares the names of the weights that a model has with those that a file or another model offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

_MAX_NAMES_SHOWN = 5


def check_names(expected: Collection[str], found: Collection[str]) -> None:
    """Checks that two collections hold the same names.

    Args:
        expected: Names of the weights of the model.
        found: Names of the weights to load.

    Raises:
        ValueError: A name is only in one of them; the message lists such names.
    """
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    problems = [
        f"{kind}: {_shortened(names)}" for kind, names in (("missing", missing), ("not in the model", extra)) if names
    ]
    if problems:
        raise ValueError(f"The weights do not fit the model; {'; '.join(problems)}.")


def check_kinds(arrays: Mapping[str, np.ndarray]) -> None:
    """Checks that arrays hold floating-point numbers.

    Integers are the codes of quantized weights, or the bits of bfloat16 that Paddle stores as uint16.

    Raises:
        ValueError: An array holds others; the message names it.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} must hold floating-point numbers, got {array.dtype}.")


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES_SHOWN])
    hidden = len(names) - _MAX_NAMES_SHOWN
    return f"{shown} and {hidden} more" if hidden > 0 else shown
