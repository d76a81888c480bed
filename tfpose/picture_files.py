"""Picture files: kind, size and orientation as the header tells them, and upright pixels.

One rule holds for every program: the pixels of a picture are those that a viewer shows. The orientation that a camera
stores beside the pixels (EXIF) is applied. docs/pixel_convention.md describes the rule and its one exception.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import struct
import zlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from tfpose.file_names import whole_file

# A file of 400 kB can unpack to gigabytes. The largest cameras make about 100 megapixels.
MAX_MEGAPIXELS = 100.0
MAX_MEGAPIXELS_VARIABLE = "TFPOSE_MAX_MEGAPIXELS"

_PNG_START = b"\x89PNG\r\n\x1a\n"
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
_EXIF_START = b"Exif\0\0"
_ISO_MEDIA = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}
# Start-of-frame markers carry the size (ITU-T T.81, table B.1); C4, C8 and CC are other segments.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_JFIF, _JPEG_EXIF, _JPEG_END = 0xDA, 0xE0, 0xE1, 0xD9
# In the pixels, FF stands before 0, another FF and the restart markers D0 to D7 only.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
# Tables, scans, numbers of lines, intervals of restarts, applications, comments.
_JPEG_BETWEEN_SCANS = frozenset([0xC4, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE])
# Tags of TIFF 6.0, which EXIF uses too.
_WIDTH, _HEIGHT, ORIENTATION_TAG = 256, 257, 274
_NUMBER_TYPES = {3: "H", 4: "I"}
# A damaged chain of pages may go in a circle.
_MOST_PAGES = 10_000
# Depths that cameras write into 16-bit files.
SENSOR_BITS = (8, 10, 12, 14)


@dataclasses.dataclass(frozen=True)
class PictureHeader:
    """The content of the header of a picture file.

    Attributes:
        kind: Name of the format, such as "JPEG".
        stored_size: (height, width) of the pixels as they are stored.
        orientation: EXIF orientation from 1 to 8; 1 means that the stored pixels are upright.
        has_16_bits: Whether a PNG stores 16 bits for each color.
        pixel_aspect: Width of a pixel divided by its height.
        scan_start: Position in a JPEG file where the first scan of pixels begins.
    """

    kind: str
    stored_size: tuple[int, int]
    orientation: int = 1
    has_16_bits: bool = False
    pixel_aspect: float = 1.0
    scan_start: int = 0

    @property
    def upright_size(self) -> tuple[int, int]:
        """The size (height, width) of the picture as a viewer shows it."""
        return self.stored_size[::-1] if self.orientation >= 5 else self.stored_size

    @property
    def has_square_pixels(self) -> bool:
        """Whether a pixel is as wide as high, to one percent."""
        return abs(self.pixel_aspect - 1) <= 0.01


def picture_kind(data: bytes) -> str | None:
    """Returns the name of the format that a file begins as; None if the format is unknown."""
    starts = {_PNG_START: "PNG", b"\xff\xd8": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
    for start, kind in starts.items():
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PNM"
    return _ISO_MEDIA.get(data[8:12]) if data[4:8] == b"ftyp" else None


def read_header(data: bytes, name: object) -> PictureHeader:
    """Reads the header of a JPEG, PNG, BMP, GIF, WebP, TIFF or PNM file. Nothing is decoded.

    Args:
        data: Content of the file.
        name: Name of the file in error messages.

    Raises:
        ValueError: The data begin as none of these formats, the header is damaged, or the picture has more than
            `max_megapixels()`.
    """
    kind = picture_kind(data)
    if kind not in _HEADER_READERS:
        found = f"the first bytes {data[:4].hex(' ')}" if data else "an empty file"
        raise ValueError(f"{name}: must be a picture, got {f'a {kind} file' if kind else found}")
    try:
        header = _HEADER_READERS[kind](data)
    except (struct.error, ValueError, IndexError):
        header = None
    if header is None or min(header.stored_size) <= 0:
        raise ValueError(f"{name}: damaged {kind}: its header has no size")
    check_megapixels(header.stored_size, name)
    return header


def count_pages(data: bytes) -> int:
    """Returns the number of pages of a TIFF file, or of frames of an animated WebP or PNG; 1 for other files."""
    kind = picture_kind(data)
    if kind == "PNG":
        return max(1, sum(chunk == b"fcTL" for chunk, _, _ in _png_chunks(data)))
    if kind == "WebP":
        return max(1, sum(chunk == b"ANMF" for chunk, _, _ in _webp_chunks(data)))
    return len(_tiff_directories(data)) if kind == "TIFF" else 1


def _tiff_directories(data: bytes) -> list[int]:
    """Returns the places of the directories of a TIFF file, one for each page; at least one."""
    order = "<" if data[:2] == b"II" else ">"
    places: list[int] = []
    with contextlib.suppress(struct.error):
        place = struct.unpack_from(f"{order}I", data, 4)[0]
        while place and place not in places[-1:] and len(places) < _MOST_PAGES:
            num_entries = struct.unpack_from(f"{order}H", data, place)[0]
            places.append(place)
            place = struct.unpack_from(f"{order}I", data, place + 2 + 12 * num_entries)[0]
    return places or [0]


def max_megapixels() -> float:
    """Returns the largest size of a picture in megapixels: `TFPOSE_MAX_MEGAPIXELS`, or `MAX_MEGAPIXELS` if not set.

    Raises:
        ValueError: The environment variable is no number above 0.
    """
    text = os.environ.get(MAX_MEGAPIXELS_VARIABLE, "") or str(MAX_MEGAPIXELS)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ValueError(f"{MAX_MEGAPIXELS_VARIABLE} must be a number of megapixels above 0, got {text!r:.80}")
    return limit


def check_megapixels(size: tuple[int, int], name: object) -> None:
    """Checks that a picture of (height, width) is not larger than `max_megapixels()`.

    Raises:
        ValueError: The picture is larger; the message names the limit.
    """
    limit, megapixels = max_megapixels(), size[0] * size[1] / 1e6
    if megapixels > limit:
        raise ValueError(
            f"{name}: size must be at most {limit:g} megapixels, got {size[1]}x{size[0]} pixels "
            f"({megapixels:.0f} megapixels); {MAX_MEGAPIXELS_VARIABLE} sets another limit"
        )


def decode_upright(data: bytes, name: object) -> np.ndarray:
    """Decodes a picture as a viewer shows it.

    Args:
        data: Content of a file that `read_header` reads.
        name: Name of the file in error messages.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        ValueError: The header breaks a rule (see `read_header`), or the pixels cannot be decoded.
    """
    header = read_header(data, name)
    return turn_upright(to_8_bits(decode_stored(data, name))[..., ::-1], header.orientation)


def write_picture(path: pathlib.Path, image: np.ndarray, encoding: Sequence[int] = ()) -> None:
    """Writes a picture whole or not at all, in the format that the suffix of the name tells.

    Args:
        path: File to write.
        image: [H, W, 3] uint8 RGB.
        encoding: Parameters of `cv2.imencode`.

    Raises:
        OSError: The picture cannot be encoded or written.
    """
    is_encoded, data = cv2.imencode(path.suffix, image[..., ::-1], encoding)
    if not is_encoded:
        raise OSError(f"{path}: cannot encode the picture")
    # Not by OpenCV, which says nothing of a full disk and takes names in UTF-8 only.
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())


def decode_stored(data: bytes, name: object, flags: int = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) -> np.ndarray:
    """Decodes the pixels as they are stored, with OpenCV's flags and channels (BGR).

    Raises:
        ValueError: The pixels cannot be decoded.
    """
    if picture_kind(data) == "TIFF":
        data = _without_tiff_orientation(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # The image has more pixels than OpenCV accepts.
        image = None
    if image is None:
        raise ValueError(f"{name}: cannot be decoded as an image (truncated, corrupt or of another format)")
    return image


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Returns pixels of 8 or 16 bits as uint8; 16-bit pixels by the bits that they use, see `used_bits`."""
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise ValueError(f"pixels must have 8 or 16 bits, got {image.dtype}")
    return (image >> (used_bits(image) - 8)).astype(np.uint8)


