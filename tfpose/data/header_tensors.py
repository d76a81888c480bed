"""`picture_files.read_header` as a graph, for SavedModels: what an encoded picture says before it is decoded.

TensorFlow's decoders ignore the orientation of EXIF, and allocate whatever size a header asks for. References: CIPA
DC-008 (Exif 2.32), section 4.5 and 4.6.4 (orientation); ITU-T T.81, annex B (JPEG); W3C, PNG specification (third
edition), sections 5 and 11; CompuServe, GIF89a; Google, WebP container specification.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfpose.data.pictures import JPEG_START

PNG_START = b"\x89PNG\r\n\x1a\n"
KINDS = ("JPEG", "PNG", "BMP", "GIF", "WebP")
UPRIGHT = 1
# Segments, chunks or blocks of a picture that are looked at.
_MOST_PARTS = 65536
_EXIF_START = b"Exif\x00\x00"
_ORIENTATION_TAG = 0x0112
_TIFF_ENTRY_BYTES, _TIFF_SHORT, _TIFF_LONG = 12, 3, 4
_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C


class PictureHeader(NamedTuple):
    """The content of the header of an encoded picture.

    Attributes:
        size: (height, width) of the stored pixels [2] int64.
        orientation: Orientation of EXIF, scalar int64 from 1 to 8; 1 is upright.
        num_bytes: Number of bytes that hold the picture, scalar int64; of a GIF those of its first frame. 0 for bytes
            that are none of `KINDS`, and for a compressed BMP.
        has_16_bits: Whether a PNG stores 16 bits for each color, scalar bool.
        has_palette: Whether a BMP stores 8 bits for each pixel, the number of a color, scalar bool.
        frame: Place of the pixels of the first frame of a WebP, scalar int64; 0 for other kinds.
    """

    size: tf.Tensor
    orientation: tf.Tensor
    num_bytes: tf.Tensor
    has_16_bits: tf.Tensor | bool = False
    has_palette: tf.Tensor | bool = False
    frame: tf.Tensor | int = 0


# The graph has thousands of operations, so it is made once for all that read a header.
@functools.partial(tf.function, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def read_header(image_bytes: tf.Tensor) -> PictureHeader:
    """Reads the header of an encoded picture.

    Args:
        image_bytes: Scalar string.

    Raises:
        tf.errors.InvalidArgumentError: A JPEG has no size.
    """
    readers = (_read_jpeg, _read_png, _read_bmp, _read_gif, _read_webp)
    starts = (JPEG_START, PNG_START, b"BM", b"GIF8", b"RIFF")
    is_kind = [_text(image_bytes, 0, len(start)) == start for start in starts]
    is_kind[-1] &= _text(image_bytes, 8, 4) == b"WEBP"
    branches = [lambda read=read: _tensors(read(image_bytes)) for read in readers]
    kind = tf.argmax(tf.cast([*is_kind, True], tf.int32), output_type=tf.int32)
    nothing = PictureHeader(tf.zeros([2], tf.int64), _int64(UPRIGHT), _int64(0))
    return PictureHeader(*tf.switch_case(kind, [*branches, lambda: _tensors(nothing)]))


def _tensors(header: PictureHeader) -> PictureHeader:
    """Returns a header whose defaults are tensors too, as the branches of a graph must."""
    return header._replace(
        has_16_bits=tf.convert_to_tensor(header.has_16_bits),
        has_palette=tf.convert_to_tensor(header.has_palette),
        frame=tf.cast(header.frame, tf.int64),
    )


def _read_jpeg(data: tf.Tensor) -> PictureHeader:
    exif = _find_part(data, 2, lambda place: _jpeg_segment_bytes(data, place), lambda place: _starts_exif(data, place))
    size = tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64)
    return PictureHeader(size, _orientation(data, exif + 4 + len(_EXIF_START)), _length(data))


def _jpeg_segment_bytes(data: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the length of the segment at a place; 0 at the start of the compressed data, where the header ends."""
    first, marker = _number(data, place, 1), _number(data, place + 1, 1)
    # Between segments bytes 0xff may be inserted.
    is_filling = (first != 0xFF) | (marker == 0xFF)
    has_length = (marker >= 0xC0) & ~((marker >= 0xD0) & (marker <= 0xD8))
    size = 2 + tf.where(has_length, tf.maximum(_number(data, place + 2, 2), 2), _int64(0))
    is_end = (marker == 0xDA) | (marker == 0xD9)
    return tf.where(is_filling, _int64(1), tf.where(is_end, _int64(0), size))


