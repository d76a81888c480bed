"""Reads JSON files, with errors that name the place of a mistake, and writes them whole or not at all."""

from __future__ import annotations

import array
import contextlib
import gzip
import json
import os
import pathlib
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from tfpose.file_names import named_errors, unfinished_file
from tfpose.messages import quote

# A few kilobytes of gzip can unpack to more than there is memory for.
_MOST_BYTES = 1 << 28
# The product of two such lengths in pixels still fits into float32.
_LARGEST_LENGTH = 1e15
# Whole numbers with fewer digits than this fit into 64 bits.
_LONG_NUMBER_DIGITS = 19
# Types that `json` refuses, which orjson would write.
_WRITTEN_AS_JSON_DOES = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# Bytes that are searched at a time, so that the arrays of the search fit into the processor's cache.
_SEARCHED_BYTES = 1 << 18


def files_by_name(paths: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """Returns the JSON files among some files of a folder by name without `.gz`, in the order of their names.

    Raises:
        ValueError: A file is there compressed and unpacked, which may differ.
    """
    files: dict[str, pathlib.Path] = {}
    for path in sorted(paths):
        name = path.name.removesuffix(".gz")
        if name.endswith(".json"):
            if name in files:
                raise ValueError(f"{path}: must be the only file of its name, got {files[name].name} as well")
            files[name] = path
    return files


def read_json(path: str | pathlib.Path, checks_lists: bool = False) -> Any:
    """Returns the content of a JSON file, which may be compressed (`.gz`).

    Args:
        path: Path of the file.
        checks_lists: Whether to refuse a file whose outermost object has a list twice, in a third more time.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not JSON in UTF-8; the message names the file, line and column.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file not found; expected a JSON file")
    try:
        data = _content(path)
        content = parse_json(data)
        if checks_lists:
            _check_lists(data, content)
        return content
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: broken JSON: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: broken gzip file: {error}") from error
    except ValueError as error:
        # Python refuses whole numbers of thousands of digits.
        raise ValueError(f"{path}: broken JSON: {error}") from error


def parse_json(content: bytes) -> Any:
    """Returns what `json.loads` returns, several times as fast for ordinary content.

    Only lists and objects in 990 to 1,024 levels differ: `json.loads` refuses them.

    Raises:
        ValueError, RecursionError: The content is not JSON; the errors are those of `json.loads`.
    """
    # orjson reads whole numbers beyond 64 bits as floats.
    if not _has_long_number(content):
        # It refuses mistakes, which `json` describes, and what only `json` reads: NaN, infinity, single surrogates, a
        # byte order mark and encodings other than UTF-8.
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(content)
    return json.loads(content)


def _check_lists(data: bytes, content: Any) -> None:
    """Checks that no list of the outermost object is there twice: all readers of JSON forget the first one.

    Raises:
        ValueError: One is.
    """
    lists = [name for name, value in content.items() if isinstance(value, list)] if isinstance(content, dict) else []
    if all(data.count(json.dumps(name).encode()) < 2 for name in lists):
        return
    # The name may stand elsewhere too. The last object that is read is the outermost one.
    objects: list[list[tuple[str, Any]]] = []

    def remember(pairs: list[tuple[str, Any]]) -> None:
        objects[:] = [pairs]

    json.loads(data, object_pairs_hook=remember)
    names = [name for name, _ in objects[0]]
    for name in lists:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} must be there once, got it {names.count(name)} times")


def _has_long_number(content: bytes) -> bool:
    """Returns whether 19 digits follow each other anywhere but behind a point."""
    if content[:_LONG_NUMBER_DIGITS].isdigit():
        return True
    codes = np.frombuffer(content, np.uint8)
    for start in range(0, len(codes), _SEARCHED_BYTES):
        # A run that begins at the end of the block, and the byte before it.
        block = codes[start : start + _SEARCHED_BYTES + _LONG_NUMBER_DIGITS]
        is_digit = block - np.uint8(ord("0")) < 10
        # Whether 2, 4, 8, 16 and 19 digits begin at each byte.
        runs = is_digit
        for step in (1, 2, 4, 8, _LONG_NUMBER_DIGITS - 16):
            runs = runs[:-step] & runs[step:]
        if runs.any():
            before, follows = block[: len(runs) - 1], runs[1:]
            if (follows & ~is_digit[: len(before)] & (before != ord("."))).any():
                return True
    return False


def _content(path: pathlib.Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    with gzip.open(path) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB when unpacked")
    return content


def write_json(path: str | pathlib.Path, content: Any, indent: int | None = None) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
        ValueError: The content holds NaN or infinity.
    """
    path = pathlib.Path(path)
    try:
        text = format_json(content, indent)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be written: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def format_json(content: Any, indent: int | None = None) -> str:
    """Returns JSON in ASCII, without spaces unless it is indented.

    Raises:
        ValueError: The content holds NaN or infinity.
    """
    if indent is None:
        # It raises an error for what only `json` writes, such as whole numbers beyond 64 bits and single surrogates.
        with contextlib.suppress(orjson.JSONEncodeError):
            written = orjson.dumps(content, option=_WRITTEN_AS_JSON_DOES)
            # It writes NaN and infinity as null.
            if b"null" not in written and written.isascii():
                return written.decode("ascii")
    return json.dumps(content, allow_nan=False, indent=indent, separators=None if indent else (",", ":"))


def format_as_json(content: Any) -> str:
    """Returns what `json.dumps` writes without spaces, to the last character; lists of numbers much faster."""
    # It raises an error for whole numbers beyond 64 bits.
    with contextlib.suppress(orjson.JSONEncodeError):
        written = orjson.dumps(content, option=_WRITTEN_AS_JSON_DOES)
        # It writes exponents, and the smallest numbers without an exponent, in another way.
        if not written.translate(None, b"[],-.0123456789") and b"0.0000" not in written:
            return written.decode("ascii")
    return json.dumps(content, separators=(",", ":"))


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file in UTF-8 whole or not at all, with the same line ends on every system.

    Bytes of file names that are not UTF-8 are written as their escapes in JSON.
    """
    with named_errors(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{unfinished_file(path).name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
            # mkstemp makes files that only their owner can read.
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# The four numbers of a box in files of COCO and PoseTrack.
BOX_COLUMNS = ("x", "y", "width", "height")


def keypoint_columns(joints: Iterable[str], third: str) -> list[str]:
    """Returns in words what each number of a list of keypoints is.

    Args:
        joints: Names of the joints.
        third: What the number behind x and y is.
    """
    return [f"{number} of {joint!r}" for joint in joints for number in ("x", "y", third)]


def optional_object_list(path: pathlib.Path, content: Any, field: str) -> list[dict]:
    """Returns the field of a JSON object that may be a list of objects; none if it is absent or null.

    Raises:
        ValueError: The content is not an object, or the field holds something else.
    """
    if isinstance(content, dict) and content.get(field) is None:
        return []
    return object_list(path, content, field)


def object_list(path: pathlib.Path, content: Any, field: str) -> list[dict]:
    """Returns the field of a JSON object that must be a list of objects.

    Raises:
        ValueError: The field is absent or not a list of objects.
    """
    entries = content.get(field) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        found = f"a file that holds a {type(content).__name__}" if not isinstance(content, dict) else quote(entries)
        raise ValueError(f"{path}: {field!r} must be a list of objects, got {found}")
    # The types alone are compared in a fraction of the time.
    for position, entry in enumerate(entries) if set(map(type, entries)) - {dict} else ():
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {field!r}: entry {position} must be an object, got {quote(entry)}")
    return entries


def distinct_ids(path: pathlib.Path, kind: str, entries: Sequence) -> np.ndarray:
    """Returns [N] int64: the field `id` of each entry.

    Args:
        path: Path of the file, for messages.
        kind: What an entry is, for messages.
        entries: Objects of a JSON file.

    Raises:
        ValueError: An id is not a whole number or occurs twice.
    """
    ids = [entry.get("id") for entry in entries]
    for position, value in enumerate(ids):
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 62:
            raise ValueError(
                f"{path}: {kind} number {position} in the list: 'id' must be a whole number, got {quote(value)}"
            )
    seen: set[int] = set()
    for value in ids if len(set(ids)) != len(ids) else ():
        if value in seen:
            raise ValueError(f"{path}: {kind} ids must be distinct, got {value} twice")
        seen.add(value)
    return np.array(ids, np.int64)


def is_id(value: Any) -> bool:
    """Returns whether a JSON value is a whole number that fits into 64 bits."""
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def number_array(
    path: pathlib.Path, kind: str, entries: Sequence, field: str, rows: Sequence, expected: str, columns: Sequence[str]
) -> np.ndarray:
    """Returns [N, C] float64: numbers whose size is below 1e15.

    Args:
        path: Path of the file, for messages.
        kind: What an entry is, for messages.
        entries: Objects of a JSON file; messages name their `id`.
        field: Field of the entries that holds the rows.
        rows: A list of C numbers for each entry.
        expected: What a row must be, in words.
        columns: What each of the C numbers is, in words.

    Raises:
        ValueError: A row is not such a list; the message names the first such entry and number.
    """
    for entry, row in zip(entries, rows, strict=True):
        if not isinstance(row, list) or len(row) != len(columns):
            found = f"{len(row)}" if isinstance(row, list) else quote(row)
            raise ValueError(f"{path}: {kind} {quote(entry.get('id', ''))}: {field!r} must be {expected}, got {found}")
    table = _array_of_numbers(rows, len(columns))
    if table is None:
        wrong, column = next(
            (row, column)
            for row, numbers in enumerate(rows)
            for column, number in enumerate(numbers)
            if not (is_number(number) and abs(number) < _LARGEST_LENGTH)
        )
        raise ValueError(
            f"{path}: {kind} {quote(entries[wrong].get('id', ''))}: {field!r} must be {expected}, "
            f"got {quote(rows[wrong][column])} for {columns[column]}"
        )
    return table


def box_array(path: pathlib.Path, kind: str, entries: list) -> np.ndarray:
    """Returns the boxes [N, 4] (x, y, width, height) in the field `bbox` of entries; see `number_array`."""
    rows = [entry.get("bbox") for entry in entries]
    return number_array(path, kind, entries, "bbox", rows, "4 numbers: x, y, width, height", BOX_COLUMNS)


def _array_of_numbers(rows: Sequence, size: int) -> np.ndarray | None:
    """Returns [N, size] float64; None if a value is no number of reasonable size."""
    # Not NumPy, which reads text as numbers where numbers are asked for.
    numbers = array.array("d")
    try:
        for row in rows:
            numbers.fromlist(row)
    except (TypeError, OverflowError):
        return None
    table = np.array(numbers, np.float64).reshape(-1, size)
    # The comparison is false for NaN too.
    return table if (np.abs(table) < _LARGEST_LENGTH).all() else None


def float_array(values: Sequence) -> np.ndarray:
    """Returns nested lists of JSON numbers as float64, with NaN for null.

    Raises:
        ValueError: A value is text, an object or too large, or the lists have different lengths.
    """
    # Without a type, since NumPy reads text as numbers where numbers are asked for.
    table = np.array(values)
    if table.dtype.kind in "US" or (table.dtype == object and any(isinstance(value, str) for value in table.flat)):
        raise ValueError("text in place of numbers")
    table = table.astype(np.float64)
    if np.any(np.abs(table) >= _LARGEST_LENGTH):
        raise ValueError("numbers of unreasonable size")
    return table


def is_number(value: Any) -> bool:
    """Returns whether a JSON value is a finite number of reasonable size."""
    return isinstance(value, (int, float)) and -1e30 < value < 1e30


def sort_by_image(path: pathlib.Path, annotations: Sequence, image_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts annotations by the position of their image in the list of images, then by their position in the file.

    Returns:
        [A] the order, and `first` [I + 1]: after sorting, the annotations of image i are `first[i]:first[i + 1]`.

    Raises:
        ValueError: An `image_id` is not listed; the message names the annotation.
    """
    position = {int(image_id): index for index, image_id in enumerate(image_ids)}
    image_of_person = np.empty(len(annotations), np.int64)
    for index, annotation in enumerate(annotations):
        image_id = annotation.get("image_id")
        image = position.get(image_id) if isinstance(image_id, int) else None
        if image is None:
            raise ValueError(
                f"{path}: annotation {quote(annotation.get('id', ''))}: 'image_id' must be one of the "
                f"{len(image_ids)} ids in 'images', got {quote(image_id)}"
            )
        image_of_person[index] = image
    counts = np.bincount(image_of_person, minlength=len(image_ids))
    first_person = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.argsort(image_of_person, kind="stable"), first_person


def number_or_nan(value: Any) -> float:
    """Returns a JSON value as a number; NaN for anything else."""
    return float(value) if is_number(value) else np.nan


def null_for_nan(values: np.ndarray) -> list:
    """Returns numbers [N] as a JSON list, with null for NaN."""
    return [None if value != value else value for value in values.tolist()]


def optional_entry(field: str, value: Any, is_there: bool) -> dict:
    """Returns a dictionary with one entry where `is_there`, and an empty one elsewhere."""
    return {field: value} if is_there else {}
