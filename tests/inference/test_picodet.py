"""PicoDet against the outputs of its publisher's code: scores, boxes, detections, and what mistakes would cost."""

from __future__ import annotations

import gzip
import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from formula_weights import make_array, paddle_name
from network_mistakes import BilinearUpSampling2D, pad_like_keras, take_keras_epsilon

from tfpose.importing.conversion import convert_checkpoint
from tfpose.importing.import_settings import ImportSettings
from tfpose.inference.detectors import load_exportable_detector
from tfpose.inference.detectors.cubic_resizing import resize_by_opencv, resize_like_opencv
from tfpose.inference.detectors.detector import Picture, with_thresholds
from tfpose.inference.detectors.picodet import PicodetDetector, suppress
from tfpose.inference.picodet_system import PicodetSettings, read_picodet_settings
from tfpose.models import picodet
from tfpose.pretrained.picodet import PICODET_NAMES
from tfpose.pretrained.published_names import load_published_arrays

# Of the standard deviation of scores and of the logits of distances; float32 against float64 is at most 2e-5.
TOLERANCE = 1e-4
PIXELS = 0.01
SIZE = (64, 64)
KINDS = ("noise", "smooth")


@pytest.fixture(scope="module")
def golden(golden_dir) -> dict:
    folder = golden_dir / "published_networks"
    description = json.loads(gzip.decompress((folder / "picodet_mini.json.gz").read_bytes()))
    gains = description["gains"]
    arrays = {
        paddle_name(name): make_array(name, tuple(shape), gains=gains) for name, shape in description["shapes"].items()
    }
    arrays |= {name: np.array(values, np.float32) for name, values in description["constants"].items()}
    arrays |= {name: arrays[paddle_name(source)] for name, source in description["aliases"].items()}
    inputs = np.load(folder / "tinypose_mini_inputs.npz")
    images = {kind: inputs[kind].transpose(0, 2, 3, 1) for kind in KINDS}
    return {"arrays": arrays, "images": images, **np.load(folder / "picodet_mini.npz")}


def build(golden, **changes):
    network = picodet.build_picodet(width=16, scale=0.25, input_size=SIZE, **changes)
    load_published_arrays(network, golden["arrays"], PICODET_NAMES)
    return network


def largest_deviation(golden) -> float:
    network = build(golden)
    deviations = []
    for kind in KINDS:
        outputs = network(golden["images"][kind], training=False)
        for name in ("scores", "distribution"):
            expected = golden[f"{kind}_{name}"]
            deviations.append(np.abs(np.asarray(outputs[name])[0] - expected).max() / expected.std())
    return max(deviations)


def test_scores_and_distributions_are_those_of_the_publisher(golden):
    assert largest_deviation(golden) < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_and_detections_are_those_of_the_publisher(kind, golden):
    outputs = build(golden)(golden["images"][kind], training=False)
    boxes = picodet.decode_boxes(outputs["distribution"], SIZE)[0]
    np.testing.assert_allclose(boxes, golden[f"{kind}_boxes"], atol=PIXELS)
    found, scores = suppress(boxes, outputs["scores"][0], PicodetSettings(SIZE))
    expected = golden[f"{kind}_detections"]
    assert len(found) == len(expected)
    for box, score in zip(found.numpy(), scores.numpy(), strict=True):
        nearest = np.abs(expected[:, 2:] - box).max(axis=1).argmin()
        assert np.abs(expected[nearest, 2:] - box).max() < PIXELS
        assert abs(expected[nearest, 1] - score) < TOLERANCE


class Swapped(keras.layers.Concatenate):
    """Joins channels the other way round."""

    def call(self, inputs):
        return super().call(inputs[::-1] if self.axis == -1 else inputs)


