"""KerasHub's object detectors (D-FINE, RetinaNet), an optional extra: pip install 'tfpose[keras_hub]'.

Written for KerasHub 0.32: `predict` returns `boxes` (yxyx, in pixels of the network's input), `labels`, `confidence`
and `num_detections`, padded, after a suppression over all classes together.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from tfpose import boxes as box_math
from tfpose.inference.detectors.detector import BoxesAndScores, Picture

PRESET_PREFIX = "keras_hub:"
# The label of a person by the number of classes: COCO's 80 from 0, and torchvision's list with a background and gaps.
PERSON_LABELS = {80: 0, 91: 1}
# KerasHub's own threshold, 0.5, drops boxes that are still useful when they are weighted by their score.
SCORE_THRESHOLD = 0.05
_BOX_FORMAT = "yxyx"


class KerasHubDetector:
    """Finds the boxes of people with an object detector of KerasHub; implements `Detector`.

    Args:
        detector: A `keras_hub.models.ObjectDetector` with its preprocessor. Its thresholds are changed.
        score_threshold: Only people with a higher score are kept.
        iou_threshold: A box is left out if its overlap with a better box of any class is larger; None stands for the
            detector's own threshold.
        batch_size: Number of images that go through the network at once.
        source: Name of the weights, for reports.

    Raises:
        ValueError: The detector's classes, boxes or preprocessor are unknown here.
    """

    def __init__(
        self,
        detector: Any,
        score_threshold: float = SCORE_THRESHOLD,
        iou_threshold: float | None = None,
        batch_size: int = 1,
        source: str = "KerasHub",
    ) -> None:
        if detector.num_classes not in PERSON_LABELS:
            raise ValueError(f"{source}: num_classes must be {_known_classes()}, got {detector.num_classes}")
        if detector.bounding_box_format != _BOX_FORMAT:
            raise ValueError(f"{source}: bounding_box_format must be {_BOX_FORMAT}, got {detector.bounding_box_format}")
        converter = getattr(detector.preprocessor, "image_converter", None)
        if converter is None or converter.image_size is None:
            raise ValueError(f"{source}: preprocessor must have an image size, got none")
        self.detector = detector
        self.input_size: tuple[int, int] = tuple(converter.image_size)
        self.keeps_aspect = bool(converter.pad_to_aspect_ratio)
        self.person_label = PERSON_LABELS[detector.num_classes]
        self.batch_size = batch_size
        self.source = source
        detector.prediction_decoder.confidence_threshold = score_threshold
        if iou_threshold is not None:
            detector.prediction_decoder.iou_threshold = iou_threshold

    def find_people(self, pictures: Iterable[Picture]) -> list[BoxesAndScores]:
        """Finds the people of each picture.

        Returns:
            For each picture boxes [N, 4] float32 xyxy in its pixels, clipped to its size, and scores [N] float32, best
            first.
        """
        found: list[BoxesAndScores] = []
        images = (picture.read() for picture in pictures)
        while batch := list(itertools.islice(images, self.batch_size)):
            fitted = [fit_image(image, self.input_size, self.keeps_aspect) for image in batch]
            predicted = self.detector.predict(np.stack([image for image, _ in fitted]), verbose=0)
            for row, (image, (_, scale)) in enumerate(zip(batch, fitted, strict=True)):
                of_image = {name: np.asarray(values[row]) for name, values in predicted.items()}
                found.append(self._select_people(of_image, scale, image.shape[:2]))
        return found

    def _select_people(
        self, predicted: dict[str, np.ndarray], scale: np.ndarray, size: tuple[int, int]
    ) -> BoxesAndScores:
        count = int(predicted["num_detections"])
        is_person = predicted["labels"][:count] == self.person_label
        scores = predicted["confidence"][:count][is_person].astype(np.float32)
        boxes_yxyx = predicted["boxes"][:count][is_person]
        boxes = box_math.clip(boxes_yxyx[:, [1, 0, 3, 2]] / np.tile(scale, 2), size).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        order = order[box_math.areas(boxes[order]) > 0]
        return boxes[order], scores[order]


def fit_image(image: np.ndarray, size: tuple[int, int], keeps_aspect: bool) -> tuple[np.ndarray, np.ndarray]:
    """Resizes an image to the input of a network, whose boxes the returned scales map back.

    KerasHub's preprocessor would resize it too, but does not return the scales.

    Args:
        image: [H, W, 3] uint8.
        size: Size (height, width) of the result.
        keeps_aspect: Pad with zeros to the right or below instead of stretching.

    Returns:
        [height, width, 3] uint8, and the scales [2] (x, y) from the image to the result.
    """
    old, new = np.array(image.shape[:2]), np.array(size)
    if keeps_aspect:
        new = np.maximum(np.rint(old * (new / old).min()), 1).astype(int)
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[: new[0], : new[1]] = cv2.resize(image, (int(new[1]), int(new[0])), interpolation=cv2.INTER_LINEAR)
    return fitted, (new / old)[::-1]


def load_keras_hub_detector(
    preset: str, score_threshold: float | None = None, iou_threshold: float | None = None
) -> KerasHubDetector:
    """Loads the detector of a preset: one of KerasHub's names, such as 'dfine_medium_coco', or a folder.

    Raises:
        ValueError: KerasHub is not installed, the preset does not exist, or its classes, boxes or preprocessor are
            unknown here.
    """
    models = _import_models()
    source = f"{PRESET_PREFIX}{preset}"
    try:
        detector = models.ObjectDetector.from_preset(preset)
    except (ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{source}: cannot be loaded: {reason}") from error
    threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
    return KerasHubDetector(detector, threshold, iou_threshold, source=source)


def _import_models() -> Any:
    try:
        return importlib.import_module("keras_hub").models
    except ImportError as error:
        raise ValueError(
            f"--detector=keras_hub:... requires the package keras-hub; run pip install 'tfpose[keras_hub]' ({error})"
        ) from error


def _known_classes() -> str:
    return " or ".join(map(str, PERSON_LABELS))
