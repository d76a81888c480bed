"""Reads files of `torch.save` without PyTorch, in the zip format (since PyTorch 1.6) and in the format before it.

Both formats hold pickles in which a tensor is a view (offset, sizes, strides) of a numbered storage, whose bytes lie
outside the pickle. The values of a tensor are read when `to_array` is called.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfpose.pretrained.pickled_arrays import ARRAY_CONSTRUCTORS, are_sizes
from tfpose.pretrained.restricted_pickle import PLAIN_CONSTRUCTORS, Constructor, Global, InertObject, read_pickle

ByteOrder = Literal["<", ">"]

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_BFLOAT16 = "bfloat16"
# NumPy dtypes, without byte order, by the kind of a storage.
_STORAGES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": _BFLOAT16,
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
_DTYPES = {
    "float32": "f4",
    "float64": "f8",
    "float16": "f2",
    "bfloat16": _BFLOAT16,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "b1",
}
_STORAGE_DTYPES = {f"torch.{kind}Storage": dtype for kind, dtype in _STORAGES.items()}
_STORAGE_DTYPES |= {f"torch.cuda.{kind}Storage": dtype for kind, dtype in _STORAGES.items()}
_STORAGE_DTYPES["torch.storage.UntypedStorage"] = "u1"
_TENSOR_DTYPES = {f"torch.{name}": dtype for name, dtype in _DTYPES.items()}


class StorageSource:
    """Place that holds the bytes of storages.

    Attributes:
        byte_order: Byte order of the numbers, "<" or ">".
    """

    byte_order: ByteOrder = "<"
    # Neighbors in a state dict may share a storage, so the last one is kept.
    _last: tuple[Any, np.ndarray] | None = None

    def read_bytes(self, key: str, num_bytes: int) -> bytes:
        """Reads all bytes of a storage.

        Raises:
            ValueError: The storage is missing or does not have `num_bytes` bytes.
        """
        raise NotImplementedError

    def read(self, key: str, dtype: str, num_elements: int) -> np.ndarray:
        """Reads all elements of a storage, [num_elements]."""
        if self._last is None or self._last[0] != (key, dtype):
            data = self.read_bytes(key, num_elements * _item_size(dtype))
            self._last = (key, dtype), _to_elements(data, dtype, self.byte_order)
        return self._last[1]


@dataclasses.dataclass(frozen=True)
class Storage:
    """A numbered array of elements outside the pickle, or a part of one.

    Attributes:
        source: Place that holds the bytes.
        key: Number of the storage, as text.
        dtype: NumPy dtype of the elements, without byte order.
        num_elements: Number of elements of the whole storage.
        start: Index of the first element of the part.
    """

    source: StorageSource
    key: str
    dtype: str
    num_elements: int
    start: int = 0

    def read(self) -> np.ndarray:
        """Reads the elements of the whole storage, [num_elements]."""
        return self.source.read(self.key, self.dtype, self.num_elements)


class PickledTensor:
    """A tensor as a pickle describes it.

    Attributes:
        shape: Shape of the tensor.
        dtype: NumPy dtype of the elements, without byte order.
    """

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None) -> None:
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        if not (are_sizes((offset,)) and are_sizes(shape) and are_sizes(strides) and len(shape) == len(strides)):
            raise ValueError("a tensor without sizes and strides")
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype = dtype or storage.dtype
        self._storage, self._offset, self._strides = self._typed(storage), storage.start + offset, tuple(strides)

    def _typed(self, storage: Storage) -> Storage:
        """Returns the storage with elements of the tensor's dtype; an untyped storage holds bytes."""
        if storage.dtype == self.dtype:
            return storage
        if storage.dtype != "u1":
            raise ValueError(f"a tensor of {self.dtype} in a storage of {storage.dtype}")
        return dataclasses.replace(
            storage, dtype=self.dtype, num_elements=storage.num_elements // _item_size(self.dtype)
        )

    def to_array(self) -> np.ndarray:
        """Reads the values; bfloat16, which NumPy lacks, becomes float32.

        Raises:
            ValueError: The storage is missing, cut short or smaller than the tensor.
        """
        count = math.prod(self.shape)
        last = self._offset + sum((n - 1) * step for n, step in zip(self.shape, self._strides, strict=True))
        num_elements = self._storage.num_elements
        if count and (last >= num_elements or count > num_elements):
            raise ValueError(f"shape {self.shape} reaches beyond its storage of {num_elements} elements")
        elements = self._storage.read()[self._offset :] if count else np.zeros(0, np.float32)
        strides = [step * elements.itemsize for step in self._strides]
        return np.lib.stride_tricks.as_strided(elements, self.shape, strides, writeable=False).copy()


