"""TFRecord files: each record is a length (uint64), its checksum (uint32), the data and their checksum (uint32).

Checksums are masked CRC-32C, as TensorFlow's `lib/hash/crc32c.h` defines them. Each record that is read is checked.
"""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from google_crc32c import extend as _extend_crc32c
from google_crc32c import value as _crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4
_MASK_DELTA = 0xA282EAD8


def iterate_records(path: str | pathlib.Path) -> Iterator[tuple[int, int, bytes]]:
    """Yields (offset, length, data) of each record; the offset is that of the data.

    Raises:
        ValueError: The file ends inside a record, or a checksum is wrong. The message names the file and the byte.
    """
    path = pathlib.Path(path)
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = 0
        while start < size:
            data = _read(file, path, start, size)
            yield start + HEADER_BYTES, len(data), data
            start += HEADER_BYTES + len(data) + FOOTER_BYTES


def read_record(path: pathlib.Path, offset: int) -> bytes:
    """Returns the data of one record.

    Args:
        path: Path of the file.
        offset: Byte at which the data begin.

    Raises:
        ValueError: The file ends inside the record, or a checksum is wrong. The message names the file and the byte.
    """
    with open(path, "rb") as file:
        file.seek(offset - HEADER_BYTES)
        return _read(file, path, offset - HEADER_BYTES)


def write_record(file: BinaryIO, parts: Sequence[bytes]) -> int:
    """Writes a record to the end of a file.

    Args:
        file: File that is open for writing.
        parts: The data, which may be in several parts so that large ones need not be copied.

    Returns:
        The number of bytes of the data.

    Raises:
        OSError: The file cannot be written.
    """
    num_bytes, checksum = 0, 0
    for part in parts:
        num_bytes += len(part)
        checksum = _extend_crc32c(checksum, part)
    length = struct.pack("<Q", num_bytes)
    file.writelines((length, struct.pack("<I", _masked(_crc32c(length))), *parts, struct.pack("<I", _masked(checksum))))
    return num_bytes


def _read(file: BinaryIO, path: pathlib.Path, start: int, size: int | None = None) -> bytes:
    """Reads the record at byte `start`, where the file stands; `size` is that of the file if it is known."""
    header = file.read(HEADER_BYTES)
    if len(header) == HEADER_BYTES:
        length, checksum = struct.unpack("<QI", header)
        if not _is_sum(header[:8], checksum):
            raise _damaged(path, start, "the checksum of its length is wrong")
        size = path.stat().st_size if size is None else size
        if start + HEADER_BYTES + length + FOOTER_BYTES <= size:
            data, footer = file.read(length), file.read(FOOTER_BYTES)
            if len(footer) == FOOTER_BYTES:
                if not _is_sum(data, struct.unpack("<I", footer)[0]):
                    raise _damaged(path, start, "the checksum of its data is wrong")
                return data
    raise _damaged(path, start, "the file ends inside it")


def _is_sum(data: bytes, masked: int) -> bool:
    return _masked(_crc32c(data)) == masked


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _damaged(path: pathlib.Path, start: int, reason: str) -> ValueError:
    return ValueError(f"{path}: the record at byte {start} must be whole, got a damaged one ({reason}); build again")
