"""Reads HDF5 files that may be damaged or made to harm, with errors that name the file and the dataset."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from tfpose.messages import quote

# The numbers of a dataset may take this many times the bytes of the file, or the bytes of any dataset.
_MOST_GROWTH, _FREE_BYTES = 64, 64 * 2**20
# What h5py raises for damaged files.
_ERRORS = (ValueError, LookupError, OSError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError)


class Hdf5Reader:
    """An open HDF5 file.

    Datasets that lie in another file are refused, and so are datasets that declare far more numbers than the file
    holds: HDF5 gives a value to each number that a dataset declares.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, path: pathlib.Path, file: h5py.File) -> None:
        """Keeps an open file; `open_hdf5` opens one."""
        self.path, self._file = path, file
        self._most_bytes = max(_MOST_GROWTH * os.path.getsize(path), _FREE_BYTES)

    def find(self, name: str) -> h5py.Group | h5py.Dataset | None:
        """Returns a group or a dataset by its names with slashes between them; None if there is none.

        Raises:
            ValueError: It lies in another file, or the file is damaged.
        """
        item: Any = self._file
        with self._named(name):
            for part in name.split("/"):
                link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"{self.path}: {name!r} must lie in this file, got a link to another place")
                item = item[part]
        return item

    def dataset(self, name: str) -> h5py.Dataset:
        """Returns a dataset, none of whose numbers are read yet.

        Raises:
            ValueError: There is no such dataset, it lies in another file, or it declares too much.
        """
        item = self.find(name)
        if not isinstance(item, h5py.Dataset):
            raise ValueError(f"{self.path}: must hold a dataset {name!r}, got {'none' if item is None else 'a group'}")
        with self._named(name):
            if item.is_virtual or item.external:
                raise ValueError(f"{self.path}: {name!r} must lie in this file, got another file")
            declared = (item.size or 0) * max(1, item.dtype.itemsize)
        if declared > self._most_bytes:
            raise ValueError(
                f"{self.path}: {name!r} must hold at most {self._most_bytes:,} bytes of numbers, got {declared:,}"
            )
        return item

    def array(self, name: str) -> np.ndarray:
        """Reads a whole dataset.

        Raises:
            ValueError: There is no such dataset, or the file is damaged.
        """
        dataset = self.dataset(name)
        with self._named(name):
            return np.asarray(dataset[()])

    def row(self, dataset: h5py.Dataset, row: int) -> Any:
        """Reads one row of a dataset.

        Raises:
            ValueError: The file is damaged.
        """
        with self._named(str(dataset.name)):
            return dataset[row]

    def columns(self, name: str, fields: Mapping[str, bool]) -> dict[str, np.ndarray]:
        """Reads the columns of a table: a dataset of records, or a matrix with the columns in this order.

        Args:
            name: Name of the dataset.
            fields: By name of the column, whether the table must have it.

        Returns:
            Numbers [N] by name of the column, without those that the table lacks.

        Raises:
            ValueError: A column is missing or does not hold numbers.
        """
        table = self.array(name)
        found: dict[str, np.ndarray] = {}
        for position, (field, is_required) in enumerate(fields.items()):
            if table.dtype.names is not None and table.ndim == 1 and field in table.dtype.names:
                found[field] = table[field]
            elif table.dtype.names is None and table.ndim == 2 and position < table.shape[1]:
                found[field] = table[:, position]
            elif is_required:
                columns = table.dtype.names or f"numbers of shape {table.shape}"
                raise ValueError(f"{self.path}: {name!r} must have a column {field!r}, got {quote(columns)}")
            if field in found and (found[field].dtype.kind not in "biuf" or found[field].ndim != 1):
                raise ValueError(f"{self.path}: {name!r}: {field!r} must hold numbers, got {found[field].dtype}")
        return found

    def attribute(self, name: str, field: str) -> Any:
        """Returns an attribute of a group or a dataset; None if there is none.

        Raises:
            ValueError: The file is damaged.
        """
        item = self.find(name)
        if item is None:
            return None
        with self._named(f"{name}.{field}"):
            return item.attrs.get(field)

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Within, an error of h5py is a ValueError that names the file and the dataset."""
        try:
            yield
        except _ERRORS as error:
            if str(error).startswith(f"{self.path}: "):
                raise
            raise ValueError(f"{self.path}: the file is damaged at {name!r} ({_first_line(error)})") from error


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path, what: str) -> Iterator[Hdf5Reader]:
    """Opens an HDF5 file for reading.

    Args:
        path: Path of the file.
        what: What the file must be, for messages.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no HDF5 file, or it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file not found; expected {what}")
    if not h5py.is_hdf5(path):
        with path.open("rb") as start:
            found = start.read(4)
        received = f"the first bytes {found.hex(' ')}" if found else "an empty file"
        raise ValueError(f"{path}: must be {what}, an HDF5 file, got {received}")
    try:
        file = h5py.File(path, "r")
    except _ERRORS as error:
        raise ValueError(f"{path}: the file is damaged ({_first_line(error)})") from error
    with file:
        yield Hdf5Reader(path, file)


def text_of(value: Any) -> str | None:
    """Returns the text that a value of HDF5 holds; None if it is no text in UTF-8."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize == 1:
        value = value.tobytes()
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value) if isinstance(value, str) else None


def whole_numbers(values: np.ndarray, what: str, low: int, high: int) -> np.ndarray:
    """Returns numbers [N] as int64.

    Args:
        values: Numbers [N] of any type.
        what: The file, the dataset and the column, for messages.
        low: Smallest valid number.
        high: Number above the largest valid one.

    Raises:
        ValueError: A number is not whole or out of range; the message names the first such row.
    """
    numbers = values.astype(np.float64)
    is_right = (numbers >= low) & (numbers < high) & (numbers == np.floor(numbers))
    if not is_right.all():
        row = int(np.argmin(is_right))
        rule = f"a whole number from {low} to {high - 1}" if high > low else "absent"
        raise ValueError(f"{what} must be {rule}, got {values[row]} in row {row}")
    return numbers.astype(np.int64)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
