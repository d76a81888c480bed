"""Encoded pictures with the oddities that cameras and tools write."""

from __future__ import annotations

import struct
import zlib


def exif(orientation: int, order: str = ">") -> bytes:
    """EXIF data with an orientation."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    return start + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(data: bytes, orientation: int, order: str = ">") -> bytes:
    """A JPEG or PNG file with an EXIF orientation."""
    if data.startswith(b"\x89PNG"):
        return with_png_chunk(data, b"eXIf", exif(orientation, order))
    return with_jpeg_segment(data, 0xE1, b"Exif\0\0" + exif(orientation, order))


def with_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG file with a further chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


def with_jpeg_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG file with a further segment at its start."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def png_of_size(height: int, width: int) -> bytes:
    """The header of a PNG file of any size, without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + end
