"""Keypoints from the logits of a person's joints. TensorFlow only: the size of the maps depends on the box.

He et al., "Mask R-CNN", 2017, section 5. The 56x56 logits are enlarged to the size of the box in pixels by bicubic
interpolation; the keypoint is the middle of the best pixel.
"""

from __future__ import annotations

import tensorflow as tf

# The free parameter of bicubic interpolation (Keys, 1981); -0.75 is that of OpenCV and PyTorch, TensorFlow has -0.5.
BICUBIC_A = -0.75


def decode_keypoints(maps: tf.Tensor, boxes: tf.Tensor, sums_enlarged_map: bool = False) -> tf.Tensor:
    """Finds the best point of each map inside its box.

    Args:
        maps: [N, H, W, J] logits.
        boxes: [N, 4] xyxy.
        sums_enlarged_map: Whether the score is the probability of the pixel under a softmax over the enlarged map, as
            in the original Detectron.

    Returns:
        [N, J, 4]: x and y in the plane of the boxes, where pixel i covers [i, i + 1]; the logit there; and the score,
        the probability of this pixel under a softmax whose sum runs over the small map, so that the scores of boxes of
        different sizes are comparable. The score can be slightly above 1.
    """

    def decode_one(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return _decode_person(*values, sums_enlarged_map)

    maps = tf.cast(tf.transpose(maps, [0, 3, 1, 2]), tf.float32)
    signature = tf.TensorSpec([maps.shape[1], 4], tf.float32)
    # One person at a time: the enlarged maps of a person who fills the image take as much memory as 17 images.
    return tf.map_fn(decode_one, (maps, boxes), fn_output_signature=signature, parallel_iterations=1)


def _decode_person(maps: tf.Tensor, box: tf.Tensor, sums_enlarged_map: bool) -> tf.Tensor:
    """Decodes the maps [J, H, W] and the box [4] of one person to keypoints [J, 4]."""
    sides = tf.maximum(box[2:] - box[:2], 1.0)  # width, height
    size = tf.cast(tf.math.ceil(sides), tf.int32)
    enlarged = resize_bicubic(maps, size[1], size[0])
    flat = tf.reshape(enlarged, [tf.shape(maps)[0], -1])
    best = tf.argmax(flat, axis=1, output_type=tf.int32)
    peaks = tf.gather(flat, best, batch_dims=1)
    cells = tf.cast(tf.stack([best % size[0], best // size[0]], axis=1), tf.float32)
    points = box[:2] + (cells + 0.5) * (sides / tf.cast(size, tf.float32))
    summed = enlarged if sums_enlarged_map else maps
    scores = 1.0 / tf.reduce_sum(tf.exp(summed - peaks[:, None, None]), axis=[1, 2])
    return tf.concat([points, peaks[:, None], scores[:, None]], axis=1)


def resize_bicubic(maps: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Resizes by bicubic interpolation with a = -0.75, pixel centers at halves and the border repeated.

    Args:
        maps: [J, h, w] float32.
        height: Height of the result, scalar int32.
        width: Width of the result, scalar int32.

    Returns:
        [J, height, width].
    """
    rows, columns = (_bicubic_weights(tf.shape(maps)[axis], size) for axis, size in ((1, height), (2, width)))
    return tf.matmul(tf.matmul(rows, maps), columns, transpose_b=True)


def _bicubic_weights(source_size: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the share of each source cell in each cell of the result, [size, source_size]."""
    scale = tf.cast(source_size, tf.float32) / tf.cast(size, tf.float32)
    positions = (tf.range(tf.cast(size, tf.float32)) + 0.5) * scale - 0.5
    first = tf.floor(positions)
    weights = tf.zeros([size, source_size])
    for step in (-1, 0, 1, 2):
        cells = tf.clip_by_value(tf.cast(first, tf.int32) + step, 0, source_size - 1)
        shares = _cubic_kernel(tf.abs(positions - first - step))
        weights += tf.one_hot(cells, source_size) * shares[:, None]
    return weights


def _cubic_kernel(x: tf.Tensor) -> tf.Tensor:
    """Evaluates the cubic kernel for x in [0, 2] (Keys, "Cubic convolution interpolation", 1981, equation 15)."""
    a = BICUBIC_A
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return tf.where(x <= 1.0, near, far)
