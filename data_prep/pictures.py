"""Cheap checks of image files: the size in the header, and whether the end is there. Nothing is decoded."""

from __future__ import annotations

import pathlib
import struct

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
# Start-of-frame markers carry the size (ITU-T T.81, table B.1); C4, C8 and CC are other segments.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA


def read_picture(
    path: str | pathlib.Path, expected_size: tuple[int, int] | None = None
) -> tuple[bytes, tuple[int, int]]:
    """Reads the bytes of a JPEG or PNG file and checks them.

    Args:
        path: Path of the file.
        expected_size: (height, width) that the annotations give; None or zeros if they do not give it.

    Returns:
        The content of the file and the (height, width) of the image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a JPEG or PNG file, is cut short, or its image has another size.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: image file not found") from None
    size = picture_size(data, path)
    if expected_size is not None and any(expected_size) and size != tuple(expected_size):
        raise ValueError(
            f"{path}: size must be {expected_size[1]}x{expected_size[0]} pixels as in the annotations, "
            f"got {size[1]}x{size[0]}"
        )
    return data, size


def picture_size(data: bytes, path: str | pathlib.Path) -> tuple[int, int]:
    """(height, width) of an encoded image.

    Args:
        data: Content of a JPEG or PNG file.
        path: Name of the file in error messages.

    Raises:
        ValueError: The data are not a JPEG or PNG image, or are cut short.
    """
    if data.startswith(_PNG_START):
        return _png_size(data, path)
    if data.startswith(_JPEG_START):
        return _jpeg_size(data, path)
    received = f"the first bytes {data[:4].hex(' ')}" if data else "an empty file"
    raise ValueError(f"{path}: must be a JPEG or PNG image, got {received}")


def _png_size(data: bytes, path: str | pathlib.Path) -> tuple[int, int]:
    if len(data) < 24 or _PNG_END not in data[-1024:]:
        raise ValueError(f"{path}: truncated PNG: its end chunk is missing after {len(data)} bytes")
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def _jpeg_size(data: bytes, path: str | pathlib.Path) -> tuple[int, int]:
    """Walks over the segments up to the first scan; a thumbnail inside a segment is skipped."""
    position, size = 2, None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAMES and position + 9 <= len(data):
            size = struct.unpack(">HH", data[position + 5 : position + 9])
        if marker == _JPEG_SCAN:
            break
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    if data.rfind(_JPEG_END, position) < 0:
        raise ValueError(f"{path}: truncated JPEG: its end marker is missing after {len(data)} bytes")
    if size is None or 0 in size:
        raise ValueError(f"{path}: damaged JPEG: its header has no size")
    return size
