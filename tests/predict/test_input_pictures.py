"""Images as a user names them: what is read, under which names, and what is not."""

import contextlib
import functools
import http.server
import threading

import cv2
import numpy as np
import pytest
from picture_cases import png_of_size, with_exif
from video_cases import write_picture

from tfpose.prediction.pictures import is_picture_url
from tfpose.prediction.sources import open_sources


def read(*inputs):
    (source,) = open_sources([str(text) for text in inputs])
    return source, list(source.frames())


def test_an_unreadable_picture_is_named_and_the_others_are_read(tmp_path):
    whole = write_picture(tmp_path / "0.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    for name, data in {
        "1.png": whole[: len(whole) // 2],
        "2.jpg": b"no picture",
        "3.jpg": b"",
        "5.jpg": jpeg[: len(jpeg) // 2],
        "6.png": png_of_size(65500, 65500),
        "7.jpg": b"\0\0\0\x18ftypheic" + bytes(99),
    }.items():
        (tmp_path / name).write_bytes(data)
    write_picture(tmp_path / "4.png", 4)
    source, frames = read(tmp_path)
    assert [frame.index for frame in frames] == [0, 4]
    reasons = [
        "cannot be decoded",
        "got the first bytes",
        "an empty file",
        "cannot be decoded",
        "at most 100 mega",
        "HEIC",
    ]
    assert len(source.problems) == len(reasons)
    for problem, name, reason in zip(source.problems, (1, 2, 3, 5, 6, 7), reasons, strict=True):
        assert problem.startswith(f"{tmp_path}/{name}.") and reason in problem


def test_pictures_that_a_phone_has_turned_are_upright(tmp_path):
    """EXIF orientation 6: the first row of the stored picture is the right side of what was seen."""
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:10] = 255
    (tmp_path / "turned.JFIF").write_bytes(with_exif(cv2.imencode(".jpg", stored)[1].tobytes(), 6))
    _, (frame,) = read(tmp_path)
    assert frame.image.shape == (80, 40, 3)
    assert frame.image[:, -8:].mean() > 240 and frame.image[:, :28].mean() < 15


def test_what_is_not_read_is_listed(tmp_path):
    """Images that cannot be read are a problem, other files a note."""
    write_picture(tmp_path / "a.png")
    for name in ("b.HEIC", "c.avif", "notes.txt", ".hidden", *(f"{index}.xml" for index in range(6))):
        (tmp_path / name).write_text("")
    (tmp_path / "more").mkdir()
    source, frames = read(tmp_path)
    assert len(frames) == 1
    assert source.problems == [f"{tmp_path}: images not read: b.HEIC, c.avif; convert them to JPEG or PNG"]
    assert source.notes == [f"{tmp_path}: no images and not read: 0.xml, 1.xml, 2.xml, 3.xml, 4.xml and 3 more"]
    assert list(source.frames()) and len(source.problems) == len(source.notes) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"must hold images .*, got none; convert \.avif, \.heic to JPEG or PNG"
    ):
        read(tmp_path)


def test_a_picture_is_known_by_its_content(tmp_path):
    write_picture(tmp_path / "a.png").rename(tmp_path / "a")
    source, (frame,) = read(tmp_path / "a")
    assert not source.is_video and frame.name == "a"


def test_further_pages_are_mentioned(tmp_path):
    image = np.zeros((8, 9, 3), np.uint8)
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), [image, image + 9, image])
    animation = cv2.Animation()
    animation.frames, animation.durations = [image, image + 99], [100, 100]
    assert cv2.imwriteanimation(str(tmp_path / "waves.webp"), animation)
    assert cv2.imwriteanimation(str(tmp_path / "boxes.png"), animation)
    cv2.imwrite(str(tmp_path / "still.webp"), image)
    source, frames = read(tmp_path)
    assert [frame.name for frame in frames] == ["boxes.png", "pages.tif", "still.webp", "waves.webp"]
    assert source.notes == [
        f"{tmp_path}/boxes.png: only the first of 2 pages or frames was read",
        f"{tmp_path}/pages.tif: only the first of 3 pages or frames was read",
        f"{tmp_path}/waves.webp: only the first of 2 pages or frames was read",
    ]


def test_names_are_those_of_the_user(tmp_path, monkeypatch):
    """Links keep their names, a link to a folder names the source, and every picture counts once."""
    for folder in "xy":
        write_picture(tmp_path / folder / "data.png")
    (tmp_path / "x" / "link.png").symlink_to("../y/data.png")
    (tmp_path / "album").symlink_to("x")
    monkeypatch.chdir(tmp_path)
    source, frames = read("album", "./album/data.png")
    assert source.name == "album"
    assert [frame.name for frame in frames] == ["data.png", "link.png"]
    source, frames = read("x/data.png", "y/data.png")
    assert (source.name, [frame.name for frame in frames]) == ("pictures", ["x/data.png", "y/data.png"])


@contextlib.contextmanager
def server(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_addresses_of_pictures(tmp_path):
    for name in ("one", "two"):
        write_picture(tmp_path / name / "a b.png")
    with server(tmp_path) as address:
        urls = [f"{address}/{name}/a%20b.png" for name in ("one", "two", "none")]
        source, frames = read(*urls)
        assert [frame.name for frame in frames] == ["one/a b.png", "two/a b.png"]
        assert source.problems == [f"{urls[2]}: HTTP Error 404: File not found"]
        source, frames = read(urls[0])
        assert (source.name, [frame.name for frame in frames]) == ("a b", ["a b.png"])
    assert is_picture_url("https://example.org/a.JPG?size=2")
    assert not is_picture_url("rtsp://example.org/a.jpg") and not is_picture_url("http://example.org/a.mp4")


def test_pixels_that_are_not_square_are_told_once(tmp_path):
    for index in range(3):
        write_picture(tmp_path / f"{index}.jpg", index)
        data = (tmp_path / f"{index}.jpg").read_bytes()
        # The JFIF header of all but the first says that pixels are twice as wide as high.
        (tmp_path / f"{index}.jpg").write_bytes(data[:14] + b"\0\1\0\2" + data[18:] if index else data)
    (source,) = open_sources([str(tmp_path)])
    assert len(list(source.frames())) == 3
    assert source.notes == [f"2 images with pixels that are not square, taken as square ({tmp_path}/1.jpg)"]


def test_pictures_with_foreign_bytes_among_their_pixels_are_told(tmp_path):
    for index in range(3):
        data = bytearray(write_picture(tmp_path / f"{index}.jpg", index).read_bytes())
        if index:
            data[-9:-7] = b"\xff\x17"
            (tmp_path / f"{index}.jpg").write_bytes(data)
    (source,) = open_sources([str(tmp_path)])
    assert len(list(source.frames())) == 3
    assert source.notes == [f"2 images with damaged pixels, where poses may be wrong ({tmp_path}/1.jpg)"]