def _starts_exif(data: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    return (_number(data, place, 2) == 0xFFE1) & (_text(data, place + 4, len(_EXIF_START)) == _EXIF_START)


def _read_png(data: tf.Tensor) -> PictureHeader:
    # Long pictures have thousands of parts, and hardly any has an orientation.
    has_exif = tf.size(tf.strings.split(data, sep="eXIf")) > 1
    exif = _find_part(
        data,
        tf.where(has_exif, _int64(len(PNG_START)), _length(data)),
        lambda place: 12 + _number(data, place, 4),
        lambda place: _text(data, place + 4, 4) == b"eXIf",
    )
    size = tf.stack([_number(data, 20, 4), _number(data, 16, 4)])
    return PictureHeader(size, _orientation(data, exif + 8), _length(data), _number(data, 24, 1) == 16)


def _read_bmp(data: tf.Tensor) -> PictureHeader:
    width, height = (_number(data, place, 4, is_little=True) for place in (18, 22))
    # A negative height says that the rows begin at the top.
    height = tf.where(height < 2**31, height, 2**32 - height)
    has_palette = _number(data, 28, 2, is_little=True) == 8
    # TensorFlow would take compressed numbers of colors for pixels.
    num_bytes = tf.where(has_palette & (_number(data, 30, 4) != 0), _int64(0), _length(data))
    return PictureHeader(tf.stack([height, width]), _int64(UPRIGHT), num_bytes, has_palette=has_palette)


def _read_gif(data: tf.Tensor) -> PictureHeader:
    """Reads a GIF; its size is the larger one of the screen and of the first frame, because both are allocated."""
    codes = tf.cast(tf.concat([tf.io.decode_raw(data, tf.uint8), [0]], axis=0), tf.int64)
    frame = _find_part(
        data,
        13 + _gif_colors_bytes(_number(data, 10, 1)),
        lambda place: 2 + _gif_blocks_bytes(codes, place + 2),
        lambda place: _number(data, place, 1) != _GIF_EXTENSION,
    )
    sides = [
        tf.maximum(_number(data, screen, 2, is_little=True), _number(data, frame + shift, 2, is_little=True))
        for screen, shift in ((8, 7), (6, 5))
    ]
    begin = frame + 11 + _gif_colors_bytes(_number(data, frame + 9, 1))
    end = tf.where(_number(data, frame, 1) == _GIF_IMAGE, begin + _gif_blocks_bytes(codes, begin), _length(data))
    return PictureHeader(tf.stack(sides), _int64(UPRIGHT), tf.minimum(end, _length(data)))


def _gif_colors_bytes(flags: tf.Tensor) -> tf.Tensor:
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), _int64(0))


