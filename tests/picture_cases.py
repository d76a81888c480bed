"""Encoded pictures with the oddities that cameras and tools write."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def exif(orientation: int, order: str = ">") -> bytes:
    """EXIF data with an orientation."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    return start + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(data: bytes, orientation: int, order: str = ">") -> bytes:
    """A JPEG or PNG file with an EXIF orientation."""
    if data.startswith(b"\x89PNG"):
        return with_png_chunk(data, b"eXIf", exif(orientation, order))
    return with_jpeg_segment(data, 0xE1, b"Exif\0\0" + exif(orientation, order))


def tiff(image: np.ndarray, orientation: int, order: str = ">") -> bytes:
    """A TIFF file of pixels [H, W, 3] RGB with an orientation."""
    (height, width, _), pixels = image.shape, image.tobytes()
    end = 8 + len(pixels)
    # Size, bits, no compression, RGB, place of the pixels, orientation, channels, rows and bytes of the only strip.
    values = [(256, width), (257, height), (258, 8), (259, 1), (262, 2), (273, 8), (274, orientation), (277, 3)]
    values += [(278, height), (279, len(pixels))]
    directory = b""
    for tag, value in values:
        kind, form = (4, "I") if tag == 279 else (3, "Hxx")
        directory += struct.pack(f"{order}HHI{form}", tag, kind, 1, value)
    start = b"MM\0*" if order == ">" else b"II*\0"
    return start + struct.pack(f"{order}I", end) + pixels + struct.pack(f"{order}H", 10) + directory + bytes(4)


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
