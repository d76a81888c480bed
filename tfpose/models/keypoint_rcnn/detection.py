"""Inference: from images to people. TensorFlow only: the number of people varies."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfpose.models.keypoint_rcnn.box_coding import PROPOSAL_WEIGHTS, clip_boxes, decode_boxes, has_area
from tfpose.models.keypoint_rcnn.images import prepare_images, resize_factor
from tfpose.models.keypoint_rcnn.keypoint_decoding import decode_keypoints
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.models.keypoint_rcnn.proposals import ScoredBoxes, map_positions, select_proposals
from tfpose.models.keypoint_rcnn.roi_align import shorten_boxes
from tfpose.models.keypoint_rcnn.settings import DetectionSettings, KeypointRcnnSettings
from tfpose.models.keypoint_rcnn.suppression import suppress_boxes

# People that go through the keypoint head at once; bounds the memory of crowded images.
CHUNK_SIZE = 32


class People(NamedTuple):
    """The people of a batch of images, image after image, and by descending score in an image.

    Attributes:
        boxes: [N, 4] xyxy in pixels.
        scores: [N] of the boxes.
        image_indices: [N] int32, not decreasing.
        keypoints: [N, J, 4] x, y, logit and score, see `decode_keypoints`; J is 0 for a network without this head.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    image_indices: tf.Tensor
    keypoints: tf.Tensor


def find_people(network: KeypointRcnn, images: tf.Tensor, settings: KeypointRcnnSettings | None = None) -> People:
    """Finds the people of images of one size, in pixels of these images, where pixel i covers [i, i + 1].

    Args:
        network: Network with its weights.
        images: [B, H, W, 3] uint8, red, green, blue.
        settings: Settings of image sizes, proposals and detections in place of the network's own; settings without
            keypoints skip the keypoint head.
    """
    settings = settings or network.settings
    prepared, sizes = prepare_images(images, settings)
    original = tf.repeat(tf.shape(images)[None, 1:3], tf.shape(images)[0], axis=0)
    return rescale_people(detect_people(network, prepared, sizes, settings), sizes, original, settings)


def detect_people(
    network: KeypointRcnn, images: tf.Tensor, image_sizes: tf.Tensor, settings: KeypointRcnnSettings | None = None
) -> People:
    """Finds the people of prepared images, in pixels of the resized images.

    Args:
        network: Network with its weights.
        images: [B, H, W, 3], from `prepare_images` or `pad_images`.
        image_sizes: [B, 2] (height, width) without padding.
        settings: Settings as in `find_people`.
    """
    settings = settings or network.settings
    pyramid = network(images, training=False)
    logits, deltas = network.score_anchors(pyramid)
    min_box_size = settings.box_conventions.last_pixel
    proposals = select_proposals(
        logits, deltas, network.anchors(pyramid), image_sizes, settings.proposals, min_box_size
    )
    predictions = network.predict_boxes(pyramid, proposals.boxes, proposals.image_indices)
    people, _ = select_people(*predictions, proposals, image_sizes, settings.detections, min_box_size)
    if not settings.has_keypoint_head:
        return People(*people, tf.zeros([tf.shape(people.boxes)[0], 0, 4]))
    return People(*people, find_keypoints(network, pyramid, people))


def select_people(
    class_logits: tf.Tensor,
    deltas: tf.Tensor,
    proposals: ScoredBoxes,
    image_sizes: tf.Tensor,
    settings: DetectionSettings,
    min_box_size: float = 0.0,
) -> tuple[ScoredBoxes, tf.Tensor]:
    """Selects boxes with a high probability of a person that do not overlap better boxes.

    Args:
        class_logits: [N, 2] (person, background).
        deltas: [N, 4].
        proposals: Proposals of N boxes.
        image_sizes: [B, 2] (height, width) without padding.
        settings: Settings of the detections.
        min_box_size: Shortest side of a clipped box, see `clip_boxes`.

    Returns:
        The people, and [K] int32 the proposals that they come from.
    """
    boxes = decode_boxes(deltas, proposals.boxes, PROPOSAL_WEIGHTS)
    scores = tf.nn.softmax(class_logits)[:, 0]
    return select_boxes(ScoredBoxes(boxes, scores, proposals.image_indices), image_sizes, settings, min_box_size)