@pytest.mark.parametrize("mistake", ["bilinear", "swapped", "padding", "epsilon", "swish"])
def test_mistakes_are_seen(mistake, golden, monkeypatch):
    if mistake == "bilinear":
        monkeypatch.setattr(picodet.layers, "UpSampling2D", BilinearUpSampling2D)
    elif mistake == "swapped":
        monkeypatch.setattr(picodet.layers, "Concatenate", Swapped)
    elif mistake == "padding":
        pad_like_keras(monkeypatch)
    elif mistake == "swish":
        monkeypatch.setattr(picodet, "_activate", lambda x, policy, name: keras.layers.Activation("silu", name=name)(x))
    else:
        take_keras_epsilon(monkeypatch)
    assert largest_deviation(golden) > 10 * TOLERANCE


@pytest.mark.parametrize("size", [(50, 70), (64, 64), (200, 130)])
def test_images_are_stretched_like_opencv_does(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    expected = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    difference = np.abs(resize_like_opencv(tf.constant(image), SIZE).numpy() - expected)
    assert difference.max() <= 1


def test_boxes_are_in_pixels_of_the_image_and_inside(golden):
    detector = PicodetDetector(build(golden), PicodetSettings(SIZE, 16, 0.25, score_threshold=0.0))
    image = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    ((boxes, scores),) = detector.find_people([Picture(lambda: image)])
    assert len(boxes) and (np.diff(scores) <= 0).all()
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 150 and boxes[:, 3].max() <= 90
    assert boxes[:, 2].max() > SIZE[1]


def test_real_weights_are_imported_and_loaded_by_their_work_folder(shared_dir, tmp_path):
    path = shared_dir / "data" / "weights" / "picodet_s_192_pedestrian.pdparams"
    if not path.is_file():
        pytest.skip("needs ../shared/data/weights, which is absent")
    convert_checkpoint(path, tmp_path / "picodet.weights.h5", ImportSettings())
    assert read_picodet_settings(tmp_path / "picodet").input_size == (192, 192)
    detector = load_exportable_detector(str(tmp_path / "picodet"), score_threshold=0.5)
    photo = cv2.imread(str(sorted((shared_dir / "data" / "lspet").rglob("*.jpg"))[0]))[..., ::-1]
    ((boxes, scores),) = detector.find_people([Picture(lambda: photo)])
    assert len(boxes) >= 1 and scores[0] > 0.5


def test_an_image_is_resized_alike_in_every_graph():
    """Half of the size makes many values that lie halfway between two integers."""
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8))

    def resize(picture):
        return resize_like_opencv(picture, (320, 320))

    expected = resize(image).numpy()
    in_graph = tf.function(resize, [tf.TensorSpec((None, None, 3), tf.uint8)])
    in_loop = tf.function(lambda images: tf.map_fn(resize, images, tf.float32), [tf.TensorSpec(None, tf.uint8)])
    np.testing.assert_array_equal(in_graph(image), expected)
    np.testing.assert_array_equal(in_loop(image[None])[0], expected)


@pytest.mark.parametrize("size", [(90, 160), (64, 64), (96, 128), (31, 200), (640, 640), (1, 1)])
def test_opencv_gives_exactly_the_values_of_the_graph(size):
    """Also where many values lie halfway between two integers: at a size that is divisible by that of the result."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    checked = np.repeat(np.indices(size).sum(axis=0)[..., None] % 2 * 255, 3, axis=2).astype(np.uint8)
    for image in (noise, cv2.blur(noise, (5, 5)).reshape(noise.shape), checked):
        for new_size in ((32, 32), (48, 80), (64, 64)):
            expected = resize_like_opencv(tf.constant(image), new_size).numpy()
            np.testing.assert_array_equal(resize_by_opencv(tf.constant(image), new_size), expected)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ((1.0, None), r"--box_score_threshold must lie in \[0, 1\), got 1.0"),
        ((None, 0.0), r"--box_nms must lie in \(0, 1\], got 0.0"),
    ],
)
def test_thresholds_at_their_ends_are_named_as_flags(thresholds, message):
    with pytest.raises(ValueError, match=message):
        with_thresholds(PicodetSettings((320, 320)), *thresholds)
