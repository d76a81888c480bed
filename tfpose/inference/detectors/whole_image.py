"""The whole image as the box of one person: for pictures that are cut out around a person already."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from tfpose.inference.detectors.detector import BoxesAndScores, Picture

WHOLE_IMAGE = "whole_image"


class WholeImageDetector:
    """Finds one person in each picture, with a score of 1; implements `ExportableDetector`."""

    def __init__(self) -> None:
        self.source = "the whole image"
        nothing = keras.Input((1,))
        self.network = keras.Model(nothing, nothing, name=WHOLE_IMAGE)
        self.bare_networks: dict[str, keras.Model] = {}

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Returns the box of each picture [1, 4] float32 xyxy and its score [1]."""
        sizes = (picture.read().shape for picture in pictures)
        return [(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)) for height, width, _ in sizes]

    def find_people_in_graph(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the box of one image [H, W, 3]; see `ExportableDetector.find_people_in_graph`."""
        size = tf.cast(tf.shape(image), tf.float32)
        return tf.stack([[0.0, 0.0, size[1], size[0]]]), tf.ones(1)
