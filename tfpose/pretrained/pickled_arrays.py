"""Builds the NumPy arrays of pickles from their bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfpose.pretrained.restricted_pickle import Constructor, Global, PickledObject

_NUMBER = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
# What NumPy takes. Multiplying the sizes of more dimensions takes long.
_MOST_DIMENSIONS, _MOST_ELEMENTS = 64, 2**63 - 1
_BYTE_ORDERS: Mapping[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "|": "=", "=": "=", "": "="}


class PickledDtype(PickledObject):
    """A `numpy.dtype` as a pickle describes it."""

    def __init__(self, code: str = "", *flags: Any) -> None:
        del flags
        self.code = code
        self._byte_order: Literal["<", ">", "="] = "="

    def set_state(self, state: Any) -> None:
        """Stores the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in _BYTE_ORDERS:
            self._byte_order = _BYTE_ORDERS[state[1]]

    def to_dtype(self) -> np.dtype:
        """Returns the dtype.

        Raises:
            ValueError: It is not a dtype of plain numbers.
        """
        if not isinstance(self.code, str) or not _NUMBER.fullmatch(self.code):
            raise ValueError("an array must hold numbers, got other objects")
        return np.dtype(self.code).newbyteorder(self._byte_order)


class PickledArray(PickledObject):
    """A `numpy.ndarray` as a pickle describes it: shape, dtype, order and bytes.

    Attributes:
        shape: Shape of the array.
    """

    def __init__(self, shape: Any = (0,), dtype: Any = None, data: Any = b"", is_fortran: Any = False) -> None:
        self.shape = shape
        self._dtype, self._data, self._is_fortran = dtype, data, is_fortran

    def set_state(self, state: Any) -> None:
        """Stores shape, dtype, order and bytes."""
        _, self.shape, self._dtype, self._is_fortran, self._data = state
        if not are_sizes(self.shape):
            raise ValueError("an array without a shape")

    def to_array(self) -> np.ndarray:
        """Returns the array.

        Raises:
            ValueError: The elements are not numbers, or their bytes do not match the shape.
        """
        if not isinstance(self._dtype, PickledDtype):
            raise ValueError("an array without a dtype")
        dtype = self._dtype.to_dtype()
        # Python 2 stores bytes as strings, which are read as latin-1.
        data = self._data.encode("latin-1") if isinstance(self._data, str) else self._data
        if not isinstance(data, (bytes, bytearray)):
            raise ValueError("an array without bytes")
        expected = math.prod(self.shape) * dtype.itemsize
        if len(data) != expected:
            raise ValueError(f"an array of shape {self.shape} must have {expected} bytes, got {len(data)}")
        return np.frombuffer(data, dtype).reshape(self.shape, order="F" if self._is_fortran else "C")


def are_sizes(values: Any) -> bool:
    """Returns whether values are sizes of an array: at most 64 numbers of at most 63 bits."""
    is_short = isinstance(values, (tuple, list)) and len(values) <= _MOST_DIMENSIONS
    return is_short and all(type(n) is int and 0 <= n <= _MOST_ELEMENTS for n in values)


def _reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
    del shape, code
    if not isinstance(kind, Global) or kind.name != "numpy.ndarray":
        raise ValueError("an array of another class than numpy.ndarray")
    return PickledArray()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    if not are_sizes(shape):
        raise ValueError("an array without a shape")
    return PickledArray(shape, dtype, data, order == "F")


def _scalar(dtype: Any, data: Any = b"") -> PickledArray:
    return PickledArray((), dtype, data)


def _refuse_call(*arguments: Any) -> None:
    raise ValueError("an empty array that nothing fills")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1")


ARRAY_CONSTRUCTORS: dict[str, Constructor] = {
    "numpy.ndarray": _refuse_call,
    "numpy.dtype": PickledDtype,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    "_codecs.encode": _encode,
    **{f"{module}.bytes": lambda: b"" for module in ("__builtin__", "builtins")},
    **{f"{module}.bytearray": lambda data=b"": data for module in ("__builtin__", "builtins")},
}
