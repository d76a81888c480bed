"""The person detector: boxes of people in pictures, for whoever needs boxes and no joints.

Boxes are in the frame of annotated boxes: the network is trained on these as they stand (`settings.KEYPOINT_OFFSET`),
so what it finds can take their place, as crops of the two-stage system or in a COCO results file.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.detection import find_people
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings

BoxesAndScores = tuple[np.ndarray, np.ndarray]


class PersonDetector:
    """Finds the boxes of people; keypoints of a network that has them are left out.

    Args:
        network: with its weights.
        settings: of image sizes, proposals and detections in place of the network's own.
        batch_size: images of one size that go through the network at once.
        source: the file that the weights came from, for reports.
    """

    def __init__(
        self,
        network: KeypointRcnn,
        settings: KeypointRcnnSettings | None = None,
        batch_size: int = 1,
        source: str = "",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.network = network
        self.settings = (settings or network.settings).without_keypoints()
        self.batch_size = batch_size
        self.source = source
        # One graph for images of any number and size.
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        self._find = tf.function(lambda images: find_people(network, images, self.settings)[:3], signature)

    def detect(self, images: Sequence[np.ndarray]) -> list[BoxesAndScores]:
        """The people of each image.

        Args:
            images: [H, W, 3] uint8 RGB each; those of one size that follow each other share a batch.

        Returns:
            For each image boxes [N, 4] float32 xyxy in its pixels, clipped to 0 and its size, and scores [N] float32,
            best first.

        Raises:
            ValueError: an image has another shape or type.
        """
        for position, image in enumerate(images):
            if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size:
                raise ValueError(
                    f"images must be [height, width, 3] uint8, got {image.dtype} {image.shape} at position {position}"
                )
        return [found for batch in self._batches(images) for found in self._detect_batch(np.stack(batch))]

    def _batches(self, images: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for _, same_size in itertools.groupby(images, key=lambda image: image.shape):
            while batch := list(itertools.islice(same_size, self.batch_size)):
                yield batch

    def _detect_batch(self, images: np.ndarray) -> list[BoxesAndScores]:
        boxes, scores, image_indices = (values.numpy() for values in self._find(images))
        bounds = np.searchsorted(image_indices, np.arange(len(images) + 1))
        return [(boxes[start:stop], scores[start:stop]) for start, stop in itertools.pairwise(bounds)]


def detect_in_graph(
    network: KeypointRcnn, settings: KeypointRcnnSettings, image: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The people of one image as TensorFlow operations alone, for a SavedModel.

    Args:
        network: with its weights.
        settings: of image sizes, proposals and detections; usually the network's own.
        image: [H, W, 3] uint8 RGB, of any size.

    Returns:
        Boxes [N, 4] and scores [N] as of `PersonDetector.detect`.
    """
    people = find_people(network, image[None], settings.without_keypoints())
    return people.boxes, people.scores


def load_person_detector(
    workdir: str | pathlib.Path,
    weights: str = "best",
    batch_size: int = 1,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
) -> PersonDetector:
    """The detector of a work folder: of a training run, or of an imported checkpoint.

    Args:
        workdir: of the run.
        weights: 'best' or 'last'.
        batch_size: see `PersonDetector`.
        score_threshold: people have a higher score; None takes the network's own.
        iou_threshold: a person whose box overlaps a better one by more goes; None takes the network's own.

    Raises:
        FileNotFoundError: the folder is not that of a Keypoint R-CNN, or has no such weights.
        ValueError: its description or its weights are damaged.
    """
    settings = read_keypoint_rcnn_settings(workdir)
    network = build_keypoint_rcnn(settings)
    source = load_for_inference(network, pathlib.Path(workdir), weights)
    changes = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    changes = {name: value for name, value in changes.items() if value is not None}
    detections = dataclasses.replace(settings.detections, **changes)
    settings = dataclasses.replace(settings, detections=detections)
    return PersonDetector(network, settings, batch_size, str(source))
