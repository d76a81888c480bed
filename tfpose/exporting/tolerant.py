"""The signature `tolerant`: `serving_default`, but a broken image does not fail the other images of its batch.

`image_bytes` string [batch] -> the outputs of `serving_default` and `is_valid` bool [batch]: False for an image that
cannot be decoded, which has no people.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfpose.data.upright_pictures import decode_upright

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
        is_valid = tf.map_fn(_can_be_decoded, image_bytes, fn_output_signature=tf.bool)
        outputs = find(image_bytes=tf.where(is_valid, image_bytes, blank))
        return {IS_VALID: is_valid, **{name: _without(values, is_valid) for name, values in outputs.items()}}

    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    return tf.function(find_in_valid, autograph=False).get_concrete_function(image_bytes)


def _can_be_decoded(data: tf.Tensor) -> tf.Tensor:
    # A graph cannot catch the error of an operation; a dataset can leave out the elements with errors.
    decoded = tf.data.Dataset.from_tensors(data).map(decode_upright).ignore_errors()
    return decoded.reduce(False, lambda *_: True)


def _without(values: tf.Tensor, is_valid: tf.Tensor) -> tf.Tensor:
    """Returns an output [B, ...] with zeros for the images that are not valid."""
    shape = tf.concat([tf.shape(is_valid), tf.ones(tf.rank(values) - 1, tf.int32)], axis=0)
    return tf.where(tf.reshape(is_valid, shape), values, tf.zeros_like(values))