def read_zip_file(path: pathlib.Path) -> Any:
    """Reads a file of `torch.save` in the zip format; tensors become `PickledTensor`s.

    Raises:
        ValueError: The file is damaged, is of another kind, or asks for something to be executed; the message is one
            line with the path.
    """
    try:
        archive = _ZipStorages(path)
        with io.BytesIO(archive.read_entry("data.pkl")) as stream:
            return read_pickle(stream, CONSTRUCTORS, functools.partial(_load_persistent, archive, {}))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged or cut short: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_legacy_file(path: pathlib.Path) -> bool:
    """Returns whether a file begins with the magic number of the format before zip."""
    with open(path, "rb") as stream:
        start = stream.read(32)
    try:
        return read_pickle(io.BytesIO(start), {}) == LEGACY_MAGIC_NUMBER
    except ValueError:
        return False


def read_legacy_file(path: pathlib.Path) -> Any:
    """Reads a file of `torch.save` in the format before zip; result and errors are those of `read_zip_file`."""
    try:
        return _read_legacy(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_legacy(data: bytes) -> Any:
    """Reads magic number, protocol, facts about the machine, the object, the keys of the storages, and the storages."""
    stream = io.BytesIO(data)
    header = [read_pickle(stream, PLAIN_CONSTRUCTORS) for _ in range(3)]
    if header[:2] != [LEGACY_MAGIC_NUMBER, _LEGACY_PROTOCOL] or not isinstance(header[2], dict):
        raise ValueError(f"PyTorch's protocol must be {_LEGACY_PROTOCOL}, got another")
    storages = _LegacyStorages("<" if header[2].get("little_endian", True) else ">")
    item_sizes: dict[str, int] = {}
    content = read_pickle(stream, CONSTRUCTORS, functools.partial(_load_persistent, storages, item_sizes))
    keys = read_pickle(stream, PLAIN_CONSTRUCTORS)
    are_keys = isinstance(keys, list) and all(isinstance(key, (str, int)) for key in keys)
    if not are_keys or set(map(str, keys)) != set(item_sizes):
        raise ValueError("damaged: the list of storages does not match the tensors")
    storages.index(data, stream.tell(), [(str(key), item_sizes[str(key)]) for key in keys])
    return content


class _LegacyStorages(StorageSource):
    """Storages one after another: the number of elements in 8 bytes, then the elements."""

    def __init__(self, byte_order: ByteOrder) -> None:
        self.byte_order = byte_order
        self._data = memoryview(b"")
        self._places: dict[str, slice] = {}

    def index(self, data: bytes, position: int, keys_and_item_sizes: list[tuple[str, int]]) -> None:
        """Finds the storages, which begin at a position in the file."""
        self._data = memoryview(data)
        for key, item_size in keys_and_item_sizes:
            count = int.from_bytes(self._data[position : position + 8], "little" if self.byte_order == "<" else "big")
            start, position = position + 8, position + 8 + count * item_size
            if position > len(self._data):
                raise ValueError(
                    f"damaged or cut short: storage {key} ends at byte {position}, the file at {len(self._data)}"
                )
            self._places[key] = slice(start, position)

    def read_bytes(self, key: str, num_bytes: int) -> bytes:
        data = self._data[self._places[key]]
        return bytes(_checked_size(key, data, num_bytes))


class _ZipStorages(StorageSource):
    """Storages as uncompressed entries `PREFIX/data/KEY` of an archive."""

    def __init__(self, path: pathlib.Path) -> None:
        self._archive = zipfile.ZipFile(path)
        self._file_size = os.path.getsize(path)
        names = self._archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"a zip archive of torch.save must hold one data.pkl, got {len(pickles)}")
        self._prefix = pickles[0][: -len("data.pkl")]
        if f"{self._prefix}constants.pkl" in names:
            raise ValueError("must be weights saved by torch.save, got a TorchScript program")
        has_order = f"{self._prefix}byteorder" in names
        self.byte_order = ">" if has_order and self.read_entry("byteorder") == b"big" else "<"

    def read_entry(self, name: str) -> bytes:
        """Reads an entry by its name after the prefix."""
        try:
            entry = self._archive.getinfo(self._prefix + name)
        except KeyError:
            raise ValueError(f"damaged: {name} is missing in the archive") from None
        # An entry that unpacks to more than the file is a zip bomb.
        if entry.compress_type != zipfile.ZIP_STORED or not entry.file_size == entry.compress_size <= self._file_size:
            raise ValueError(f"damaged: {name} claims to be {entry.file_size} bytes packed to {entry.compress_size}")
        try:
            return self._archive.read(entry)
        except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, OSError) as error:
            raise ValueError(f"damaged or cut short: {name}: {error}") from error

    def read_bytes(self, key: str, num_bytes: int) -> bytes:
        return _checked_size(key, self.read_entry(f"data/{key}"), num_bytes)


