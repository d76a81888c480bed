"""Pictures as records hold them: whole, upright and of 8 bits."""

from __future__ import annotations

import pathlib

import cv2
import numpy as np
import pytest
from picture_cases import png_of_size, with_exif, with_jpeg_segment
from source_folders import encoded_picture

from data_prep.pictures import SourcePicture, read_picture


def read_bytes(folder: pathlib.Path, data: bytes, size: tuple[int, int] = (0, 0)) -> SourcePicture:
    path = folder / "a.jpg"
    path.write_bytes(data)
    return read_picture(path, size)


def shown(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(1, 1), (20, 30), (333, 257)])
def test_a_plain_picture_is_copied(tmp_path, extension, size):
    data = encoded_picture(*size, extension)
    assert read_bytes(tmp_path, data) == SourcePicture(data, size)


@pytest.mark.parametrize("parameters", [[cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]])
def test_progressive_and_restartable_jpegs_are_whole(tmp_path, parameters):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", image, parameters)[1].tobytes()
    assert read_bytes(tmp_path, data) == SourcePicture(data, (40, 50))
    with pytest.raises(ValueError, match="truncated JPEG"):
        read_bytes(tmp_path, data[:-2])


@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_picture_that_is_cut_short_is_named(tmp_path, extension, keep):
    data = encoded_picture(60, 60, extension)
    path = tmp_path / f"cut{extension}"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=f"cut{extension}: truncated"):
        read_picture(path)


def test_an_end_marker_in_a_thumbnail_does_not_hide_that_the_picture_is_cut(tmp_path):
    with_thumbnail = with_jpeg_segment(encoded_picture(60, 60), 0xE1, b"Exif\0\0" + encoded_picture(8, 8))
    assert read_bytes(tmp_path, with_thumbnail).size == (60, 60)
    with pytest.raises(ValueError, match="truncated JPEG"):
        read_bytes(tmp_path, with_thumbnail[:-100])


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_bytes_after_the_end_do_no_harm(tmp_path, extension):
    data = encoded_picture(6, 7, extension) + b"\0" * 100
    assert read_bytes(tmp_path, data) == SourcePicture(data, (6, 7))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_picture_with_foreign_bytes_in_its_middle_is_told(tmp_path, extension):
    data = bytearray(encoded_picture(90, 90, extension))
    data[len(data) // 2 : len(data) // 2 + 2] = b"\xff\x17"
    assert read_bytes(tmp_path, bytes(data)).notes == ("images with damaged pixels",)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="a.jpg: must be a JPEG or PNG image, got the first bytes 3c 68 74 6d"):
        read_picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="b.jpg: must be a JPEG or PNG image, got an empty file"):
        read_picture(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ValueError, match="b.jpg: must be a JPEG or PNG image, got a HEIC image"):
        read_picture(tmp_path / "b.jpg")
    with pytest.raises(FileNotFoundError, match="c.jpg: image file not found"):
        read_picture(tmp_path / "c.jpg")


def test_a_size_other_than_that_of_the_annotations_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded_picture(20, 30, ".png"))
    assert read_picture(tmp_path / "a.png", (20, 30)).size == (20, 30)
    assert read_picture(tmp_path / "a.png", (0, 0)).size == (20, 30)
    with pytest.raises(ValueError, match="a.png: size must be 20x30 pixels as in the annotations, got 30x20"):
        read_picture(tmp_path / "a.png", (30, 20))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(0, 0), (30, 20)])
def test_pixels_are_turned_as_a_viewer_shows_them(tmp_path, extension, size):
    # Smooth, as a second JPEG encoding is exact to a few gray levels then.
    image = np.tile(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (20, 1, 3))
    data = with_exif(cv2.imencode(extension, image)[1].tobytes(), 6)
    picture = read_bytes(tmp_path, data, size)
    assert picture.size == (30, 20)
    assert picture.notes == ("images turned upright by their EXIF orientation, as annotation tools show them",)
    np.testing.assert_allclose(shown(picture.data).astype(int), np.rot90(image, -1), atol=2 * (extension == ".jpg"))
    # Nothing is left that could turn the pixels again.
    assert read_bytes(tmp_path, picture.data) == SourcePicture(picture.data, (30, 20))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_sizes_of_the_stored_pixels_keep_the_stored_pixels(tmp_path, extension):
    data = encoded_picture(20, 30, extension)
    picture = read_bytes(tmp_path, with_exif(data, 6), (20, 30))
    assert (picture.data, picture.size) == (data, (20, 30))
    assert len(picture.notes) == 1


def test_a_wrong_size_names_both_sizes_of_a_turned_picture(tmp_path):
    rule = "must be 9x8 pixels as in the annotations, got 30x20, or 20x30 by its EXIF orientation 6$"
    with pytest.raises(ValueError, match=rule):
        read_bytes(tmp_path, with_exif(encoded_picture(20, 30), 6), (8, 9))


def test_transparency_survives_turning(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 4), np.uint8)
    picture = read_bytes(tmp_path, with_exif(cv2.imencode(".png", image)[1].tobytes(), 3))
    np.testing.assert_array_equal(shown(picture.data), image[::-1, ::-1])


def test_12_bits_in_16_are_not_black(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint16)
    image[0, 0] = 255
    picture = read_bytes(tmp_path, cv2.imencode(".png", image << 4)[1].tobytes())
    np.testing.assert_array_equal(shown(picture.data), image)
    assert picture.notes == ("images of 16 bits for each color that use only 12 bits, converted to 8 bits",)
    whole = cv2.imencode(".png", image << 8)[1].tobytes()
    assert read_bytes(tmp_path, whole) == SourcePicture(whole, (4, 6))


def test_pixels_that_are_not_square_are_said(tmp_path):
    data = encoded_picture(6, 7)
    picture = read_bytes(tmp_path, data[:14] + b"\0\1\0\2" + data[18:])
    assert picture.notes == ("images whose header says that pixels are not square, which tfpose takes as square",)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    with pytest.raises(ValueError, match="a.jpg: size must be at most 100 megapixels, got 65500x65500"):
        read_bytes(tmp_path, png_of_size(65500, 65500))
