"""Encoded pictures of any origin as a graph, for SavedModels: upright, and no larger than the limit.

`picture_tensors` decodes the pictures of records, whose pixels the annotations know as they are stored. Everything here
turns pictures as `picture_files.decode_upright` does.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.data.header_tensors import KINDS, PictureHeader, read_header
from tfpose.data.picture_tensors import cut_crops_tensor, decode_picture
from tfpose.frame_fit import FrameFit
from tfpose.picture_files import MAX_MEGAPIXELS_VARIABLE, SENSOR_BITS, max_megapixels

ORIENTATIONS = range(1, 9)
# Orientations of EXIF (tag 274): rows and columns are exchanged, then x, then y is mirrored.
_EXCHANGED, _MIRRORED_X, _MIRRORED_Y = ({5, 6, 7, 8}, {2, 3, 6, 7}, {3, 4, 7, 8})
# Of a BMP before its header; of a WebP before its first part; of that part before the byte with `_TRANSPARENT_BIT`.
_BMP_START_BYTES, _WEBP_START_BYTES, _LOSSLESS_FLAGS_PLACE, _TRANSPARENT_BIT = 14, 12, 12, 0x10


def decode_upright(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a picture as a viewer shows it.

    Args:
        image_bytes: Scalar string with a JPEG, PNG, BMP, GIF or WebP.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: It is no picture, a damaged one, or larger than `max_megapixels()` when the
            graph was made.
    """
    picture, header = _check_picture(image_bytes)
    image = decode_picture(picture)
    image = tf.cond(_is_any(header, _EXCHANGED), lambda: tf.transpose(image, [1, 0, 2]), lambda: tf.identity(image))
    axes = tf.cast([_is_any(header, _MIRRORED_Y), _is_any(header, _MIRRORED_X)], tf.bool)
    image = tf.reverse(image, tf.cast(tf.where(axes)[:, 0], tf.int32))
    return tf.ensure_shape(image, [None, None, 3])


