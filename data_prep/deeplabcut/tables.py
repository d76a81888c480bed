"""Reads the tables of labels of DeepLabCut: CSV files, and HDF5 files as pandas writes them, without pandas."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.hdf5_files import Hdf5Reader, open_hdf5, text_of, whole_numbers
from data_prep.labeled_videos import LARGEST_COORDINATE
from tfpose.messages import quote

# The rows of the header of projects with one animal, and of those with several.
_SINGLE, _MULTI = ("scorer", "bodyparts", "coords"), ("scorer", "individuals", "bodyparts", "coords")
_KEY = "df_with_missing"
# The name of a frame is in one cell, or in the cells labeled-data, VIDEO and FILE.
_NAME_CELLS = (1, 3)


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """A table of labels.

    Attributes:
        path: Path of the file.
        individuals: Names of the animals; empty in a project with one animal.
        bodyparts: Names of the body parts.
        images: N paths of images, as in the file, with slashes.
        points: By animal and body part, [N, 2] pixels, NaN where a body part is not labeled. The animal is "" in a
            project with one animal.
    """

    path: pathlib.Path
    individuals: tuple[str, ...]
    bodyparts: tuple[str, ...]
    images: tuple[str, ...]
    points: dict[tuple[str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Cells:
    """The content of a file: a name for each of C columns by row of the header, names of the N rows, and values."""

    header: Mapping[str, Sequence[str]]
    rows: list[str]
    values: np.ndarray


def read_csv_table(path: pathlib.Path) -> LabelTable:
    """Reads a CSV file of labels.

    Raises:
        ValueError: The file is not valid; the message names the line, the rule and the value.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file, strict=True), 1) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: must be a CSV file in UTF-8, got something else: {error}") from error
    return _table(path, _cells_of_lines(path, lines))


def _cells_of_lines(path: pathlib.Path, lines: Sequence[tuple[int, list[str]]]) -> _Cells:
    names = _MULTI if len(lines) > 1 and lines[1][1][0] == _MULTI[1] else _SINGLE
    first = [line[0] for _, line in lines[: len(names)]]
    if tuple(first) != names:
        raise ValueError(f"{path}: the first lines must begin with {', '.join(names)}, got {quote(first)}")
    num_names = next(
        (n for n in reversed(_NAME_CELLS) if all(not any(line[1:n]) for _, line in lines[: len(names)])), 1
    )
    header = {name: line[num_names:] for name, (_, line) in zip(names, lines[: len(names)], strict=True)}
    width = len(lines[0][1])
    rows, values = [], []
    for number, line in lines:
        if len(line) != width:
            raise ValueError(f"{path}: line {number} must have {width} cells, as line 1 has, got {len(line)}")
    for number, line in lines[len(names) :]:
        rows.append("/".join(line[:num_names]))
        values.append([_number(path, number, cell) for cell in line[num_names:]])
    return _Cells(header, rows, np.array(values, np.float64).reshape(len(rows), width - num_names))


def _number(path: pathlib.Path, line: int, cell: str) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError as error:
        raise ValueError(f"{path}: line {line}: a cell must be a number or empty, got {quote(cell)}") from error


def read_h5_table(path: pathlib.Path) -> LabelTable:
    """Reads an HDF5 file of labels, in the layout of pandas' format `fixed` (`DataFrame.to_hdf`).

    Raises:
        ValueError: The file is not valid, or pandas wrote it in another form, which would have to be unpickled.
    """
    with open_hdf5(path, "a table of DeepLabCut") as reader:
        kind = text_of(reader.attribute(_KEY, "pandas_type"))
        if kind != "frame":
            found = "no such table" if kind is None else f"a table of the form {kind!r}"
            raise ValueError(f"{path}: must hold a table {_KEY!r} of the form 'frame', got {found}; {_HINT}")
        num_levels = _count(reader, "axis0_nlevels")
        if num_levels not in (len(_SINGLE), len(_MULTI)):
            raise ValueError(f"{path}: the header must have {len(_SINGLE)} or {len(_MULTI)} rows, got {num_levels}")
        names = _SINGLE if num_levels == len(_SINGLE) else _MULTI
        rows = [name.replace("\\", "/") for name in _index(reader, "axis1")]
        columns, values = [], []
        for block in range(_count(reader, "nblocks")):
            items = _levels(reader, f"block{block}_items")
            columns.append(items)
            values.append(_block(reader, f"block{block}_values", (len(rows), len(items[0]))))
        if not columns:
            raise ValueError(f"{path}: must hold numbers, got none")
        header = {name: [value for items in columns for value in items[level]] for level, name in enumerate(names)}
        return _table(path, _Cells(header, rows, np.concatenate(values, axis=1)))


