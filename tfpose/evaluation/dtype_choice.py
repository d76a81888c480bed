"""The choice between float32 and bfloat16 by the accuracy that a network loses."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from tfpose.data.records import RecordTable, read_table
from tfpose.inference.bfloat16_devices import find_obstacle
from tfpose.inference.inference_dtype import LEAST_REFUSED_LOSS, InferenceDtype


def choose_dtype(wanted: InferenceDtype, score: Callable[[RecordTable, str], float]) -> str:
    """Returns the number format to use, "float32" or "bfloat16"; says on stderr why it is not what the user expects.

    Args:
        wanted: The number format that the user asks for.
        score: Function from the records of a split and a number format to the AP of the network, in percent; NaN where
            nobody is labeled. Only "auto" calls it.

    Raises:
        FileNotFoundError, ValueError: The split is missing or damaged, or has no people.
    """
    if wanted.name == "float32":
        return wanted.name
    obstacle = find_obstacle()
    if wanted.name == "bfloat16":
        if obstacle:
            _note(f"{obstacle}; bfloat16 takes longer than float32 here")
        return wanted.name
    if obstacle:
        _note(f"inference in float32: {obstacle}")
        return "float32"
    table = read_table(wanted.dataset, wanted.split)
    exact, rounded = score(table, "float32"), score(table, "bfloat16")
    if math.isnan(exact):
        raise ValueError(f"{wanted.dataset}: split {wanted.split} must have labeled people, got none")
    loss = exact - rounded
    chosen = "bfloat16" if loss < LEAST_REFUSED_LOSS else "float32"
    reason = "" if chosen == "bfloat16" else f", must be less than {LEAST_REFUSED_LOSS}"
    _note(
        f"inference in {chosen}: AP on split {wanted.split}: float32 {exact:.2f}, bfloat16 {rounded:.2f}, loss "
        f"{loss:.2f}{reason}"
    )
    return chosen


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
