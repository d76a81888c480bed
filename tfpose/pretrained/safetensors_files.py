"""Reads safetensors files: a header of JSON that says where the numbers of each tensor lie, then the numbers.

Format: https://github.com/huggingface/safetensors, section "Format". Nothing in such a file can be executed; a damaged
or malicious one can still claim sizes and places that are not in the file, or the same numbers twice.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfpose.messages import MOST_OF_A_VALUE, printable, quote
from tfpose.pretrained.pickled_arrays import are_sizes

_LENGTH_BYTES = 8
# The format allows 100 MB. 8 MB describe 50,000 tensors, and Python's objects take up to 25 times the text.
_MOST_HEADER_BYTES = 8 * 2**20
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_BFLOAT16 = "BF16"
# NumPy dtypes by the names of the format; a bfloat16 is the upper half of a float32.
_DTYPES = {
    **{"BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8"},
    **{"U64": "<u8", "F16": "<f2", _BFLOAT16: "<u2", "F32": "<f4", "F64": "<f8"},
}


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor of a safetensors file; its values are not read yet.

    Attributes:
        path: Path of the file.
        dtype: Name of the type in the format, such as 'F32'.
        shape: Shape of the tensor.
        start: Position of the first byte in the file.
    """

    path: pathlib.Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    def to_array(self) -> np.ndarray:
        """Reads the values; bfloat16, which NumPy lacks, becomes float32.

        Raises:
            ValueError: The file was cut short after its header was read.
        """
        count = math.prod(self.shape)
        values = np.fromfile(self.path, _DTYPES[self.dtype], count, offset=self.start)
        if len(values) != count:
            raise ValueError(f"must have {count} numbers, got {len(values)}")
        if self.dtype == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(self.shape)


def is_safetensors(path: pathlib.Path, start: bytes) -> bool:
    """Returns whether a file is a safetensors file, by its first bytes and its name."""
    return start[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" or path.suffix.lower() == ".safetensors"


def read_safetensors(path: pathlib.Path) -> dict[str, StoredTensor]:
    """Reads the header of a safetensors file.

    Raises:
        ValueError: The file is damaged, or its tensors overlap or lie beyond its end; the message names the file.
    """
    try:
        return _read(path)
    except RecursionError as error:
        raise ValueError(f"{path}: header must be flat JSON, got brackets in brackets") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: pathlib.Path) -> dict[str, StoredTensor]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        most = min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES)
        if not 2 <= length <= most:
            raise ValueError(f"length of the header must be from 2 to {most} bytes, got {length}")
        header = _parse(file.read(length))
    begin = _LENGTH_BYTES + length
    header.pop(_METADATA, None)
    tensors, spans = {}, []
    for name, entry in header.items():
        shown = printable(name, MOST_OF_A_VALUE)
        tensors[name], span = _tensor(path, shown, entry, begin)
        spans.append((*span, shown))
    _check_spans(sorted(spans), size - begin)
    return tensors


def _parse(text: bytes) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            raise ValueError("header must name each tensor and field once, got a name twice")
        return values

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        raise ValueError(f"header must be JSON, got {error.msg} at byte {_LENGTH_BYTES + error.pos}") from error
    except UnicodeDecodeError as error:
        raise ValueError("header must be JSON in UTF-8, got other bytes") from error
    if not isinstance(header, dict):
        raise ValueError(f"header must be an object, got a {type(header).__name__}")
    return header


def _tensor(path: pathlib.Path, name: str, entry: Any, begin: int) -> tuple[StoredTensor, tuple[int, int]]:
    """Returns a tensor and its place behind the header."""
    if not isinstance(entry, Mapping) or set(entry) != _FIELDS:
        raise ValueError(f"{name}: must be an object with {', '.join(sorted(_FIELDS))}, got another value")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name}: dtype must be one of {', '.join(_DTYPES)}, got {quote(dtype)}")
    if not isinstance(shape, list) or not are_sizes(shape):
        raise ValueError(f"{name}: shape must be a list of sizes, got {quote(shape)}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not are_sizes(offsets):
        raise ValueError(f"{name}: data_offsets must be two positions, got {quote(offsets)}")
    num_bytes = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != num_bytes:
        raise ValueError(
            f"{name}: data_offsets must span the {num_bytes} bytes of {dtype} {shape}, got {offsets[0]} to {offsets[1]}"
        )
    return StoredTensor(path, dtype, tuple(shape), begin + offsets[0]), (offsets[0], offsets[1])


def _check_spans(spans: list[tuple[int, int, str]], num_bytes: int) -> None:
    """Checks that the tensors lie side by side, without gap and overlap, and fill the file."""
    ends = itertools.chain([0], (end for _, end, _ in spans))
    for (start, _, name), end in zip(spans, ends, strict=False):
        if start != end:
            raise ValueError(f"{name}: data_offsets must begin at {end}, where the tensor before it ends, got {start}")
    last = spans[-1][1] if spans else 0
    if last != num_bytes:
        raise ValueError(f"tensors must fill the {num_bytes} bytes behind the header, got {last}")
