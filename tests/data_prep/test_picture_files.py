"""Checks of encoded pictures without decoding them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from source_folders import encoded_picture

from data_prep.pictures import picture_size, read_picture


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(1, 1), (20, 30), (333, 257)])
def test_size_of_the_header(extension, size):
    assert picture_size(encoded_picture(*size, extension), "a") == size


@pytest.mark.parametrize("parameters", [[cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]])
def test_progressive_and_restartable_jpegs_are_whole(parameters):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", image, parameters)[1].tobytes()
    assert picture_size(data, "a") == (40, 50)
    with pytest.raises(ValueError, match="truncated JPEG"):
        picture_size(data[:-2], "a")


@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_picture_that_is_cut_short_is_named(tmp_path, extension, keep):
    data = encoded_picture(60, 60, extension)
    path = tmp_path / f"cut{extension}"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=f"cut{extension}: truncated"):
        read_picture(path)


def test_an_end_marker_in_a_thumbnail_does_not_hide_that_the_picture_is_cut():
    data, thumbnail = encoded_picture(60, 60), encoded_picture(8, 8)
    segment = b"\xff\xe1" + (len(thumbnail) + 8).to_bytes(2, "big") + b"Exif\0\0" + thumbnail
    with_thumbnail = data[:2] + segment + data[2:]
    assert picture_size(with_thumbnail, "a") == (60, 60)
    with pytest.raises(ValueError, match="truncated JPEG"):
        picture_size(with_thumbnail[:-100], "a")


def test_bytes_after_the_end_marker_do_no_harm():
    assert picture_size(encoded_picture(6, 7) + b"\0" * 100, "a") == (6, 7)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="a.jpg: must be a JPEG or PNG image, got the first bytes 3c 68 74 6d"):
        read_picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="b.jpg: must be a JPEG or PNG image, got an empty file"):
        read_picture(tmp_path / "b.jpg")
    with pytest.raises(FileNotFoundError, match="c.jpg: image file not found"):
        read_picture(tmp_path / "c.jpg")


def test_a_size_other_than_that_of_the_annotations_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded_picture(20, 30, ".png"))
    assert read_picture(tmp_path / "a.png", (20, 30))[1] == (20, 30)
    assert read_picture(tmp_path / "a.png", (0, 0))[1] == (20, 30)
    with pytest.raises(ValueError, match="a.png: size must be 20x30 pixels as in the annotations, got 30x20"):
        read_picture(tmp_path / "a.png", (30, 20))