def select_boxes(
    candidates: ScoredBoxes, image_sizes: tf.Tensor, settings: DetectionSettings, min_box_size: float = 0.0
) -> tuple[ScoredBoxes, tf.Tensor]:
    """Applies `select_people` to decoded boxes and their probabilities, in any order within an image."""
    is_finite = tf.reduce_all(tf.math.is_finite(candidates.boxes), axis=1) & tf.math.is_finite(candidates.scores)
    boxes = clip_boxes(candidates.boxes, tf.gather(image_sizes, candidates.image_indices), min_box_size)
    is_candidate = is_finite & (candidates.scores > settings.score_threshold)

    def select(values: tuple[tf.Tensor]) -> tf.Tensor:
        is_of_image = is_candidate & (candidates.image_indices == values[0])
        return suppress_boxes(boxes, candidates.scores, settings.iou_threshold, settings.max_detections, is_of_image)

    slots = map_positions(select, (tf.range(tf.shape(image_sizes)[0]),), settings.max_detections)
    positions = slots[:, 1]
    return ScoredBoxes(tf.gather(boxes, positions), tf.gather(candidates.scores, positions), slots[:, 0]), positions


def find_keypoints(network: KeypointRcnn, pyramid: list[tf.Tensor], people: ScoredBoxes) -> tf.Tensor:
    """Finds the keypoints [N, J, 4] of people, some people at a time; see `decode_keypoints`."""
    num_people, num_joints = tf.shape(people.boxes)[0], network.settings.num_joints
    conventions = network.settings.box_conventions

    def find_in_chunk(start: tf.Tensor, keypoints: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = slice(start, start + CHUNK_SIZE)
        boxes = people.boxes[part]
        maps = network.predict_keypoint_maps(pyramid, boxes, people.image_indices[part])
        decoded = decode_keypoints(maps, shorten_boxes(boxes, conventions.last_pixel), conventions.sums_enlarged_map)
        return start + CHUNK_SIZE, tf.concat([keypoints, decoded], axis=0)

    _, keypoints = tf.while_loop(
        lambda start, _: start < num_people,
        find_in_chunk,
        (tf.constant(0), tf.zeros([0, num_joints, 4])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, num_joints, 4])),
        parallel_iterations=1,
    )
    return keypoints


def rescale_people(
    people: People,
    image_sizes: tf.Tensor,
    original_sizes: tf.Tensor,
    settings: KeypointRcnnSettings | None = None,
) -> People:
    """Converts people to pixels of the original images; people whose box is empty there are removed.

    Args:
        people: People in pixels of the resized images.
        image_sizes: [B, 2] (height, width) of the resized images.
        original_sizes: [B, 2] (height, width) of the original images.
        settings: Settings that the images were resized with; None takes the default ones.
    """
    settings = settings or KeypointRcnnSettings()
    last_pixel = settings.box_conventions.last_pixel
    scales = tf.gather(_original_scales(image_sizes, original_sizes, settings), people.image_indices)
    corners = shorten_boxes(people.boxes, last_pixel) * tf.tile(scales, [1, 2])
    boxes = shorten_boxes(corners, -last_pixel)
    boxes = clip_boxes(boxes, tf.gather(original_sizes, people.image_indices), last_pixel)
    points = people.keypoints[..., :2] * scales[:, None]
    keypoints = tf.concat([points, people.keypoints[..., 2:]], axis=-1)
    rescaled = People(boxes, people.scores, people.image_indices, keypoints)
    is_kept = has_area(boxes)
    return People(*(tf.boolean_mask(values, is_kept) for values in rescaled))


def _original_scales(image_sizes: tf.Tensor, original_sizes: tf.Tensor, settings: KeypointRcnnSettings) -> tf.Tensor:
    """Returns the pixels (x, y) of the original images in one pixel of the resized images, [B, 2]."""
    if settings.box_conventions.has_filtered_images:
        scales = tf.cast(original_sizes, tf.float32) / tf.cast(image_sizes, tf.float32)
        return tf.reverse(scales, axis=[1])
    factors = resize_factor(original_sizes, settings.shortest_edge, settings.longest_edge)
    return tf.cast(tf.repeat(1.0 / factors[:, None], 2, axis=1), tf.float32)
