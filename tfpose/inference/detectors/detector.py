"""The interface of every person detector: pictures in, boxes and scores out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

import keras
import numpy as np
import tensorflow as tf

# Boxes [N, 4] xyxy in pixels of one picture and scores [N].
BoxesAndScores = tuple[np.ndarray, np.ndarray]
Settings = TypeVar("Settings")
_THRESHOLD_FLAGS = {"score_threshold": "--box_score_threshold", "iou_threshold": "--box_nms"}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture in which people are looked for.

    Attributes:
        read: Returns the picture as [H, W, 3] uint8 RGB. It decodes the picture at each call, so a detector calls it
            once, and a detector that knows its boxes already does not call it at all.
        image_id: Number that the annotations give to the picture.
    """

    read: Callable[[], np.ndarray]
    image_id: int = -1


class Detector(Protocol):
    """Finds people in pictures."""

    @property
    def source(self) -> str:
        """The name of the weights or boxes, for reports. A plain attribute is enough."""

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Finds the people of each picture.

        Args:
            pictures: Pictures of any sizes. The detector goes through them once and in order, and decides how many it
                holds in memory.

        Returns:
            For each picture boxes [N, 4] xyxy in its pixels and scores [N].

        Raises:
            ValueError: A picture cannot be read or does not suit the detector.
        """


class ExportableDetector(Detector, Protocol):
    """A detector that can be part of a SavedModel."""

    @property
    def network(self) -> keras.Model:
        """The network whose variables the SavedModel holds. A plain attribute is enough."""

    @property
    def bare_networks(self) -> Mapping[str, keras.Model]:
        """The networks that `tfpose export --convert` writes beside the keypoint network, by the names of their files.

        Each has a dict of outputs; empty where no other runtime can run the network. A plain attribute is enough.
        """

    def find_people_in_graph(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the people of one image by TensorFlow operations alone.

        Args:
            image: [H, W, 3] uint8 RGB, of any size.

        Returns:
            Boxes [N, 4] float32 xyxy in pixels of the image and scores [N] float32, as `find_people` gives them.
        """


def with_thresholds(settings: Settings, score_threshold: float | None, iou_threshold: float | None) -> Settings:
    """Returns settings of detections with other thresholds, where they are not None.

    Args:
        settings: Dataclass with the fields `score_threshold` and `iou_threshold`.
        score_threshold: Score that a person must exceed.
        iou_threshold: Overlap with a better box above which a box is left out.

    Raises:
        ValueError: The detector cannot have such a threshold; the message names the flag.
    """
    given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return dataclasses.replace(cast(Any, settings), **changes)
    except ValueError as error:
        name, rule = str(error).split(" ", 1)
        raise ValueError(f"{_THRESHOLD_FLAGS.get(name, name)} {rule}") from error
