"""Columns of numbers from parsed JSON: fast where it is well-formed, with the place of the mistake where it is not."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import is_number
from tfpose.posetrack.sequences import NO_TRACK_ID

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error)
LARGEST_NUMBER = 1e30


@dataclasses.dataclass(frozen=True)
class PersonPlaces:
    """Where the people of a file are, for messages.

    Attributes:
        path: of the file.
        frame_names: F image names.
        frames: [N] frame of each person, not decreasing.
        people: N objects of the file, whose `id` is named; empty where they have none.
    """

    path: pathlib.Path
    frame_names: Sequence[str]
    frames: np.ndarray
    people: Sequence[Any] = ()

    def __call__(self, person: int) -> str:
        """File, frame and person; people are counted from 0 in their frame."""
        frame = int(self.frames[person])
        number = person - int(np.searchsorted(self.frames, frame))
        annotation = f" (annotation {self.people[person].get('id', '')!r:.40})" if len(self.people) else ""
        return f"{self.path}: frame {frame} ({self.frame_names[frame]!r:.100}): person {number}{annotation}"


def fast_or_explained(path: pathlib.Path, read: Callable[[], Any], explain: Callable[[], None]) -> Any:
    """What `read` returns; where it fails on malformed input, `explain` finds the place and raises."""
    try:
        return read()
    except MALFORMED as error:
        explain()
        raise ValueError(f"{path}: malformed content: {error}") from error


def numbers(values: Sequence) -> np.ndarray:
    """[N] numbers of a JSON list as float64; raises on anything else, text that looks like a number included."""
    # Several times as fast as np.array, which first looks for the type, and stricter.
    return np.frombuffer(struct.pack(f"{len(values)}d", *values))


def finite_numbers(values: Sequence) -> np.ndarray:
    """As `numbers`; raises on not-a-number, infinity and numbers beyond all pictures."""
    array = numbers(values)
    # False for not-a-number as well.
    if array.size and not (array.max() < LARGEST_NUMBER and array.min() > -LARGEST_NUMBER):
        raise ValueError("expected finite numbers")
    return array


def flatten_rows(rows: Sequence[Sequence], size: int) -> list:
    """The values of lists of one length; raises on any other."""
    if not set(map(len, rows)) <= {size}:
        raise ValueError(f"expected {size} values")
    return list(itertools.chain.from_iterable(rows))


def is_score(value: Any) -> bool:
    """Numbers, not-a-number and null: evaluators sort all of them."""
    return value is None or (isinstance(value, (int, float)) and (isinstance(value, float) or abs(value) < 1e300))


def scores_from_json(values: Sequence) -> np.ndarray:
    """As `numbers`, with NaN for null."""
    try:
        return numbers(values)
    except MALFORMED:
        if not all(is_score(value) for value in values):
            raise
        return np.array(values, np.float64)


def whole_numbers(values: Sequence, where: Callable[[int], str]) -> np.ndarray:
    """[N] int64 track numbers; fractions, text and the like are errors that say where."""
    try:
        array = np.array(values)
    except MALFORMED:
        array = np.array([None])
    if array.dtype.kind == "i" and array.ndim == 1 or not len(values):
        return array.astype(np.int64)
    for index, value in enumerate(values):
        is_id = isinstance(value, int) and value == NO_TRACK_ID
        if not (is_id or (is_number(value) and value == int(value) and abs(value) < 2**62)):
            raise ValueError(f"{where(index)}: 'track_id' should be a whole number, found {value!r:.60}")
    return np.array([int(value) for value in values], np.int64)
