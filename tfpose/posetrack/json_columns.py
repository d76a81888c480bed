"""Reads columns of numbers from parsed JSON: fast for valid content, with the place of the mistake otherwise."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import is_number
from tfpose.messages import quote
from tfpose.posetrack.sequences import NO_TRACK_ID

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error)
LARGEST_NUMBER = 1e30


@dataclasses.dataclass(frozen=True)
class PersonPlaces:
    """Describes the places of N people in a file, for messages.

    Attributes:
        path: Path of the file.
        frame_names: F image names.
        frames: [N] frame of each person, not decreasing.
        people: N objects of the file, whose `id` messages name; empty where the objects have none.
    """

    path: pathlib.Path
    frame_names: Sequence[str]
    frames: np.ndarray
    people: Sequence[Any] = ()

    def __call__(self, person: int) -> str:
        """Returns file, frame and person; people are counted from 0 in their frame."""
        frame = int(self.frames[person])
        number = person - int(np.searchsorted(self.frames, frame))
        annotation = f" (annotation {quote(self.people[person].get('id', ''))})" if len(self.people) else ""
        return f"{self.path}: frame {frame} ({quote(self.frame_names[frame])}): person {number}{annotation}"


def fast_or_explained(path: pathlib.Path, read: Callable[[], Any], explain: Callable[[], None]) -> Any:
    """Returns the result of `read`; where it fails on malformed input, `explain` finds the place and raises."""
    try:
        return read()
    except MALFORMED as error:
        explain()
        raise ValueError(f"{path}: malformed content: {error}") from error


def numbers(values: Sequence) -> np.ndarray:
    """Returns the numbers of a JSON list as [N] float64; raises on anything else, such as text that holds a number."""
    # This is stricter than np.array and several times as fast, since np.array first looks for the type.
    return np.frombuffer(struct.pack(f"{len(values)}d", *values))


def finite_numbers(values: Sequence) -> np.ndarray:
    """Returns the numbers as `numbers` does; raises on NaN, infinity and numbers beyond the size of any image."""
    return _check_finite(numbers(values))


def _check_finite(array: np.ndarray) -> np.ndarray:
    # The comparison is false for NaN too.
    if array.size and not (array.max() < LARGEST_NUMBER and array.min() > -LARGEST_NUMBER):
        raise ValueError("numbers must be finite")
    return array


def number_rows(rows: Sequence[Sequence], size: int) -> np.ndarray:
    """Returns [N, size] float64: the numbers of lists that must all have this length, as `numbers` does."""
    # One list at a time takes half the time of a list of all numbers.
    pack = struct.Struct(f"{size}d").pack
    return np.frombuffer(b"".join(itertools.starmap(pack, rows))).reshape(-1, size)


def finite_rows(rows: Sequence[Sequence], size: int) -> np.ndarray:
    """Returns the numbers as `number_rows` does; raises on NaN, infinity and numbers beyond the size of any image."""
    return _check_finite(number_rows(rows, size))


def flatten_rows(rows: Sequence[Sequence], size: int) -> list:
    """Returns the values of lists that must all have this length."""
    if not set(map(len, rows)) <= {size}:
        raise ValueError(f"lists must hold {size} values")
    return list(itertools.chain.from_iterable(rows))


def is_score(value: Any) -> bool:
    """Returns whether a value is a number, NaN or null, all of which evaluators sort."""
    return value is None or (isinstance(value, (int, float)) and (isinstance(value, float) or abs(value) < 1e300))


def score_rows(rows: Sequence[Sequence], size: int) -> np.ndarray:
    """Returns the numbers as `number_rows` does, with NaN for null."""
    try:
        return number_rows(rows, size)
    except MALFORMED:
        return scores_from_json(flatten_rows(rows, size)).reshape(-1, size)


def scores_from_json(values: Sequence) -> np.ndarray:
    """Returns the numbers as `numbers` does, with NaN for null."""
    try:
        return numbers(values)
    except MALFORMED:
        if not all(is_score(value) for value in values):
            raise
        return np.array(values, np.float64)


def whole_numbers(values: Sequence, where: Callable[[int], str]) -> np.ndarray:
    """Returns [N] int64 track numbers; raises on fractions, text and the like, naming the place."""
    try:
        array = np.array(values)
    except MALFORMED:
        array = np.array([None])
    if (array.dtype.kind == "i" and array.ndim == 1) or not len(values):
        return array.astype(np.int64)
    for index, value in enumerate(values):
        is_id = isinstance(value, int) and value == NO_TRACK_ID
        if not (is_id or (is_number(value) and value == int(value) and abs(value) < 2**62)):
            raise ValueError(f"{where(index)}: 'track_id' must be a whole number, got {quote(value)}")
    return np.array([int(value) for value in values], np.int64)