def used_bits(image: np.ndarray) -> int:
    """Returns the depth of a camera's sensor in bits that holds all values: 8, 10, 12, 14 or 16.

    Cameras of 12 bits write 16-bit files with values up to 4095. Read as 16 bits they are nearly black.
    """
    most = int(image.max(initial=0))
    return next((bits for bits in SENSOR_BITS if most < 1 << bits), 16)


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Returns stored pixels [H, W, ...] as a viewer shows them, contiguous.

    Args:
        image: Pixels as they are stored.
        orientation: EXIF orientation from 1 to 8 (EXIF 2.3, tag 274).
    """
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def without_exif(data: bytes) -> bytes:
    """Returns a JPEG or PNG file without EXIF data: every program then shows the stored pixels."""
    if data.startswith(_PNG_START):
        parts = [(start, end) for kind, start, end in _png_chunks(data) if kind == b"eXIf"]
    else:
        parts = [(start, end) for marker, start, end in _jpeg_segments(data) if _is_exif(data, marker, start)]
    for start, end in reversed(parts):
        data = data[:start] + data[end:]
    return data


def _jpeg_header(data: bytes) -> PictureHeader:
    size, aspect, orientation, scan = (0, 0), 1.0, None, 0
    for marker, start, end in _jpeg_segments(data):
        scan = start
        if marker in _JPEG_FRAMES:
            size = struct.unpack_from(">HH", data, start + 5)
        elif marker == _JPEG_JFIF and data[start + 4 : start + 9] == b"JFIF\0" and end - start >= 16:
            aspect = _pixel_aspect(*struct.unpack_from(">HH", data, start + 12))
        elif orientation is None and _is_exif(data, marker, start):
            orientation = _exif_orientation(data[start + 4 + len(_EXIF_START) : end])
    return PictureHeader("JPEG", size, orientation or 1, pixel_aspect=aspect, scan_start=scan)


def _is_exif(data: bytes, marker: int, start: int) -> bool:
    return marker == _JPEG_EXIF and data.startswith(_EXIF_START, start + 4)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields (marker, start, end) of the segments of a JPEG file up to the first scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        yield marker, position, end
        if marker == _JPEG_SCAN:
            return
        position = end


def is_damaged_inside(data: bytes, header: PictureHeader) -> bool:
    """Returns whether a whole JPEG or PNG file holds what no such file may hold, as after a disk or transfer fault.

    Nothing is decoded. All damage to a PNG file is found; in a JPEG file only bytes that no marker may have, as most
    foreign data contain some, but not zeros and single wrong bits.
    """
    if header.kind == "PNG":
        chunks = _png_chunks(data)
        return any(
            zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]) for _, start, end in chunks
        )
    position = header.scan_start if header.kind == "JPEG" else 0
    while position:
        # Segments, such as tables between the scans of a progressive file, may hold any bytes.
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
        found = _JPEG_MARKER.search(data, position)
        if found is None or found[1][0] == _JPEG_END:
            return False
        if found[1][0] not in _JPEG_BETWEEN_SCANS:
            return True
        position = found.start()
    return False


def is_cut_gif(data: bytes) -> bool:
    """Returns whether a GIF file ends inside a block, so that its last frame is not whole.

    Readers show such a frame with what came before in place of the missing part. A file that lacks only the last byte,
    the trailer, is whole.
    """
    if picture_kind(data) != "GIF":
        return False

    def table_size(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    with contextlib.suppress(IndexError):
        position = 13 + table_size(data[10])
        while position != len(data) and data[position] in (_GIF_IMAGE, _GIF_EXTENSION):
            # An image has a header, colors and the size of codes before its parts; an extension has a kind.
            position += 11 + table_size(data[position + 9]) if data[position] == _GIF_IMAGE else 2
            while size := data[position]:
                position += 1 + size
            position += 1
        return False
    return True


def _png_header(data: bytes) -> PictureHeader:
    width, height, depth = struct.unpack_from(">IIB", data, 16)
    orientation, aspect = 1, 1.0
    for kind, start, end in _png_chunks(data):
        if kind == b"eXIf":
            orientation = _exif_orientation(data[start + 8 : end - 4])
        if kind == b"pHYs" and end - start >= 20:
            aspect = _pixel_aspect(*struct.unpack_from(">II", data, start + 8))
    return PictureHeader("PNG", (height, width), orientation, depth == 16, aspect)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, start, end) of the chunks of a PNG file up to its last one, IEND."""
    position = len(_PNG_START)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position, position + length + 12
        if kind == b"IEND":
            return
        position += length + 12