def _checked_size(key: str, data: Any, num_bytes: int) -> Any:
    if len(data) != num_bytes:
        raise ValueError(f"damaged: storage {key} must have {num_bytes} bytes, got {len(data)}")
    return data


def _to_elements(data: bytes, dtype: str, byte_order: ByteOrder) -> np.ndarray:
    if dtype != _BFLOAT16:
        return np.frombuffer(data, np.dtype(dtype).newbyteorder(byte_order)).astype(dtype, copy=False)
    # A bfloat16 is the upper half of a float32.
    halves = np.frombuffer(data, np.dtype("u2").newbyteorder(byte_order))
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _item_size(dtype: str) -> int:
    return 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize


def _load_persistent(source: StorageSource, item_sizes: dict[str, int], persistent_id: Any) -> Any:
    """Makes a storage of ('storage', kind, key, device, number of elements[, view]); drops source code of modules."""
    if isinstance(persistent_id, tuple) and persistent_id[:1] == ("module",):
        return persistent_id[1]
    if not isinstance(persistent_id, tuple) or len(persistent_id) not in (5, 6) or persistent_id[0] != "storage":
        raise ValueError("a reference to something else than a storage")
    _, kind, key, _, num_elements, *view = persistent_id
    if not isinstance(key, (str, int)):
        raise ValueError("a storage without a key")
    if not isinstance(kind, Global) or kind.name not in _STORAGE_DTYPES or not are_sizes((num_elements,)):
        raise ValueError("a storage of an unknown kind")
    storage = Storage(source, str(key), _STORAGE_DTYPES[kind.name], num_elements)
    item_sizes[storage.key] = _item_size(storage.dtype)
    if view and view[0] is not None:
        if not isinstance(view[0], tuple) or len(view[0]) != 3:
            raise ValueError("a part of a storage without its place")
        _, start, _ = view[0]
        if not are_sizes((start,)):
            raise ValueError("a storage that begins nowhere")
        return dataclasses.replace(storage, start=start)
    return storage


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> PickledTensor:
    del rest
    return PickledTensor(storage, offset, shape, strides)


def _rebuild_typed_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, dtype: Any, *rest: Any
) -> PickledTensor:
    del requires_grad, hooks, rest
    if not isinstance(dtype, Global) or dtype.name not in _TENSOR_DTYPES:
        raise ValueError("a tensor of an unknown dtype")
    return PickledTensor(storage, offset, shape, strides, _TENSOR_DTYPES[dtype.name])


def _rebuild_parameter(tensor: Any, *rest: Any) -> Any:
    del rest
    return tensor


def _refuse_call(*arguments: Any) -> None:
    raise ValueError("a storage that is made inside the pickle")


CONSTRUCTORS: Mapping[str, Constructor] = {
    **PLAIN_CONSTRUCTORS,
    **ARRAY_CONSTRUCTORS,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.Size": tuple,
    "torch.device": InertObject,
    **{name: _refuse_call for name in (*_STORAGE_DTYPES, *_TENSOR_DTYPES)},
}
