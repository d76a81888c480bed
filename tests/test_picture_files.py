"""Headers of picture files, their limit of size, and upright pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from picture_cases import png_of_size, tiff, with_exif, with_jpeg_segment, with_png_chunk

from tfpose.picture_files import (
    decode_upright,
    picture_kind,
    read_header,
    to_8_bits,
    turn_upright,
    without_exif,
    write_picture,
)

# Where the top left and the top right corner of the upright picture are stored, by EXIF orientation.
STORED_CORNERS = {
    1: ((0, 0), (0, -1)),
    2: ((0, -1), (0, 0)),
    3: ((-1, -1), (-1, 0)),
    4: ((-1, 0), (-1, -1)),
    5: ((0, 0), (-1, 0)),
    6: ((-1, 0), (0, 0)),
    7: ((-1, -1), (0, -1)),
    8: ((0, -1), (-1, -1)),
}


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    return cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8), (width, height))


def encoded(extension: str, image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(extension, image[..., ::-1], list(options))[1].tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_corners_of_the_upright_picture(orientation):
    stored = np.arange(6).reshape(2, 3)
    upright = turn_upright(stored, orientation)
    top_left, top_right = STORED_CORNERS[orientation]
    assert (upright[0, 0], upright[0, -1]) == (stored[top_left], stored[top_right])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_pixels_are_those_that_a_viewer_shows(extension, order):
    stored = encoded(extension, picture())
    turned = with_exif(stored, 6, order)
    header = read_header(turned, "a")
    assert (header.stored_size, header.upright_size, header.orientation) == ((20, 30), (30, 20), 6)
    np.testing.assert_array_equal(decode_upright(turned, "a"), np.rot90(decode_upright(stored, "a"), -1))
    # OpenCV applies the orientation too.
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(turned, np.uint8), 1)[..., ::-1], decode_upright(turned, "a")
    )
    assert without_exif(turned) == stored


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_of_tiff_files_are_turned_once(orientation, order):
    stored = picture()
    data = tiff(stored, orientation, order)
    assert read_header(data, "a").orientation == orientation
    np.testing.assert_array_equal(decode_upright(data, "a"), turn_upright(stored, orientation))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation):
    assert read_header(with_exif(encoded(".jpg", picture()), orientation), "a").orientation == 1


def test_damaged_exif_is_no_exif():
    data = encoded(".jpg", picture())
    whole = with_exif(data, 6)
    exif = whole[12 : len(whole) - len(data) + 2]
    for length in range(len(exif)):
        cut = with_jpeg_segment(data, 0xE1, b"Exif\0\0" + exif[:length])
        assert read_header(cut, "a").stored_size == (20, 30)


@pytest.mark.parametrize(
    ("extension", "kind"),
    [(".jpg", "JPEG"), (".png", "PNG"), (".bmp", "BMP"), (".gif", "GIF"), (".webp", "WebP"), (".tif", "TIFF")]
    + [(".ppm", "PNM"), (".pgm", "PNM")],
)
def test_size_of_each_kind(extension, kind):
    image = picture()[..., 0] if extension == ".pgm" else picture()[..., ::-1]
    data = cv2.imencode(extension, image)[1].tobytes()
    header = read_header(data, "a")
    assert (header.kind, header.stored_size) == (kind, (20, 30))
    for length in range(6):
        with pytest.raises(ValueError, match=r"^a: (must be a picture|damaged)"):
            read_header(data[:length], "a")


def test_size_of_lossless_webp():
    assert read_header(encoded(".webp", picture(), cv2.IMWRITE_WEBP_QUALITY, 101), "a").stored_size == (20, 30)


def test_what_is_no_picture_is_named():
    with pytest.raises(ValueError, match="^a: must be a picture, got the first bytes 3c 68 74 6d$"):
        read_header(b"<html>", "a")
    with pytest.raises(ValueError, match="^a: must be a picture, got an empty file$"):
        read_header(b"", "a")
    with pytest.raises(ValueError, match="^a: must be a picture, got a HEIC file$"):
        read_header(b"\0\0\0\x18ftypheic", "a")
    assert picture_kind(b"%PDF-1.4") is None


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    bomb = png_of_size(65500, 65500)
    rule = r"^a: size must be at most 100 megapixels, got 65500x65500 pixels \(4290 megapixels\); TFPOSE_MAX_MEGAPIXELS"
    with pytest.raises(ValueError, match=rule):
        decode_upright(bomb, "a")
    monkeypatch.setenv("TFPOSE_MAX_MEGAPIXELS", "5000")
    assert read_header(bomb, "a").stored_size == (65500, 65500)
    monkeypatch.setenv("TFPOSE_MAX_MEGAPIXELS", "0.0001")
    with pytest.raises(ValueError, match="at most 0.0001 megapixels, got 30x20"):
        decode_upright(encoded(".png", picture()), "a")
    monkeypatch.setenv("TFPOSE_MAX_MEGAPIXELS", "many")
    with pytest.raises(ValueError, match="TFPOSE_MAX_MEGAPIXELS must be a number of megapixels above 0, got 'many'"):
        decode_upright(encoded(".png", picture()), "a")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_pictures_are_read_by_the_bits_that_they_use(bits):
    image = picture().astype(np.uint16)
    image[0, 0] = 255
    data = encoded(".png", image << (bits - 8))
    assert read_header(data, "a").has_16_bits
    np.testing.assert_array_equal(decode_upright(data, "a"), image)


def test_pixels_of_other_depths_are_refused():
    with pytest.raises(ValueError, match="pixels must have 8 or 16 bits, got float32"):
        to_8_bits(np.zeros((2, 2, 3), np.float32))


def test_pixels_that_are_not_square_are_seen():
    jpeg, png = encoded(".jpg", picture()), encoded(".png", picture())
    assert read_header(jpeg, "a").pixel_aspect == read_header(png, "a").pixel_aspect == 1.0
    assert jpeg[6:11] == b"JFIF\0"
    assert read_header(jpeg[:14] + b"\0\1\0\2" + jpeg[18:], "a").pixel_aspect == 2.0
    assert read_header(with_png_chunk(png, b"pHYs", b"\0\0\0\2\0\0\0\1\0"), "a").pixel_aspect == 0.5


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", picture())
    np.testing.assert_array_equal(decode_upright((tmp_path / "a.png").read_bytes(), "a"), picture())
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_picture(tmp_path / "b.png", picture())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
