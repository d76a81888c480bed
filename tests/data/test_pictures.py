import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfpose import crops, geometry
from tfpose.data import picture_tensors, pictures

SIZE = (200, 300)
CROP_SIZE = (64, 48)


def smooth_image(seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8), size[::-1])


def encode(image, extension=".jpg", *options):
    return cv2.imencode(extension, image[..., ::-1], list(options))[1].tobytes()


def matrices(*boxes, **settings):
    return np.asarray(crops.CropSettings(CROP_SIZE).matrices(np.array(boxes, float), **settings))


def cut(data, crop_from_image, size=SIZE, **settings):
    count = len(crop_from_image)
    sizes = np.tile(size, (count, 1))
    return pictures.cut_crops(lambda _: data, sizes, np.zeros(count, int), crop_from_image, CROP_SIZE, **settings)


def decode(data):
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("angle", [0.0, 40.0])
def test_windowed_crop_is_the_crop_of_the_whole_picture(extension, angle):
    data = encode(smooth_image(), extension)
    crop_from_image = matrices([100, 60, 160, 150], [20, 20, 60, 80], rotations_degrees=angle)
    for crop, matrix in zip(cut(data, crop_from_image), crop_from_image, strict=True):
        whole = geometry.warp_image(decode(data), matrix, CROP_SIZE)
        # The window's corner shifts the matrix, and with it the last bit of a coordinate.
        assert np.abs(crop.astype(int) - whole).max() <= 1
        assert whole.std() > 5


@pytest.mark.parametrize("box", [[-50, -60, 40, 30], [280, 150, 400, 300], [-100, -100, 400, 300]])
def test_outside_of_the_picture_is_black(box):
    data = encode(np.full((*SIZE, 3), 255, np.uint8), ".png")
    crop_from_image = matrices(box)
    whole = geometry.warp_image(decode(data), crop_from_image[0], CROP_SIZE)
    crop = cut(data, crop_from_image, reduces_images=False)[0]
    assert np.abs(crop.astype(int) - whole).max() <= 1
    assert (crop == 0).any() and (crop == 255).any()


def test_box_outside_of_the_picture_gives_a_black_crop():
    assert not cut(encode(smooth_image()), matrices([1000, 1000, 1100, 1200])).any()


def test_shrinking_crop_comes_from_a_reduced_picture_without_aliasing():
    """A fine grating is gray from afar: decoding at 1/8 averages it, a bilinear warp alone would not."""
    grating = np.zeros((512, 384, 3), np.uint8)
    grating[:, ::2] = 255
    data = encode(grating, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)
    crop_from_image = matrices([0, 0, 384, 512])
    reduced = cut(data, crop_from_image, (512, 384))[0]
    aliased = geometry.warp_image(decode(data), crop_from_image[0], CROP_SIZE)
    inner = (slice(4, -4), slice(4, -4))
    assert reduced[inner].std() < 5
    assert abs(reduced[inner].mean() - 127.5) < 5
    assert abs(aliased[inner].mean() - 127.5) > 100


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_crop_shows_the_same_place(reduction):
    """A bright disc keeps its center of gravity at every decoding scale."""
    image = np.zeros((512, 384, 3), np.uint8)
    center = (201, 263)
    cv2.circle(image, center, 15 * reduction, (255, 255, 255), -1)
    half = np.array([48, 64]) * reduction / 2
    crop_from_image = matrices([*(center - half), *(center + half)])
    assert np.asarray(crops.decode_reduction(crop_from_image)).tolist() == [reduction]
    weights = cut(encode(image), crop_from_image, (512, 384))[0].astype(float).sum(axis=-1)
    y, x = (np.sum(weights * grid) / weights.sum() for grid in np.mgrid[:64, :48])
    expected = geometry.transform_points(crop_from_image, np.array([[center]], float))[0, 0]
    np.testing.assert_allclose([x, y], expected, atol=0.1)


@pytest.mark.parametrize("side", [390, 900, 2000])
def test_crops_of_a_png_are_those_of_its_frame(side):
    """Training, evaluation and SavedModels see the file, prediction the frame; both are reduced for large people."""
    rng = np.random.default_rng(side)
    image = cv2.resize(rng.integers(0, 256, (299, 401, 3), np.uint8), (801, 597))
    data, crop_from_image = encode(image, ".png"), matrices([200, 100, 200 + side, 100 + side], [-99, -50, side, side])
    of_frame = picture_tensors.cut_crops_from_frame(tf.constant(image), tf.constant(crop_from_image), CROP_SIZE)
    of_file = picture_tensors.cut_crops_tensor(tf.constant(data), tf.constant(crop_from_image), CROP_SIZE)
    np.testing.assert_array_equal(of_file, of_frame)
    of_training = cut(data, crop_from_image, image.shape[:2])
    assert np.abs(of_training.astype(int) - of_frame.numpy()).max() <= 1


def test_grayscale_and_palette_pictures_become_rgb():
    gray = smooth_image()[..., 0]
    for extension in (".jpg", ".png"):
        data = cv2.imencode(extension, gray)[1].tobytes()
        crop = cut(data, matrices([100, 60, 160, 150]))[0]
        assert (crop[..., 0] == crop[..., 1]).all() and crop.std() > 5


def test_cmyk_jpeg_becomes_rgb(golden_dir):
    """tests/golden/cmyk.jpg: red left, blue right, written by Pillow in CMYK."""
    data = (golden_dir / "cmyk.jpg").read_bytes()
    image = pictures.decode_window(data, (0, 0, 16, 32))
    assert image[8, 4].tolist() == pytest.approx([255, 0, 0], abs=12)
    assert image[8, 28].tolist() == pytest.approx([0, 0, 255], abs=12)


def test_box_of_one_pixel_shows_that_pixel():
    image = smooth_image()
    data = encode(image, ".png")
    crop = cut(data, matrices([150, 100, 151, 101]))[0]
    expected = image[100:102, 150:152].reshape(-1, 3)
    assert (crop >= expected.min(axis=0) - 1).all() and (crop <= expected.max(axis=0) + 1).all()


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "smaller"])
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_picture_that_cannot_be_decoded_is_named(damage, extension):
    data = encode(smooth_image(), extension)
    data = {
        "cut": data[: len(data) // 2],
        "garbage": b"no picture at all",
        "empty": b"",
        "smaller": encode(smooth_image(size=(20, 30)), extension),
    }[damage]
    with pytest.raises(ValueError, match="photo.jpg: cannot decode the picture"):
        pictures.cut_crops(
            lambda _: data,
            np.array([SIZE]),
            np.zeros(1, int),
            matrices([100, 60, 260, 190]),
            CROP_SIZE,
            describe=lambda _: "photo.jpg",
        )