def _gif_blocks_bytes(codes: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the length of the blocks at a place in the bytes [N + 1] int64 of a GIF, with the last, empty block."""
    last = tf.size(codes, tf.int64) - 1

    def step(place: tf.Tensor) -> tuple[tf.Tensor]:
        return (tf.minimum(place + 1 + codes[place], last),)

    (end,) = tf.while_loop(lambda place: codes[place] > 0, step, (tf.minimum(place, last),), parallel_iterations=1)
    return end + 1 - place


def _read_webp(data: tf.Tensor) -> PictureHeader:
    exif = _find_part(
        data,
        12,
        lambda place: _webp_part_bytes(data, place),
        lambda place: _text(data, place, 4) == b"EXIF",
    )
    begin = exif + 8
    begin += tf.where(_text(data, begin, len(_EXIF_START)) == _EXIF_START, _int64(len(_EXIF_START)), _int64(0))
    frame = _find_part(
        data,
        12,
        # The frame of an animation begins with its place and time, and holds parts.
        lambda place: tf.where(_text(data, place, 4) == b"ANMF", _int64(24), _webp_part_bytes(data, place)),
        lambda place: (_text(data, place, 4) == b"VP8 ") | (_text(data, place, 4) == b"VP8L"),
    )
    size = _webp_size(data, 12)
    # Of a frame that is only a part of the picture the rest is not known.
    frame = tf.where(tf.reduce_all(_webp_size(data, frame) == size), frame, _int64(0))
    return PictureHeader(size, _orientation(data, begin), _length(data), frame=frame)


def _webp_size(data: tf.Tensor, place: tf.Tensor | int) -> tf.Tensor:
    """Returns the (height, width) [2] int64 that the part of a WebP at a place names; zeros if it names none."""

    def number(shift: int, count: int) -> tf.Tensor:
        return _number(data, place + shift, count, is_little=True)

    lossless = number(9, 4)
    sizes = {
        b"VP8X": (number(15, 3) + 1, number(12, 3) + 1),
        b"VP8L": (lossless // 2**14 % 2**14 + 1, lossless % 2**14 + 1),
        b"VP8 ": (number(16, 2) % 2**14, number(14, 2) % 2**14),
    }
    kind, size = _text(data, place, 4), tf.zeros([2], tf.int64)
    for name, sides in sizes.items():
        size = tf.where(kind == name, tf.stack(sides), size)
    return size


def _webp_part_bytes(data: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    return 8 + (_number(data, place + 4, 4, is_little=True) + 1) // 2 * 2


def _orientation(data: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the TIFF structure at a place, scalar int64; 1 if it is absent or out of range."""
    is_little = _text(data, begin, 2) == b"II"
    directory = begin + _number(data, begin + 4, 4, is_little)
    count = _number(data, directory, 2, is_little)
    entries = _text(data, directory + 2, count * _TIFF_ENTRY_BYTES)
    rows = tf.strings.length(entries) // _TIFF_ENTRY_BYTES
    entries = tf.io.decode_raw(_text(entries, 0, rows * _TIFF_ENTRY_BYTES), tf.uint8)
    table = tf.cast(tf.reshape(entries, [-1, _TIFF_ENTRY_BYTES]), tf.int64)
    tags, kinds, shorts = (_combine(table[:, place : place + 2], is_little) for place in (0, 2, 8))
    values = tf.where(kinds == _TIFF_LONG, _combine(table[:, 8:], is_little), shorts)
    is_found = (tags == _ORIENTATION_TAG) & ((kinds == _TIFF_SHORT) | (kinds == _TIFF_LONG))
    found = tf.concat([values[is_found], [_int64(UPRIGHT)]], axis=0)[0]
    return tf.where((found >= 1) & (found <= 8), found, _int64(UPRIGHT))


def _find_part(
    data: tf.Tensor,
    begin: tf.Tensor | int,
    part_bytes: Callable[[tf.Tensor], tf.Tensor],
    is_found: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Returns the place of the first part that is found, scalar int64; the length of the data if no part is found.

    Args:
        data: Scalar string.
        begin: Place of the first part.
        part_bytes: Function from a place to the length of the part there; 0 ends the search.
        is_found: Whether the part at a place is the one.
    """
    end = _length(data)

    def step(place: tf.Tensor) -> tuple[tf.Tensor]:
        size = part_bytes(place)
        return (tf.where(size > 0, tf.minimum(place + size, end), end),)

    (place,) = tf.while_loop(
        lambda place: (place < end) & ~is_found(place),
        step,
        (tf.minimum(tf.cast(begin, tf.int64), end),),
        maximum_iterations=_MOST_PARTS,
        parallel_iterations=1,
    )
    return tf.where(is_found(place), place, end)


def _int64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.int64)


def _length(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(data), tf.int64)


def _text(data: tf.Tensor, place: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
    """Returns the bytes at a place, fewer at the end of the data."""
    place = tf.minimum(tf.cast(place, tf.int64), _length(data))
    return tf.strings.substr(data, place, tf.cast(count, tf.int64))


def _number(data: tf.Tensor, place: tf.Tensor | int, num_bytes: int, is_little: tf.Tensor | bool = False) -> tf.Tensor:
    """Returns the unsigned number at a place, scalar int64; bytes beyond the end are 0."""
    values = tf.io.decode_raw(_text(data, place, num_bytes), tf.uint8, fixed_length=num_bytes)
    return _combine(tf.cast(values, tf.int64), is_little)


def _combine(values: tf.Tensor, is_little: tf.Tensor | bool) -> tf.Tensor:
    """Numbers [...] int64 from their bytes [..., N]."""
    weights = [256**power for power in range(values.shape[-1])]
    little, big = (tf.constant(order, tf.int64) for order in (weights, weights[::-1]))
    return tf.reduce_sum(values * tf.where(is_little, little, big), axis=-1)
