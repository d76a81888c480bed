"""JSON files: readers that say where and how a file is wrong, writers that never leave half a file."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import tempfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

# A few kilobytes of gzip can unpack to more than there is memory for.
_MOST_BYTES = 1 << 28


def read_json(path: str | pathlib.Path) -> Any:
    """The content of a JSON file, which may be compressed (`.gz`).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON in UTF-8; names the file, line and column.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file not found; expected a JSON file")
    try:
        return json.loads(_content(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: broken JSON: lists within lists without end") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: broken gzip file: {error}") from error
    except ValueError as error:
        # Python refuses whole numbers of thousands of digits.
        raise ValueError(f"{path}: broken JSON: {error}") from error


def _content(path: pathlib.Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    with gzip.open(path) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB when unpacked")
    return content


def write_json(path: str | pathlib.Path, content: Any, indent: int | None = None) -> None:
    """Writes a JSON file whole or not at all; not-a-number and infinity are errors."""
    path = pathlib.Path(path)
    text = json.dumps(content, allow_nan=False, indent=indent)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file in UTF-8 whole or not at all, its lines ended alike on every system."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp makes files that only their owner may read.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def object_list(path: pathlib.Path, content: Any, field: str) -> list[dict]:
    """The field of a JSON object that should be a list of objects.

    Raises:
        ValueError: if it is absent or anything else.
    """
    entries = content.get(field) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        found = f"a file that holds a {type(content).__name__}" if not isinstance(content, dict) else repr(entries)
        raise ValueError(f"{path}: {field!r} should be a list of objects, found {found[:60]}")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {field!r}: entry {position} should be an object, found {entry!r}")
    return entries


def distinct_ids(path: pathlib.Path, kind: str, entries: Sequence) -> np.ndarray:
    """[N] int64: the field `id` of each entry.

    Args:
        path: of the file, for messages.
        kind: what the entries are, for messages.
        entries: objects of a JSON file.

    Raises:
        ValueError: if an id is not a whole number or occurs twice.
    """
    ids = [entry.get("id") for entry in entries]
    for position, value in enumerate(ids):
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 62:
            raise ValueError(
                f"{path}: {kind} number {position} in the list: 'id' should be a whole number, found {value!r:.60}"
            )
    if len(set(ids)) != len(ids):
        seen: set[int] = set()
        repeated = next(value for value in ids if value in seen or seen.add(value))
        raise ValueError(f"{path}: {kind} ids should be distinct, found {repeated} twice")
    return np.array(ids, np.int64)


def is_id(value: Any) -> bool:
    """Whether a JSON value is a whole number that 64 bits hold."""
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def number_array(
    path: pathlib.Path, kind: str, entries: Sequence, field: str, rows: Sequence, expected: str, size: int
) -> np.ndarray:
    """[N, size] finite float64 numbers.

    Args:
        path: of the file, for messages.
        kind: what the entries are, for messages.
        entries: objects of a JSON file; their `id` is for messages.
        field: of the entries that the rows come from.
        rows: a list of `size` numbers for each entry.
        expected: what a row should be, in words.
        size: numbers in each row.

    Raises:
        ValueError: naming the first entry whose row is anything else.
    """
    for entry, row in zip(entries, rows, strict=True):
        if not isinstance(row, list) or len(row) != size:
            found = f"{len(row)}" if isinstance(row, list) else repr(row)
            raise ValueError(f"{path}: {kind} {entry.get('id', '')!r}: {field!r} should be {expected}, found {found}")
    try:
        array = np.array(rows, np.float64).reshape(-1, size)
        is_wrong = ~np.isfinite(array).all(axis=1)
    except (TypeError, ValueError, OverflowError):
        is_wrong = np.array([not all(is_number(value) for value in row) for row in rows])
    if is_wrong.any():
        wrong = int(np.argmax(is_wrong))
        raise ValueError(
            f"{path}: {kind} {entries[wrong].get('id', '')!r}: {field!r} should be {expected}, found {rows[wrong]}"
        )
    return array


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number of reasonable size."""
    return isinstance(value, (int, float)) and -1e30 < value < 1e30


def sort_by_image(path: pathlib.Path, annotations: Sequence, image_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts annotations by the place of their image in the list of images, else by their place in the file.

    Returns:
        [A] the order, and [I + 1]: after sorting, those of image i are `first[i]:first[i + 1]`.

    Raises:
        ValueError: naming an annotation whose `image_id` is not listed.
    """
    position = {int(image_id): index for index, image_id in enumerate(image_ids)}
    image_of_person = np.empty(len(annotations), np.int64)
    for index, annotation in enumerate(annotations):
        image_id = annotation.get("image_id")
        image = position.get(image_id) if isinstance(image_id, int) else None
        if image is None:
            raise ValueError(
                f"{path}: annotation {annotation.get('id', '')!r}: 'image_id' should be one of the "
                f"{len(image_ids)} ids in 'images', found {image_id!r}"
            )
        image_of_person[index] = image
    counts = np.bincount(image_of_person, minlength=len(image_ids))
    first_person = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.argsort(image_of_person, kind="stable"), first_person


def number_or_nan(value: Any) -> float:
    """A JSON value as a number; NaN for anything else."""
    return float(value) if is_number(value) else np.nan


def null_for_nan(values: np.ndarray) -> list:
    """[N] numbers as a JSON list, in which NaN has no other place than null."""
    return [None if value != value else value for value in values.tolist()]


def optional_entry(field: str, value: Any, is_there: bool) -> dict:
    """A dictionary with one entry, or none."""
    return {field: value} if is_there else {}
