"""The adapter for KerasHub's detectors, around an object with their interface."""

from __future__ import annotations

import importlib.util
import types

import numpy as np
import pytest

from tfpose.inference.detectors.detector import Picture
from tfpose.inference.detectors.keras_hub import KerasHubDetector, fit_image, load_keras_hub_detector

INPUT = (64, 96)
PERSON, OTHER = 0, 5


class FakeDetector:
    """Finds the bright rectangle of its input, twice as different classes, padded as KerasHub does."""

    def __init__(self, num_classes=80, pads=False, bounding_box_format="yxyx"):
        self.num_classes, self.bounding_box_format = num_classes, bounding_box_format
        converter = types.SimpleNamespace(image_size=INPUT, pad_to_aspect_ratio=pads)
        self.preprocessor = types.SimpleNamespace(image_converter=converter)
        self.prediction_decoder = types.SimpleNamespace(confidence_threshold=0.5, iou_threshold=0.5)
        self.person = 1 if num_classes == 91 else PERSON
        self.shapes = []

    def predict(self, images, verbose):
        self.shapes.append(images.shape)
        assert verbose == 0
        found = [self.find(image) for image in images]
        return {name: np.stack([values[name] for values in found]) for name in found[0]}

    def find(self, image):
        rows, columns = (np.flatnonzero((image[..., 0] > 127).any(axis=axis)) for axis in (1, 0))
        empty = np.full((4, 4), -1.0, np.float32)
        if not len(rows):
            return {"boxes": empty, "confidence": empty[:, 0], "labels": empty[:, 0], "num_detections": 0}
        boxes, scores, labels = empty.copy(), empty[:, 0].copy(), np.full(4, -1)
        boxes[:3] = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        # Beyond the border, as detectors may.
        boxes[2] += [-50, -50, 50, 50]
        scores[:3], labels[:3] = [0.3, 0.9, 0.7], [self.person, OTHER, self.person]
        # What lies behind the last one is not to be read.
        labels[3] = self.person
        return {"boxes": boxes, "confidence": scores, "labels": labels, "num_detections": 3}


def find(detector, images):
    return detector.find_people([Picture(lambda image=image: image) for image in images])


def picture(size, box):
    image = np.zeros((*size, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize(("size", "box"), [((128, 192), (40, 20, 100, 60)), ((300, 200), (20, 60, 120, 240))])
def test_boxes_are_in_pixels_of_the_picture(size, box, pads):
    detector = FakeDetector(pads=pads)
    (boxes, scores), *rest = find(KerasHubDetector(detector), [picture(size, box)])
    assert not rest and detector.shapes == [(1, *INPUT, 3)]
    np.testing.assert_allclose(scores, [0.7, 0.3])
    assert boxes.dtype == scores.dtype == np.float32
    # A pixel of the input is up to five of the picture.
    np.testing.assert_allclose(boxes[1], box, atol=6)
    assert (boxes >= 0).all() and (boxes <= [*size[::-1], *size[::-1]]).all()


def test_torchvision_classes_and_pictures_without_people():
    detector = KerasHubDetector(FakeDetector(num_classes=91), batch_size=2)
    found = find(
        detector, [picture((64, 96), (8, 8, 40, 60)), np.zeros((50, 70, 3), np.uint8), picture((9, 9), (2, 2, 8, 8))]
    )
    assert [len(scores) for _, scores in found] == [2, 0, 2]
    assert found[1][0].shape == (0, 4)
    np.testing.assert_array_equal(found[0][0][1], [8, 8, 40, 60])
    assert detector.detector.shapes == [(2, *INPUT, 3), (1, *INPUT, 3)]


def test_thresholds_reach_the_decoder():
    fake = FakeDetector()
    KerasHubDetector(fake)
    assert vars(fake.prediction_decoder) == {"confidence_threshold": 0.05, "iou_threshold": 0.5}
    KerasHubDetector(fake, score_threshold=0.2, iou_threshold=0.6)
    assert vars(fake.prediction_decoder) == {"confidence_threshold": 0.2, "iou_threshold": 0.6}


def test_a_lit_pixel_stays_where_the_scales_say():
    image = picture((60, 40), (30, 45, 32, 47))
    for keeps_aspect, size in ((False, INPUT), (True, (64, 43))):
        fitted, scale = fit_image(image, INPUT, keeps_aspect)
        assert fitted.shape == (*INPUT, 3)
        np.testing.assert_allclose(scale, [size[1] / 40, size[0] / 60])
        rows, columns = np.nonzero(fitted[..., 0])
        weights = fitted[rows, columns, 0]
        center = np.average(columns, weights=weights) + 0.5, np.average(rows, weights=weights) + 0.5
        np.testing.assert_allclose(center, scale * [31, 46], atol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 366}, "num_classes must be 80 or 91, got 366"),
        ({"bounding_box_format": "xyxy"}, "bounding_box_format must be yxyx, got xyxy"),
    ],
)
def test_other_detectors_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        KerasHubDetector(FakeDetector(**changes))


def test_a_missing_package_is_named():
    if importlib.util.find_spec("keras_hub"):
        pytest.skip("keras_hub is installed here")
    with pytest.raises(ValueError, match=r"requires the package keras-hub; run pip install 'tfpose\[keras_hub\]'"):
        load_keras_hub_detector("dfine_medium_coco")


def test_a_missing_preset_is_named(tmp_path):
    pytest.importorskip("keras_hub", reason="needs the extra tfpose[keras_hub]")
    with pytest.raises(ValueError, match="keras_hub:.*none: cannot be loaded"):
        load_keras_hub_detector(str(tmp_path / "none"))
