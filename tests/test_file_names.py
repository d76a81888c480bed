"""Names that are not UTF-8, on which OpenCV ends in a segmentation fault."""

from __future__ import annotations

import io
import os
import pathlib
import resource

import numpy as np
import pytest

from tfpose.evaluation.report_pictures import write_webp
from tfpose.evaluation.report_videos import read_picture_below
from tfpose.file_names import utf8_name
from tfpose.flags.command_line import Program, describe_error, run_program
from tfpose.json_files import write_json, write_text
from tfpose.picture_files import write_picture
from tfpose.prediction.sources import open_sources
from tfpose.video_files import VideoFileWriter


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """A folder whose name is Latin-1."""
    path = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        path.mkdir()
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    return path


def test_a_link_stands_for_a_name_that_is_not_utf8(folder):
    path = folder / "a.txt"
    with utf8_name(path) as name:
        assert name.isascii() and name.endswith(".txt")
        pathlib.Path(name).write_text("written")
    assert path.read_text() == "written"
    assert not pathlib.Path(name).parent.exists()


@pytest.mark.parametrize("name", ["plain.avi", "caf\u00e9.avi", "http://example.org/a.avi"])
def test_other_names_stay(name):
    with utf8_name(name) as opened:
        assert opened == name


def test_videos_and_pictures_below_such_a_folder_are_written_and_read(folder):
    image = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    video, picture = folder / os.fsdecode(b"\xe9.avi"), folder / os.fsdecode(b"\xe9.png")
    with VideoFileWriter(video, 5) as writer:
        writer.write(image)
    write_picture(picture, image)
    assert sorted(os.listdir(os.fsencode(folder))) == [b"\xe9.avi", b"\xe9.png"]
    for path in (video, picture):
        (source,) = open_sources([str(path)])
        (frame,) = source.frames()
        np.testing.assert_allclose(frame.image, image, atol=8)
    np.testing.assert_array_equal(read_picture_below(folder, picture.name), image)


def test_an_address_that_is_not_utf8_is_refused():
    with pytest.raises(ValueError, match="cannot be opened"):
        open_sources([os.fsdecode(b"rtsp://127.0.0.1:1/caf\xe9")])


def test_such_names_are_written_and_printed_as_json_writes_them(tmp_path, monkeypatch):
    name = os.fsdecode(b"caf\xe9")
    write_text(tmp_path / "a.csv", name)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == r"caf\udce9"
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, "utf-8"))
    program = Program("shows", "Shows a name.", lambda _: None, lambda *_: print(name))
    assert run_program(program, []) == 0
    assert printed.getvalue() == rb"caf\udce9" + os.linesep.encode()


def test_names_may_be_as_long_as_the_file_system_allows(tmp_path):
    """The names of unfinished files are not longer."""
    image = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    paths = [tmp_path / (suffix[1:].rjust(255 - len(suffix), "a") + suffix) for suffix in (".json", ".png", ".avi")]
    write_json(paths[0], [])
    write_picture(paths[1], image)
    with VideoFileWriter(paths[2], 5) as writer:
        writer.write(image)
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", lambda path, noise: write_json(path, noise.tolist())),
        ("a.png", write_picture),
        ("a.webp", write_webp),
    ],
)
def test_a_full_disk_is_an_error_of_the_file_and_leaves_nothing(tmp_path, name, write):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as raised:
            write(tmp_path / name, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert describe_error(raised.value) == f"{tmp_path / name}: File too large"
    assert list(tmp_path.iterdir()) == []
