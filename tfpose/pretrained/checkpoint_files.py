"""Checkpoint files of other frameworks: tells the containers apart and reads them without executing anything."""

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
from tfpose.pretrained.torch_files import PickledTensor, is_legacy_file, read_legacy_file, read_zip_file

Tensor = PickledTensor | PickledArray

_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
_FOREIGN_STARTS = {
    b"\x89HDF": "an HDF5 file, perhaps Keras weights already",
    b"<": "a web page or XML, perhaps in place of a download that was refused",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with git lfs pull",
    b"\x1f\x8b": "a gzip archive; unpack it first",
}
_TAR_MAGIC = slice(257, 262)


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """What a file holds.

    Attributes:
        path: of the file.
        container: for messages, such as 'PyTorch zip file'.
        content: dicts, lists, text and numbers; tensors are `PickledTensor` or `PickledArray`, not yet read.
    """

    path: pathlib.Path
    container: str
    content: Any


def read_checkpoint_file(path: pathlib.Path) -> CheckpointFile:
    """Reads a `.pth`, `.pth.tar` or `.pkl`; its name does not matter.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, of another kind, or asks for something to be executed; one line with the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a checkpoint (.pth, .pth.tar or .pkl)")
    with open(path, "rb") as stream:
        start = stream.read(512)
    if start.startswith(_ZIP_START) or zipfile.is_zipfile(path):
        return CheckpointFile(path, "PyTorch zip file", read_zip_file(path))
    if not start.startswith(_PICKLE_START):
        raise ValueError(f"{path}: expected a checkpoint of PyTorch or Detectron, found {_describe_foreign(start)}")
    if is_legacy_file(path):
        return CheckpointFile(path, "PyTorch file of the format before zip", read_legacy_file(path))
    return CheckpointFile(path, "pickle of NumPy arrays", _read_plain_pickle(path))


def _describe_foreign(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start[_TAR_MAGIC] == b"ustar":
        return "a tar archive"
    known = (what for magic, what in _FOREIGN_STARTS.items() if start.lstrip().startswith(magic))
    return next(known, f"something that begins with {start[:8]!r}")


def _read_plain_pickle(path: pathlib.Path) -> Any:
    try:
        # In one piece: a file object would reserve as many bytes as the pickle claims to hold.
        stream = io.BytesIO(path.read_bytes())
        return read_pickle(stream, {**PLAIN_CONSTRUCTORS, **ARRAY_CONSTRUCTORS})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_arrays(path: pathlib.Path, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The values of tensors, as float32 where they are not whole numbers.

    Raises:
        ValueError: one is damaged, or holds something else than finite numbers; names it.
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
                raise ValueError(f"{path}: {name}: expected finite numbers, found infinity or not-a-number")
        arrays[name] = array
    return arrays


def _check_total_size(path: pathlib.Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors that all look at the same bytes could fill the memory from a small file."""
    total = sum(math.prod(tensor.shape) for tensor in tensors.values())
    most = 2 * path.stat().st_size
    if total > most:
        raise ValueError(
            f"{path}: its tensors claim {total:,} numbers, more than a file of {most // 2:,} bytes can hold"
        )
