"""PicoDet as a detector of people."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.inference.detectors.cubic_resizing import resize_by_opencv, resize_like_opencv
from tfpose.inference.detectors.detector import BoxesAndScores, Picture, with_thresholds
from tfpose.inference.litert_network import LitertNetwork
from tfpose.inference.picodet_system import PicodetSettings, read_picodet_settings
from tfpose.models.picodet import decode_boxes
from tfpose.models.simplification import simplify_network
from tfpose.models.unfilled import build_unfilled


class PicodetDetector:
    """Finds the boxes of people; implements `ExportableDetector`.

    Args:
        network: Network with its weights; a `LitertNetwork` cannot be exported.
        settings: Input size and thresholds.
        source: File that the weights came from, for reports.
    """

    def __init__(self, network: keras.Model, settings: PicodetSettings, source: str = "") -> None:
        self.network = network
        self.bare_networks = {"detector": network}
        self.settings = settings
        self.source = source
        names = ("score_threshold", "iou_threshold", "num_candidates", "max_people")
        self.thresholds = {name: getattr(settings, name) for name in names}
        self._resize = resize_by_opencv if isinstance(network, LitertNetwork) else resize_like_opencv
        # One graph for images of any size.
        signature = [tf.TensorSpec((None, None, 3), tf.uint8)]
        self._find = tf.function(self.find_people_in_graph, signature, autograph=False)

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Finds the people of each picture.

        Returns:
            For each picture boxes [N, 4] float32 xyxy in its pixels, clipped to its size, and scores [N] float32, best
            first.
        """
        found = []
        for picture in pictures:
            boxes, scores = self._find(picture.read())
            found.append((boxes.numpy(), scores.numpy()))
        return found

    def find_people_in_graph(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the people of one image [H, W, 3] uint8; see `ExportableDetector.find_people_in_graph`."""
        settings = self.settings
        resized = self._resize(image, settings.input_size)
        outputs = self.network(settings.normalization(resized)[None], training=False)
        boxes = decode_boxes(outputs["distribution"], settings.input_size)[0]
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        # Not a quotient, which a graph turns into this product: without a graph it would round differently.
        zoom = size * (1 / np.array(settings.input_size, np.float32))
        boxes = boxes * tf.stack([zoom[1], zoom[0], zoom[1], zoom[0]])
        boxes, scores = suppress(boxes, outputs["scores"][0], settings)
        height, width = size[0], size[1]
        return tf.clip_by_value(boxes, 0.0, tf.stack([width, height, width, height])), scores


def suppress(boxes: tf.Tensor, scores: tf.Tensor, settings: PicodetSettings) -> tuple[tf.Tensor, tf.Tensor]:
    """Keeps the best boxes [A, 4] xyxy that do not overlap better ones, by scores [A]; best first."""
    is_kept = scores > settings.score_threshold
    boxes, scores = tf.boolean_mask(boxes, is_kept), tf.boolean_mask(scores, is_kept)
    scores, order = tf.math.top_k(scores, tf.minimum(tf.size(scores), settings.num_candidates))
    boxes = tf.gather(boxes, order)
    rows = tf.image.non_max_suppression(boxes, scores, settings.max_people, settings.iou_threshold)
    return tf.gather(boxes, rows), tf.gather(scores, rows)


def load_litert_picodet(
    workdir: str, network: pathlib.Path, score_threshold: float | None, iou_threshold: float | None
) -> PicodetDetector:
    """Loads the detector of a work folder whose network is in a LiteRT file; see `load_picodet_detector`."""
    settings = with_thresholds(read_picodet_settings(workdir), score_threshold, iou_threshold)
    return PicodetDetector(LitertNetwork(network), settings, str(network))


def load_picodet_detector(
    workdir: str | pathlib.Path,
    weights: str = "best",
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
) -> PicodetDetector:
    """Loads the detector of a work folder.

    Args:
        workdir: Work folder.
        weights: 'best' or 'last'.
        score_threshold: Only people with a higher score are kept; None stands for the network's own threshold.
        iou_threshold: A person is left out if the overlap of the box with a better one is larger; None stands for the
            network's own threshold.

    Raises:
        FileNotFoundError: The folder is not that of a PicoDet, or has no such weights.
        ValueError: Its description or its weights are damaged.
    """
    settings = with_thresholds(read_picodet_settings(workdir), score_threshold, iou_threshold)
    network = build_unfilled(settings.build_network)
    source = load_for_inference(network, pathlib.Path(workdir), weights)
    return PicodetDetector(simplify_network(network), settings, str(source))
