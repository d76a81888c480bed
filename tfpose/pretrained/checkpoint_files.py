"""Reads checkpoint files of other frameworks without executing anything in them."""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfpose.pretrained.pickled_arrays import ARRAY_CONSTRUCTORS, PickledArray
from tfpose.pretrained.restricted_pickle import PLAIN_CONSTRUCTORS, read_pickle
from tfpose.pretrained.safetensors_files import StoredTensor, is_safetensors, read_safetensors
from tfpose.pretrained.torch_files import PickledTensor, is_legacy_file, read_legacy_file, read_zip_file

Tensor = PickledTensor | PickledArray | StoredTensor

_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
_FOREIGN_STARTS = {
    b"\x89HDF": "an HDF5 file; it may hold Keras weights already",
    b"<": "a web page or XML; the server may have refused the download",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with git lfs pull",
    b"\x1f\x8b": "a gzip archive; unpack it first",
}
_TAR_MAGIC = slice(257, 262)


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """Content of a file.

    Attributes:
        path: Path of the file.
        container: Kind of the file in words, for messages, such as 'PyTorch zip file'.
        content: Dicts, lists, text and numbers. Tensors are of one of the types of `Tensor`; their values are not read
            yet.
    """

    path: pathlib.Path
    container: str
    content: Any


def read_checkpoint_file(path: pathlib.Path) -> CheckpointFile:
    """Reads a `.pth`, `.pth.tar`, `.pkl`, `.pdparams` or `.safetensors` file; its content tells its kind.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is damaged, is of another kind, or asks for something to be executed; the message is one
            line with the path.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give a checkpoint (.pth, .pth.tar, .pkl, .pdparams or .safetensors)"
        )
    with open(path, "rb") as stream:
        start = stream.read(512)
    if start.startswith(_ZIP_START) or zipfile.is_zipfile(path):
        return CheckpointFile(path, "PyTorch zip file", read_zip_file(path))
    if not start.startswith(_PICKLE_START):
        if start and is_safetensors(path, start):
            return CheckpointFile(path, "safetensors file", read_safetensors(path))
        raise ValueError(
            f"{path}: must be a checkpoint of PyTorch, Paddle or Detectron or a safetensors file, got "
            f"{_describe_foreign(start)}"
        )
    if is_legacy_file(path):
        return CheckpointFile(path, "PyTorch file of the format before zip", read_legacy_file(path))
    return CheckpointFile(path, "pickle of NumPy arrays", _read_plain_pickle(path))


def _describe_foreign(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start[_TAR_MAGIC] == b"ustar":
        return "a tar archive"
    known = (kind for magic, kind in _FOREIGN_STARTS.items() if start.lstrip().startswith(magic))
    return next(known, f"a file that begins with {start[:8]!r}")


def _read_plain_pickle(path: pathlib.Path) -> Any:
    try:
        # Read as a whole, because a file object would reserve as many bytes as the pickle claims to hold.
        stream = io.BytesIO(path.read_bytes())
        return read_pickle(stream, {**PLAIN_CONSTRUCTORS, **ARRAY_CONSTRUCTORS})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_arrays(path: pathlib.Path, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Reads the values of tensors; floating-point numbers become float32.

    Args:
        path: File that the tensors are from.
        tensors: Tensors by name.

    Raises:
        ValueError: A tensor is damaged or holds numbers that are not finite; the message names it.
    """
    _check_total_size(path, tensors)
    arrays = {}
    for name, tensor in tensors.items():
        try:
            array = tensor.to_array()
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {name}: {error}") from error
        if array.dtype.kind == "f":
            array = array.astype(np.float32, copy=False)
            if not np.isfinite(array).all():
                raise ValueError(f"{path}: {name} must hold finite numbers, got infinity or not-a-number")
        arrays[name] = array
    return arrays


def _check_total_size(path: pathlib.Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors that share their bytes so often that a small file would fill the memory."""
    total = sum(math.prod(tensor.shape) for tensor in tensors.values())
    most = 2 * path.stat().st_size
    if total > most:
        raise ValueError(
            f"{path}: the tensors claim to hold {total:,} numbers, more than fit into a file of {most // 2:,} bytes"
        )