def _pixel_aspect(across: int, down: int) -> float:
    """Returns the width of a pixel divided by its height, from the numbers of pixels for a length across and down."""
    return down / across if across and down else 1.0


def _bmp_header(data: bytes) -> PictureHeader:
    is_old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
    return PictureHeader("BMP", (abs(height), width))


def _gif_header(data: bytes) -> PictureHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureHeader("GIF", (height, width))


def _webp_header(data: bytes) -> PictureHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return PictureHeader("WebP", (height, width))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return PictureHeader("WebP", ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1))
    width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
    orientation = 1
    for chunk, start, end in _webp_chunks(data):
        if chunk == b"EXIF":
            orientation = _exif_orientation(data[start:end].removeprefix(_EXIF_START))
    return PictureHeader("WebP", (height, width), orientation)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, start, end) of the content of the chunks of a WebP file."""
    position = 12
    while position + 8 <= len(data):
        chunk, length = struct.unpack_from("<4sI", data, position)
        yield chunk, position + 8, position + 8 + length
        position += 8 + length + length % 2


def _tiff_header(data: bytes) -> PictureHeader:
    tags = _tiff_tags(data)
    return PictureHeader("TIFF", (tags.get(_HEIGHT, 0), tags.get(_WIDTH, 0)), _valid_orientation(tags))


def _pnm_header(data: bytes) -> PictureHeader:
    numbers: list[int] = []
    for line in data[2:1024].splitlines():
        numbers += [int(word) for word in line.split(b"#")[0].split()[: 2 - len(numbers)]]
        if len(numbers) == 2:
            break
    return PictureHeader("PNM", (numbers[1], numbers[0]))


def _exif_orientation(exif: bytes) -> int:
    return _valid_orientation(_tiff_tags(exif))


def _valid_orientation(tags: dict[int, int]) -> int:
    orientation = tags.get(ORIENTATION_TAG, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _without_tiff_orientation(data: bytes) -> bytes:
    """Returns a TIFF file whose pixels are upright as they are stored; OpenCV turns them whatever its flags are."""
    if ORIENTATION_TAG not in (values := _tiff_values(data)):
        return data
    form, place = values[ORIENTATION_TAG]
    return data[:place] + struct.pack(form, 1) + data[place + struct.calcsize(form) :]


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Returns the whole numbers of the first directory of a TIFF file or of EXIF data; none if it is damaged."""
    return {tag: struct.unpack_from(form, data, place)[0] for tag, (form, place) in _tiff_values(data).items()}


def _tiff_values(data: bytes) -> dict[int, tuple[str, int]]:
    """Returns the format and the place of each of these numbers."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return {}
    values = {}
    try:
        directory = struct.unpack_from(f"{order}I", data, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", data, directory)[0]):
            place = directory + 2 + 12 * entry
            tag, kind, count, _ = struct.unpack_from(f"{order}HHII", data, place)
            if kind in _NUMBER_TYPES and count == 1:
                values[tag] = (order + _NUMBER_TYPES[kind], place + 8)
    except struct.error:
        pass
    return values


_HEADER_READERS = {
    "JPEG": _jpeg_header,
    "PNG": _png_header,
    "BMP": _bmp_header,
    "GIF": _gif_header,
    "WebP": _webp_header,
    "TIFF": _tiff_header,
    "PNM": _pnm_header,
}
