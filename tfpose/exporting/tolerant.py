"""The signature `tolerant`: `serving_default`, but a broken image does not fail the other images of its batch.

`image_bytes` string [batch] -> the outputs of `serving_default` and `is_valid` bool [batch]: False for an image that
cannot be decoded, which has no people.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfpose.data.header_tensors import read_header
from tfpose.data.picture_tensors import is_jpeg_picture
from tfpose.data.upright_pictures import plain_picture
from tfpose.picture_files import max_megapixels

TOLERANT, IS_VALID = "tolerant", "is_valid"
# Stands in for a broken image; large enough for every network.
_BLANK_SIZE = (16, 16)


def tolerate_broken_images(find: Callable[..., dict[str, tf.Tensor]]) -> Callable:
    """Returns the signature `tolerant` as a concrete function.

    Args:
        find: The signature `serving_default` as a concrete function, which becomes a part of the other.
    """
    blank = tf.io.encode_png(tf.zeros([*_BLANK_SIZE, 3], tf.uint8)).numpy()

    def find_in_valid(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        is_valid = _can_be_decoded(image_bytes)
        outputs = find(image_bytes=tf.where(is_valid, image_bytes, blank))
        return {IS_VALID: is_valid, **{name: _without(values, is_valid) for name, values in outputs.items()}}

    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    return tf.function(find_in_valid, autograph=False).get_concrete_function(image_bytes)


def _can_be_decoded(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns which encoded images [B] can be decoded and are not too large, [B] bool."""
    # The operation that reads the header of a JPEG can fail. Those for other headers cannot.
    is_jpeg = tf.map_fn(is_jpeg_picture, image_bytes, fn_output_signature=tf.bool)
    any_jpeg = tf.io.encode_jpeg(tf.zeros([*_BLANK_SIZE, 3], tf.uint8))
    jpeg_bytes = tf.where(is_jpeg, image_bytes, any_jpeg)
    is_readable = _succeeds(_read_jpeg_shape, jpeg_bytes)
    readable_bytes = tf.where(is_readable, image_bytes, b"")
    return _succeeds(_decode, tf.map_fn(_with_good_header, readable_bytes))


def _succeeds(operation: Callable[[tf.Tensor], tf.Tensor], image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns for which encoded images [B] an operation ends without an error, [B] bool."""

    def run(number: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # An operation whose result is not used would be left out of the graph.
        return number, tf.reduce_max(tf.cast(operation(data), tf.int32))

    # A graph cannot catch the error of an operation, but a dataset can leave out the elements with errors. The dataset
    # is built at each call, so one simple dataset serves all images, and TensorFlow does not optimize it.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(tf.size(image_bytes)), image_bytes))
    return (
        numbered.map(run)
        .ignore_errors()
        .with_options(options)
        .reduce(
            tf.zeros_like(image_bytes, tf.bool),
            lambda found, row: tf.tensor_scatter_nd_update(found, [[row[0]]], [True]),
        )
    )


def _read_jpeg_shape(data: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(data)


def _with_good_header(data: tf.Tensor) -> tf.Tensor:
    """Returns the bytes to decode, none if the header is that of no picture or of one that is too large."""
    header = read_header(data)
    pixels = tf.reduce_prod(tf.cast(header.size, tf.float64))
    is_good = (header.num_bytes > 0) & (pixels <= max_megapixels() * 1e6)
    return tf.where(is_good, plain_picture(data, header), b"")


def _decode(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _without(values: tf.Tensor, is_valid: tf.Tensor) -> tf.Tensor:
    """Returns an output [B, ...] with zeros for the images that are not valid."""
    shape = tf.concat([tf.shape(is_valid), tf.ones(tf.rank(values) - 1, tf.int32)], axis=0)
    return tf.where(tf.reshape(is_valid, shape), values, tf.zeros_like(values))