def read_upright_frame(image_bytes: tf.Tensor, fit: FrameFit) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads a whole picture as the input of a network.

    Args:
        image_bytes: See `decode_upright`.
        fit: Fit of frames to the network's input.

    Returns:
        [H, W, 3] uint8 RGB, and the (height, width) of the upright picture [2] int64.

    Raises:
        tf.errors.InvalidArgumentError: See `decode_upright`.
    """
    picture, header = _check_picture(image_bytes)
    size = tf.where(_is_any(header, _EXCHANGED), tf.reverse(header.size, [0]), header.size)
    matrices = geometry.compose(fit.matrices(size[None]), _upright_from_stored(header)[None])
    return cut_crops_tensor(picture, matrices, fit.input_size)[0], size


def cut_upright_crops(
    image_bytes: tf.Tensor, crop_from_image: tf.Tensor, crop_size: tuple[int, int], reduces_images: bool = True
) -> tf.Tensor:
    """Cuts crops from a picture. Bytes without crops are not looked at.

    Args:
        image_bytes: See `decode_upright`.
        crop_from_image: [P, 2, 3] float64, from pixels of the upright picture.
        crop_size: (height, width) in pixels.
        reduces_images: See `crops.CropSettings`.

    Returns:
        [P, height, width, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: See `decode_upright`.
    """

    def cut() -> tf.Tensor:
        picture, header = _check_picture(image_bytes)
        crop_from_stored = geometry.compose(crop_from_image, _upright_from_stored(header)[None])
        return cut_crops_tensor(picture, crop_from_stored, crop_size, reduces_images)

    crops = tf.cond(tf.size(crop_from_image) > 0, cut, lambda: tf.zeros([0, *crop_size, 3], tf.uint8))
    return tf.ensure_shape(crops, [None, *crop_size, 3])


def _check_picture(image_bytes: tf.Tensor) -> tuple[tf.Tensor, PictureHeader]:
    """Returns the bytes to decode, and the header."""
    header = read_header(image_bytes)
    limit = max_megapixels()
    problem = tf.where(
        tf.strings.length(image_bytes) > 0,
        f"Unknown image file format, must be one of {', '.join(KINDS)}",
        "Input is empty",
    )
    checks = [
        tf.debugging.Assert(header.num_bytes > 0, [problem]),
        tf.debugging.Assert(
            tf.reduce_prod(tf.cast(header.size, tf.float64)) <= limit * 1e6,
            [
                f"size must be at most {limit:g} megapixels ({MAX_MEGAPIXELS_VARIABLE} at export), got (height, width)",
                header.size,
            ],
        ),
    ]
    with tf.control_dependencies(checks):
        size, data = tf.identity(header.size), tf.identity(image_bytes)
    picture = plain_picture(data, header)
    picture = tf.cond(header.has_16_bits, lambda: _to_8_bits(picture), lambda: tf.identity(picture))
    picture = tf.cond(header.has_palette, lambda: _with_colors(picture), lambda: tf.identity(picture))
    return picture, header._replace(size=size)


def plain_picture(image_bytes: tf.Tensor, header: PictureHeader) -> tf.Tensor:
    """Returns the bytes of a picture, scalar string, without further frames and without the transparency of a WebP.

    TensorFlow's decoders look at all frames of a GIF, and refuse WebPs that are animated or transparent.

    Args:
        image_bytes: Scalar string.
        header: Its header.
    """
    is_whole = header.num_bytes >= tf.cast(tf.strings.length(image_bytes), tf.int64)
    return tf.cond(
        header.frame > 0,
        lambda: _frame_first(image_bytes, header.frame),
        lambda: tf.cond(is_whole, lambda: tf.identity(image_bytes), lambda: _end_after(image_bytes, header.num_bytes)),
    )


def _frame_first(data: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """Returns a WebP that begins with the pixels at a place. What was before them follows, where no reader looks."""

    def part(begin: tf.Tensor | int, end: tf.Tensor | int) -> tf.Tensor:
        begin, end = (tf.minimum(tf.cast(place, tf.int64), length) for place in (begin, end))
        return tf.strings.substr(data, begin, end - begin)

    length = tf.cast(tf.strings.length(data), tf.int64)
    start, flags = _WEBP_START_BYTES, frame + _LOSSLESS_FLAGS_PLACE
    is_lossless = part(frame, frame + 4) == b"VP8L"
    # A bit says that lossless pixels are transparent; others have their transparency in a part before them.
    opaque = tf.constant([bytes([code & ~_TRANSPARENT_BIT]) for code in range(256)])
    code = tf.io.decode_raw(part(flags, flags + 1), tf.uint8, fixed_length=1)[0]
    flag = tf.where(is_lossless, tf.gather(opaque, tf.cast(code, tf.int32)), part(flags, flags + 1))
    return tf.strings.join([part(0, start), part(frame, flags), flag, part(flags + 1, length), part(start, frame)])


def _end_after(data: tf.Tensor, num_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the first bytes of a GIF, and the byte that ends it."""
    return tf.strings.join([tf.strings.substr(data, tf.constant(0, tf.int64), num_bytes), b";"])


def _to_8_bits(data: tf.Tensor) -> tf.Tensor:
    """Returns a PNG of 16 bits as one of 8 bits, as `picture_files.to_8_bits` does."""
    pixels = tf.cast(tf.io.decode_png(data, channels=3, dtype=tf.uint16), tf.int32)
    bits = tf.constant([*SENSOR_BITS, 16])
    used = tf.reduce_min(tf.where(tf.reduce_max(pixels) < tf.bitwise.left_shift(1, bits), bits, 16))
    return tf.io.encode_png(tf.cast(tf.bitwise.right_shift(pixels, used - 8), tf.uint8), compression=0)


def _with_colors(data: tf.Tensor) -> tf.Tensor:
    """Returns a BMP with a palette, whose numbers of colors TensorFlow takes for shades of gray, as a PNG."""
    begin = (
        _BMP_START_BYTES + tf.io.decode_raw(tf.strings.substr(data, _BMP_START_BYTES, 4), tf.int32, fixed_length=4)[0]
    )
    colors = tf.io.decode_raw(tf.strings.substr(data, begin, 4 * 256), tf.uint8, fixed_length=4 * 256)
    numbers = tf.io.decode_image(data, channels=3, expand_animations=False)[..., 0]
    rgb = tf.gather(tf.reshape(colors, [256, 4]), [2, 1, 0], axis=1)
    return tf.io.encode_png(tf.gather(rgb, tf.cast(numbers, tf.int32)), compression=0)


def _upright_from_stored(header: PictureHeader) -> tf.Tensor:
    """Returns the map [2, 3] float64 from stored pixels to the pixels that a viewer shows."""
    linear = np.zeros([len(ORIENTATIONS), 2, 2])
    for orientation in ORIENTATIONS:
        rows = np.eye(2)[::-1] if orientation in _EXCHANGED else np.eye(2)
        signs = [-1.0 if orientation in mirrored else 1.0 for mirrored in (_MIRRORED_X, _MIRRORED_Y)]
        linear[orientation - 1] = rows * np.array(signs)[:, None]
    chosen = tf.constant(linear)[header.orientation - 1]
    # A mirrored axis begins at its last pixel.
    last = tf.cast(tf.reverse(header.size, [0]) - 1, tf.float64)
    offset = -tf.linalg.matvec(tf.minimum(chosen, 0), last)
    return tf.concat([chosen, offset[:, None]], axis=1)


def _is_any(header: PictureHeader, orientations: set[int]) -> tf.Tensor:
    return tf.reduce_any(header.orientation == tf.constant(sorted(orientations), tf.int64))
