"""Headers and upright pixels in a graph, against `picture_files`."""

import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf
from picture_cases import exif, png_of_size, with_exif, with_jpeg_segment

from tfpose import picture_files
from tfpose.data.header_tensors import read_header
from tfpose.data.pictures import decode_window
from tfpose.data.upright_pictures import cut_upright_crops, decode_upright
from tfpose.exporting.tolerant import _can_be_decoded

SIZE = (37, 53)
# A GIF of 2x1 pixels with a comment and two frames.
GIF = (
    b"GIF89a" + struct.pack("<HHBBB", 2, 1, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff" + b"\x21\xfe\x02hi\x00"
    b"\x2c\x00\x00\x00\x00\x02\x00\x01\x00\x00\x02\x02\x44\x0a\x00"
)


@pytest.fixture(scope="module")
def graphs():
    """The functions as graphs, traced once."""
    data = tf.TensorSpec([], tf.string)
    matrices = tf.TensorSpec([None, 2, 3], tf.float64)

    def cut(data, matrices):
        return cut_upright_crops(data, matrices, (24, 16))

    return {
        "header": tf.function(read_header, [data], autograph=False),
        "decode": tf.function(decode_upright, [data], autograph=False),
        "cut": tf.function(cut, [data, matrices], autograph=False),
    }


def encode(suffix, size=SIZE):
    """A picture without symmetry whose 8x8 blocks JPEG keeps."""
    blocks = np.random.default_rng(0).integers(1, 255, (-(-size[0] // 8), -(-size[1] // 8), 1), dtype=np.uint8)
    image = np.repeat(np.repeat(np.repeat(blocks, 8, 0), 8, 1), 3, 2)[: size[0], : size[1]]
    return cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def with_segments(data, *segments):
    for marker, body in reversed(segments):
        data = with_jpeg_segment(data, marker, body)
    return data


def odd_pictures():
    jpeg, png = encode(".jpg"), encode(".png")
    start = b"Exif\0\0"
    yield from ((suffix, encode(suffix)) for suffix in (".jpg", ".png", ".bmp", ".gif", ".webp"))
    for orientation in (0, 1, 3, 6, 8, 9):
        for order in "<>":
            yield f"jpeg {orientation}{order}", with_exif(jpeg, orientation, order)
            yield f"png {orientation}{order}", with_exif(png, orientation, order)
    late = with_exif(png, 6)
    yield "png, behind the pixels", png[:-12] + late[33 : 33 + len(late) - len(png)] + png[-12:]
    others = [(0xFE, b"x" * 60000), (0xE1, b"http://ns.adobe.com/xap/1.0/\0"), (0xE2, b"\xff\xda" * 100)]
    yield "behind other segments", with_segments(jpeg, *others, (0xE1, start + exif(6)))
    yield "the first of two", with_segments(jpeg, (0xE1, start + exif(8)), (0xE1, start + exif(3)))
    yield "fill bytes", jpeg[:2] + b"\xff\xff" + with_exif(jpeg, 5)[2:]
    yield "cut exif", with_segments(jpeg, (0xE1, start + exif(6)[:14]))
    far = b"MM\0*" + struct.pack(">I", 2**31) + exif(6)[8:]
    yield "directory out of the file", with_segments(jpeg, (0xE1, start + far))
    webp = encode(".webp")
    for body in (exif(6), start + exif(6)):
        chunks = (
            b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + struct.pack("<IH", SIZE[1] - 1 | (SIZE[0] - 1) << 24, 0)
        )
        chunks += webp[12:] + b"EXIF" + struct.pack("<I", len(body)) + body
        yield f"webp {len(body)}", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def test_headers_are_those_of_python(graphs):
    seen = set()
    for name, data in odd_pictures():
        expected, found = picture_files.read_header(data, name), graphs["header"](data)
        assert tuple(found.size.numpy()) == expected.stored_size == SIZE, name
        assert int(found.orientation) == expected.orientation, name
        assert int(found.num_bytes) == len(data) - name.endswith("gif"), name
        seen.add(expected.orientation)
    assert seen == {1, 3, 5, 6, 8}


@pytest.mark.parametrize("data", [b"", b"\xff", b"no picture", b"RIFFxxxxAVI ", b"II*\0\0\0\0\0", b"\xff\x0a"])
def test_bytes_of_other_kinds_are_refused(graphs, data):
    assert int(graphs["header"](data).num_bytes) == 0
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Unknown image file format|Input is empty"):
        graphs["decode"](data)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"GIF89a" + b"!" * 99, b"RIFFxxxxWEBP"])
def test_cut_headers_are_clean_errors(graphs, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        graphs["decode"](data)


def test_only_the_first_frame_of_a_gif_is_decoded(graphs):
    animated = GIF + GIF[len(GIF) - 15 :] * 500 + b";"
    assert int(graphs["header"](animated).num_bytes) == len(GIF)
    np.testing.assert_array_equal(graphs["decode"](animated), graphs["decode"](GIF + b";"))


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def extended_webp(flags, *chunks):
    """A WebP of `SIZE` with parts besides its pixels."""
    sides = struct.pack("<IH", SIZE[1] - 1 | (SIZE[0] - 1) << 24, 0)
    parts = b"WEBP" + chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def animated_webp(size, frame):
    place = bytes(6) + (size[1] - 1).to_bytes(3, "little") + (size[0] - 1).to_bytes(3, "little") + b"\x64\0\0\2"
    return extended_webp(2, chunk(b"ANIM", bytes(6)), *[chunk(b"ANMF", place + frame[12:])] * 2)


def webps():
    rgba = np.dstack([picture_files.decode_upright(encode(".png"), "png"), np.indices(SIZE)[1].astype(np.uint8) * 3])
    lossless = cv2.imencode(".webp", rgba, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    lossy = encode(".webp")
    yield "transparent, lossless", lossless
    yield "transparent, lossy", extended_webp(0x10, chunk(b"ALPH", b"\0" + rgba[..., 3].tobytes()), lossy[12:])
    yield "animated", animated_webp(SIZE, lossy)
    yield "animated and turned", with_exif_in_webp(animated_webp(SIZE, lossy))
    yield "opaque", lossy


def with_exif_in_webp(data):
    data = data[:20] + bytes([data[20] | 8]) + data[21:] + chunk(b"EXIF", exif(6))
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize(("name", "data"), list(webps()))
def test_webps_are_decoded_without_transparency_and_further_frames(graphs, name, data):
    np.testing.assert_array_equal(graphs["decode"](data), picture_files.decode_upright(data, name))
    assert _can_be_decoded(tf.constant([data, data[:40]])).numpy().tolist() == [True, False]


def test_a_first_frame_that_is_only_a_part_of_the_picture_is_refused(graphs):
    with pytest.raises(tf.errors.InvalidArgumentError):
        graphs["decode"](animated_webp((SIZE[0], 16), encode(".webp", (SIZE[0], 16))))


def bmp_with_palette(num_colors=256, compression=0):
    """A BMP of 5x3 pixels, whose rows are filled up to 8 bytes."""
    colors = np.random.default_rng(1).integers(0, 256, (num_colors, 4), dtype=np.uint8).tobytes()
    rows = (np.arange(24).reshape(3, 8) * 11 % num_colors).astype(np.uint8).tobytes()
    begin = 54 + len(colors)
    header = struct.pack("<IiiHHIIiiII", 40, 5, 3, 1, 8, compression, len(rows), 0, 0, num_colors, 0)
    return b"BM" + struct.pack("<IHHI", begin + len(rows), 0, 0, begin) + header + colors + rows


@pytest.mark.parametrize("num_colors", [256, 16])
def test_palettes_are_read(graphs, num_colors):
    """TensorFlow takes the numbers of the colors for shades of gray."""
    data = bmp_with_palette(num_colors)
    np.testing.assert_array_equal(graphs["decode"](data), picture_files.decode_upright(data, "bmp"))


def test_compressed_numbers_of_colors_are_refused(graphs):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        graphs["decode"](bmp_with_palette(compression=1))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_are_decoded_upright(graphs, suffix):
    for orientation in range(1, 9):
        data = with_exif(encode(suffix), orientation)
        stored = decode_window(data, (0, 0, *SIZE))
        expected = picture_files.turn_upright(stored, orientation)
        np.testing.assert_array_equal(graphs["decode"](data), expected, err_msg=str(orientation))


@pytest.mark.parametrize(("suffix", "zoom"), [(".png", 0.9), (".jpg", 0.9), (".jpg", 0.2)])
def test_crops_of_a_turned_picture_are_those_of_the_upright_one(graphs, suffix, zoom):
    """The zoom of 0.2 decodes a JPEG at a quarter of its size, by which no side of the picture divides."""
    data = encode(suffix)
    stored = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), axis=-1)
    matrix = np.array([[zoom, 0.05, -1.0], [0.03, zoom, 2.0]])
    for orientation in range(1, 9):
        places = picture_files.turn_upright(stored, orientation).astype(float)
        stored_from_upright = np.eye(3)
        stored_from_upright[:2] = np.stack([places[0, 1] - places[0, 0], places[1, 0] - places[0, 0], places[0, 0]], 1)
        expected = graphs["cut"](data, (matrix @ np.linalg.inv(stored_from_upright))[None])
        found = graphs["cut"](with_exif(data, orientation), matrix[None])
        assert np.asarray(found).any(axis=(1, 2, 3)).all()
        np.testing.assert_allclose(np.asarray(found, int), np.asarray(expected, int), atol=1, err_msg=str(orientation))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_16_bit_pictures_are_read_by_the_bits_that_they_use(graphs, bits):
    pixels = np.linspace(0, 2**bits - 1, 30).astype(np.uint16).reshape(5, 2, 3)
    data = with_exif(cv2.imencode(".png", pixels)[1].tobytes(), 6)
    np.testing.assert_array_equal(graphs["decode"](data), picture_files.decode_upright(data, "a"))


def test_bombs_are_refused_before_they_are_decoded(graphs):
    """Both have no pixels at all, so whatever decodes them says so."""
    for data in (png_of_size(65500, 65500), png_of_size(1, 2**31 - 1), GIF[:6] + b"\xff" * 4 + GIF[10:]):
        for run in (graphs["decode"], lambda data: graphs["cut"](data, np.eye(2, 3)[None])):
            with pytest.raises(tf.errors.InvalidArgumentError, match="size must be at most 100 megapixels"):
                run(data)


def test_the_limit_is_that_of_the_environment(monkeypatch):
    data = encode(".png")
    monkeypatch.setenv(picture_files.MAX_MEGAPIXELS_VARIABLE, "0.001")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"size must be at most 0\.001 megapixels"):
        decode_upright(tf.constant(data))


def test_without_crops_bytes_are_not_looked_at(graphs):
    assert graphs["cut"](b"no picture", np.zeros((0, 2, 3))).shape == (0, 24, 16, 3)
