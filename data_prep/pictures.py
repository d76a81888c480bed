"""Reads the image files of a dataset as records hold them: whole JPEG or PNG files whose pixels are upright.

Only what no reader of the records would show rightly is decoded and encoded again: a picture with an EXIF orientation,
and a 16-bit PNG that uses fewer bits. All other files are copied byte by byte.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import cv2
import numpy as np

from tfpose.picture_files import (
    PictureHeader,
    decode_stored,
    is_damaged_inside,
    picture_kind,
    read_header,
    to_8_bits,
    turn_upright,
    used_bits,
    without_exif,
)

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
# The smallest loss that one more JPEG encoding causes at a reasonable size of the file.
_JPEG_OPTIONS = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@dataclasses.dataclass(frozen=True)
class SourcePicture:
    """A picture as a record holds it.

    Attributes:
        data: Content of a JPEG or PNG file.
        size: (height, width) in pixels.
        notes: What the user must know of the picture, in words that a number of images follows.
    """

    data: bytes
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def read_picture(path: str | os.PathLike[str], expected_size: tuple[int, int] = (0, 0)) -> SourcePicture:
    """Reads a JPEG or PNG file, checks it and makes its pixels upright.

    Pixels are turned as the EXIF orientation says, as viewers and annotation tools do. Only where the annotations give
    the size of the pixels as they are stored, these are kept; the EXIF data are then left out, so that every reader
    shows the same pixels.

    Args:
        path: Path of the file.
        expected_size: (height, width) that the annotations give; zeros if they do not give it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a JPEG or PNG file, is cut short, is too large, or its image has another size.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: image file not found") from None
    header = check_picture(data, path)
    is_turned = _is_turned(header, expected_size, path)
    notes = _notes(header, is_turned)
    if is_damaged_inside(data, header):
        notes += ("images with damaged pixels",)
    size = header.upright_size if is_turned else header.stored_size
    image = decode_stored(data, path, cv2.IMREAD_UNCHANGED) if header.has_16_bits else None
    bits = used_bits(image) if image is not None else 8
    if image is not None and bits < 16:
        image = to_8_bits(image)
        notes += (f"images of 16 bits for each color that use only {bits} bits, converted to 8 bits",)
    elif not is_turned:
        return SourcePicture(data if header.orientation == 1 else without_exif(data), size, notes)
    elif image is None:
        image = decode_stored(data, path, cv2.IMREAD_COLOR if header.kind == "JPEG" else cv2.IMREAD_UNCHANGED)
    return SourcePicture(
        encode_picture(turn_upright(image, header.orientation if is_turned else 1), header.kind), size, notes
    )


def _is_turned(header: PictureHeader, expected_size: tuple[int, int], path: str | os.PathLike[str]) -> bool:
    """Checks the size of a picture; returns whether its pixels are turned as the EXIF orientation says."""
    stored, upright, expected = header.stored_size, header.upright_size, tuple(expected_size)
    if not all(expected) or expected == upright:
        return header.orientation != 1
    if expected == stored:
        return False
    exif = f", or {upright[1]}x{upright[0]} by its EXIF orientation {header.orientation}" if upright != stored else ""
    raise ValueError(
        f"{path}: size must be {expected[1]}x{expected[0]} pixels as in the annotations, "
        f"got {stored[1]}x{stored[0]}{exif}"
    )


def _notes(header: PictureHeader, is_turned: bool) -> tuple[str, ...]:
    notes = []
    if is_turned:
        notes.append("images turned upright by their EXIF orientation, as annotation tools show them")
    elif header.orientation != 1:
        notes.append(
            "images not turned by their EXIF orientation, since the annotated sizes are those of the stored pixels"
        )
    if not header.has_square_pixels:
        notes.append("images whose header says that pixels are not square, which tfpose takes as square")
    return tuple(notes)


def encode_picture(image: np.ndarray, kind: str) -> bytes:
    """Encodes pixels [H, W] or [H, W, C] in OpenCV's order of colors as "JPEG", at quality 95, or as "PNG"."""
    options = _JPEG_OPTIONS if kind == "JPEG" else ()
    return cv2.imencode(".jpg" if kind == "JPEG" else ".png", image, options)[1].tobytes()


def check_picture(data: bytes, path: str | os.PathLike[str]) -> PictureHeader:
    """Reads the header of a JPEG or PNG file and checks that the end of the file is there.

    Raises:
        ValueError: It is no JPEG or PNG file, is cut short, or is too large; the message begins with `path`.
    """
    kind = picture_kind(data)
    if kind not in ("JPEG", "PNG"):
        received = f"the first bytes {data[:4].hex(' ')}" if data else "an empty file"
        raise ValueError(f"{path}: must be a JPEG or PNG image, got {f'a {kind} image' if kind else received}")
    if kind == "PNG" and (len(data) < 24 or _PNG_END not in data[-1024:]):
        raise ValueError(f"{path}: truncated PNG: its end chunk is missing after {len(data)} bytes")
    if kind == "JPEG" and data.rfind(_JPEG_END) < 0:
        raise ValueError(f"{path}: truncated JPEG: its end marker is missing after {len(data)} bytes")
    header = read_header(data, path)
    # A thumbnail in the header has an end marker too.
    if kind == "JPEG" and data.rfind(_JPEG_END, header.scan_start) < 0:
        raise ValueError(f"{path}: truncated JPEG: its end marker is missing after {len(data)} bytes")
    return header