_HINT = "put the CSV file of DeepLabCut beside it"


def _count(reader: Hdf5Reader, name: str) -> int:
    value = reader.attribute(_KEY, name)
    if not isinstance(value, (int, np.integer)) or not 0 <= value < 100:
        raise ValueError(f"{reader.path}: {name!r} of {_KEY!r} must be a small whole number, got {quote(value)}")
    return int(value)


def _index(reader: Hdf5Reader, name: str) -> list[str]:
    """Returns the names of the rows; those of several levels with slashes between them."""
    if text_of(reader.attribute(_KEY, f"{name}_variety")) == "multi":
        return ["/".join(parts) for parts in zip(*_levels(reader, name), strict=True)]
    return _texts(reader, f"{_KEY}/{name}")


def _levels(reader: Hdf5Reader, name: str) -> list[list[str]]:
    """Returns the names of an index of several levels, level by level."""
    levels = []
    for level in range(_count(reader, f"{name}_nlevels")):
        texts = _texts(reader, f"{_KEY}/{name}_level{level}")
        labels = f"{_KEY}/{name}_label{level}"
        where = f"{reader.path}: {labels!r}"
        levels.append([texts[label] for label in whole_numbers(_flat(reader, labels), where, 0, len(texts))])
    if len({len(level) for level in levels}) != 1:
        raise ValueError(f"{reader.path}: the levels of {name!r} must have equal lengths, got {[*map(len, levels)]}")
    return levels


def _flat(reader: Hdf5Reader, name: str) -> np.ndarray:
    values = reader.array(name)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"{reader.path}: {name!r} must hold whole numbers, got {values.dtype} of shape {values.shape}")
    return values


def _texts(reader: Hdf5Reader, name: str) -> list[str]:
    values = reader.array(name)
    # pandas pickles whatever is no text and no number.
    if values.ndim != 1 or values.dtype.kind not in "Siu":
        raise ValueError(f"{reader.path}: {name!r} must hold texts, got {values.dtype}, which is not read; {_HINT}")
    texts = [text_of(value) if isinstance(value, bytes) else str(value) for value in values.tolist()]
    if None in texts:
        raise ValueError(f"{reader.path}: {name!r} must hold texts in UTF-8, got {values[texts.index(None)]!r}")
    return [text for text in texts if text is not None]


def _block(reader: Hdf5Reader, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Returns the values of some columns, [N, C]."""
    values = reader.array(f"{_KEY}/{name}")
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{reader.path}: {name!r} must hold numbers, got {values.dtype}, which is not read; {_HINT}")
    if not reader.attribute(f"{_KEY}/{name}", "transposed"):
        values = values.T
    if values.shape != shape:
        raise ValueError(f"{reader.path}: {name!r} must have the shape {shape}, got {values.shape}")
    return values.astype(np.float64)


def _table(path: pathlib.Path, cells: _Cells) -> LabelTable:
    """Arranges the columns by animal and body part."""
    bodyparts, coords = cells.header["bodyparts"], cells.header["coords"]
    individuals = cells.header.get("individuals", [""] * len(bodyparts))
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for column, key in enumerate(zip(individuals, bodyparts, strict=True)):
        axis = coords[column]
        if axis not in ("x", "y") or not key[1]:
            raise ValueError(
                f"{path}: a column must be x or y of a body part, got {quote(axis)} of {quote(key[1])} in column "
                f"{column + 1}"
            )
        if axis in found.setdefault(key, {}):
            raise ValueError(f"{path}: {axis} of {_describe(key)} must be one column, got two")
        found[key][axis] = cells.values[:, column]
    points = {}
    for key, axes in found.items():
        if len(axes) < 2:
            raise ValueError(f"{path}: {_describe(key)} must have the columns x and y, got only {next(iter(axes))}")
        points[key] = np.stack([axes["x"], axes["y"]], axis=-1)
        is_wrong = (np.abs(points[key]) >= LARGEST_COORDINATE).any(axis=1) | (np.isnan(points[key]).sum(axis=1) == 1)
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise ValueError(
                f"{path}: {cells.rows[row]}: {_describe(key)} must have two numbers of pixels or none, got "
                f"{points[key][row].tolist()}"
            )
    if not points:
        raise ValueError(f"{path}: must have columns of body parts, got none")
    names = tuple(dict.fromkeys(name for name, _ in points if "individuals" in cells.header))
    images = tuple(name.replace("\\", "/") for name in cells.rows)
    return LabelTable(path, names, tuple(dict.fromkeys(part for _, part in points)), images, points)


def _describe(key: tuple[str, str]) -> str:
    return f"{quote(key[1])} of {quote(key[0])}" if key[0] else quote(key[1])
