"""A Keypoint R-CNN as a detector of people, without its keypoints.

The boxes have the convention of annotated boxes, because the network is trained on annotated boxes without a shift (see
`settings.KEYPOINT_OFFSET`). The boxes can therefore replace annotated boxes, in the two-stage system or in a COCO
results file.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.inference.detectors.detector import BoxesAndScores, Picture, with_thresholds
from tfpose.inference.keypoint_rcnn_system import read_keypoint_rcnn_settings
from tfpose.models.keypoint_rcnn.detection import find_people
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
from tfpose.models.keypoint_rcnn.simplification import simplify_keypoint_rcnn
from tfpose.models.unfilled import build_unfilled


class KeypointRcnnDetector:
    """Finds the boxes of people; implements `ExportableDetector`.

    Args:
        network: Network with its weights.
        settings: Image sizes, proposals and detections that replace the network's own; None keeps those.
        batch_size: Number of images of one size that go through the network at once.
        source: File that the weights came from, for reports.
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
        # No other runtime can run the network: loops between its parts find the proposals.
        self.bare_networks: dict[str, keras.Model] = {}
        self.settings = (settings or network.settings).without_keypoints()
        self.batch_size = batch_size
        self.source = source
        # One graph for images of any number and size.
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        self._find = tf.function(
            lambda images: find_people(network, images, self.settings)[:3], signature, autograph=False
        )

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Finds the people of each picture; pictures of one size that follow each other share a batch.

        Returns:
            For each picture boxes [N, 4] float32 xyxy in its pixels, clipped to its size, and scores [N] float32, best
            first.

        Raises:
            ValueError: A picture cannot be read or has another shape or type than [H, W, 3] uint8.
        """
        images = (_read(picture, position) for position, picture in enumerate(pictures))
        return [found for batch in self._batches(images) for found in self._find_in_batch(np.stack(batch))]

    def find_people_in_graph(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the people of one image [H, W, 3] uint8; see `ExportableDetector.find_people_in_graph`."""
        people = find_people(self.network, image[None], self.settings)
        return people.boxes, people.scores

    def _batches(self, images: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for _, same_size in itertools.groupby(images, key=lambda image: image.shape):
            while batch := list(itertools.islice(same_size, self.batch_size)):
                yield batch

    def _find_in_batch(self, images: np.ndarray) -> list[BoxesAndScores]:
        boxes, scores, image_indices = (values.numpy() for values in self._find(images))
        bounds = np.searchsorted(image_indices, np.arange(len(images) + 1))
        return [(boxes[start:stop], scores[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _read(picture: Picture, position: int) -> np.ndarray:
    image = picture.read()
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"images must be [height, width, 3] uint8, got {image.dtype} {image.shape} at position {position}"
        )
    return image


def load_keypoint_rcnn_detector(
    workdir: str | pathlib.Path,
    weights: str = "best",
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    dtype: str = "float32",
) -> KeypointRcnnDetector:
    """Loads the detector of a work folder, which a training run or an import wrote.

    Args:
        workdir: Work folder.
        weights: 'best' or 'last'.
        score_threshold: Only people with a higher score are kept; None stands for the network's own threshold.
        iou_threshold: A person is left out if the overlap of the box with a better one is larger; None stands for the
            network's own threshold.
        dtype: "float32" or "bfloat16", see `simplify_keypoint_rcnn`.

    Raises:
        FileNotFoundError: The folder is not that of a Keypoint R-CNN, or has no such weights.
        ValueError: Its description or its weights are damaged.
    """
    settings = read_keypoint_rcnn_settings(workdir)
    network = build_unfilled(lambda: build_keypoint_rcnn(settings))
    source = load_for_inference(network, pathlib.Path(workdir), weights)
    detections = with_thresholds(settings.detections, score_threshold, iou_threshold)
    settings = dataclasses.replace(settings, detections=detections)
    name = str(source) if dtype == "float32" else f"{source} in {dtype}"
    return KeypointRcnnDetector(simplify_keypoint_rcnn(network, dtype), settings, source=name)
