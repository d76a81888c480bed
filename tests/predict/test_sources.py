import contextlib
import functools
import gc
import http.server
import os
import struct
import threading

import numpy as np
import pytest
from PIL import Image
from video_cases import HEIGHT, WIDTH, frame_color, write_picture, write_timed_video, write_video

from tfpose.garbage import without_cycle_search
from tfpose.prediction.decoding import has_no_frame, plausible_rate
from tfpose.prediction.frame_span import FrameSpan
from tfpose.prediction.pictures import Pictures
from tfpose.prediction.sources import Video, open_sources

# Ten frames in a second, then one frame every 0.9 seconds, as a phone in the dark.
PHONE_TIMES = [*(0.1 * index for index in range(10)), *(1 + 0.9 * index for index in range(10))]


def assert_color(image, index):
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - frame_color(index)).max() < 6


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_gives_its_frames_in_rgb(tmp_path, video_library, suffix):
    (source,) = open_sources([str(write_video(tmp_path / f"clip{suffix}", 7))])
    frames = list(source.frames())
    assert source.is_video and not source.is_live
    assert (source.name, source.num_frames, source.frames_per_second) == ("clip", 7, pytest.approx(10))
    assert [frame.index for frame in frames] == list(range(7))
    assert [frame.seconds for frame in frames] == pytest.approx([0.1 * index for index in range(7)])
    assert frames[3].name == "clip/000003.jpg"
    for frame in frames:
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        assert_color(frame.image, frame.index)
    assert source.problems == []


def test_pixels_that_are_not_square_are_named(tmp_path, video_library):
    path = write_timed_video(tmp_path / "clip.mp4", [0, 0.1], pixel_shape=(16, 11))
    assert Video("clip", str(path)).notes == [f"{path}: pixels that are not square (16:11), taken as square"]
    assert Video("clip", str(write_timed_video(tmp_path / "square.mp4", [0, 0.1]))).notes == []


@pytest.fixture
def interlaced_video(tmp_path):
    return write_timed_video(tmp_path / "tv.mp4", np.arange(10) / 10, **{"x264-params": "interlaced=1"})


def test_frames_of_interlaced_videos_are_not_those_of_another_video(interlaced_video, video_library):
    if video_library == "opencv":
        with pytest.raises(ValueError, match=r"tv.mp4: must not be interlaced.*pip install 'tfpose\[video\]'"):
            open_sources([str(interlaced_video)])
        return
    (source,) = open_sources([str(interlaced_video)])
    for frame in source.frames():
        assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - np.add(frame_color(frame.index), 5.5)).max() < 8


def test_a_stream_whose_frames_are_all_the_same_is_noted(interlaced_video, phone_video):
    """Files stand for the streams."""
    stream, healthy = (Video("tv", str(path), is_live=True) for path in (interlaced_video, phone_video))
    assert len(list(stream.frames())) == 10 and len(list(healthy.frames())) == 20
    text = "the first frames are all the same, as OpenCV shows those of interlaced streams"
    assert stream.notes == [f"{interlaced_video}: {text}"]
    assert healthy.notes == []


@pytest.mark.parametrize("codec", ["qtrle", "libx264"])
def test_frames_that_are_drawn_over_leave_the_next_ones_as_they_are(tmp_path, codec):
    """QuickTime Animation holds RGB, and changes the pixels of the frame before."""
    av = pytest.importorskip("av")
    path = tmp_path / "video.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = {"qtrle": "rgb24", "libx264": "yuv420p"}[codec]
        for column in range(5):
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            image[:, 8 * column : 8 * column + 8] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    expected = [frame.image.copy() for frame in Video("video", str(path)).frames()]
    assert len(expected) == 5
    for frame, image in zip(Video("video", str(path)).frames(), expected, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        frame.image[:] = 7


def test_a_video_can_be_read_again(tmp_path):
    source = Video("clip", str(write_video(tmp_path / "clip.avi", 4)))
    first, second = list(source.frames()), list(source.frames())
    assert len(first) == len(second) == 4
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


@pytest.mark.parametrize(
    ("span", "indices"),
    [
        (FrameSpan(2), [2, 3, 4, 5, 6]),
        (FrameSpan(1, 5, 2), [1, 3]),
        (FrameSpan(0, 100, 3), [0, 3, 6]),
        (FrameSpan(6, 7), [6]),
    ],
)
def test_a_span_chooses_frames_and_pictures(tmp_path, span, indices):
    video = Video("clip", str(write_video(tmp_path / "clip.avi", 7)), span)
    assert [frame.index for frame in video.frames()] == indices
    assert video.num_frames == len(indices)
    assert video.frames_per_second == pytest.approx(10 / span.every)
    assert [frame.seconds for frame in video.frames()] == pytest.approx([index / 10 for index in indices])
    for index in range(7):
        write_picture(tmp_path / f"{index}.png", index)
    (pictures,) = open_sources([str(tmp_path / "*.png")], span)
    assert [frame.name for frame in pictures.frames()] == [f"{index}.png" for index in indices]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-1,), "--start must be at least 0, got -1"),
        ((3, 3), "--end must be above --start=3, got 3"),
        ((0, None, 0), "--every must be at least 1, got 0"),
    ],
)
def test_impossible_spans_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        FrameSpan(*values)


def test_spans_beyond_the_end_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"--start must be below 4, the number of frames of .*clip.avi, got 9"):
        Video("clip", str(write_video(tmp_path / "clip.avi", 4)), FrameSpan(9))
    with pytest.raises(ValueError, match="--start must be below 1, the number of images, got 9"):
        Pictures("one", [write_picture(tmp_path / "a.png")], FrameSpan(9))


def test_pictures_are_sorted_by_the_numbers_in_their_names(tmp_path):
    for index in (10, 2, 1):
        write_picture(tmp_path / "walk" / f"frame_{index}.jpg", index)
    (tmp_path / "walk" / "notes.txt").write_text("no picture")
    (source,) = open_sources([str(tmp_path / "walk")])
    frames = list(source.frames())
    assert source.name == "walk" and not source.is_video
    assert [frame.name for frame in frames] == ["frame_1.jpg", "frame_2.jpg", "frame_10.jpg"]
    for frame, index in zip(frames, (1, 2, 10), strict=True):
        assert_color(frame.image, index)


def test_patterns_over_folders_keep_the_folders_in_the_names(tmp_path):
    for folder in ("a", "b"):
        write_picture(tmp_path / folder / "0.png")
    (source,) = open_sources([str(tmp_path / "*" / "0.png")])
    assert [frame.name for frame in source.frames()] == ["a/0.png", "b/0.png"]


def test_patterns_do_not_go_in_circles(tmp_path, monkeypatch):
    write_picture(tmp_path / "a" / "b" / "0.png")
    write_picture(tmp_path / "c" / "0.png")
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    (tmp_path / "a" / "d").symlink_to("../c")
    monkeypatch.chdir(tmp_path / "a")
    for pattern in ("**/*.png", f"{tmp_path}/a/**/*.png"):
        (source,) = open_sources([pattern])
        assert source.names == ["b/0.png", "d/0.png"]


def test_missing_and_empty_inputs_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    cases = {
        tmp_path / "empty": "must hold images",
        tmp_path / "none.mp4": "there is no such file or folder",
        tmp_path / "*.jpg": "must match images",
    }
    for path, message in cases.items():
        with pytest.raises(FileNotFoundError, match=message) as error:
            open_sources([str(path)])
        assert str(path) in str(error.value)


def test_names_may_begin_with_a_tilde_or_be_addresses_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write_picture(tmp_path / "~a b.png")
    write_video(tmp_path / "my clip.avi", 2)
    for name in ("~a b.png", "~/~a b.png", f"file://{tmp_path}/~a%20b.png"):
        assert [source.paths for source in open_sources([name])] == [[tmp_path / "~a b.png"]]
    for name in ("~/my clip.avi", f"file://localhost{tmp_path}/my%20clip.avi"):
        (source,) = open_sources([name])
        assert source.is_video and source.name == "my clip" and len(list(source.frames())) == 2


def test_pipes_and_devices_are_no_inputs(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe: must be a file or folder, got a pipe or device"):
        open_sources([str(tmp_path / "pipe")])


def test_files_that_are_no_videos_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(ValueError, match=r"text.mp4: cannot be opened as a video"):
        open_sources([str(tmp_path / "text.mp4")])
    whole = write_video(tmp_path / "clip.avi", 5).read_bytes()
    start = whole.index(b"movi") + 4
    (tmp_path / "hollow.avi").write_bytes(whole[:start])
    with pytest.raises(ValueError, match=r"hollow.avi: (must be a video, got no frame|cannot be opened)"):
        open_sources([str(tmp_path / "hollow.avi")])


@pytest.fixture(params=[".mp4", ".mkv"])
def phone_video(tmp_path, request):
    return write_timed_video(tmp_path / f"phone{request.param}", PHONE_TIMES)


def test_frames_of_a_variable_rate_keep_their_times(phone_video, video_library):
    """A header of Matroska has no number of frames, which does not mean damage."""
    source = Video("phone", str(phone_video))
    assert [frame.seconds for frame in source.frames()] == pytest.approx(PHONE_TIMES, abs=2e-3)
    assert source.problems == []
    assert source.frames_per_second == pytest.approx(10, rel=0.02)


@pytest.fixture
def damaged_video(tmp_path):
    """Twenty frames, each fifth decodable by itself; the bytes from 45 to 60 % of the pictures are noise."""
    path = write_timed_video(tmp_path / "bad.mp4", [0.1 * index for index in range(20)], g="5", bf="0")
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    size = content.index(b"moov") - start
    middle = slice(start + int(0.45 * size), start + int(0.6 * size))
    content[middle] = np.random.default_rng(1).bytes(middle.stop - middle.start)
    path.write_bytes(content)
    return path


def test_frames_behind_damage_keep_their_numbers_and_times(damaged_video, video_library):
    source = Video("bad", str(damaged_video))
    frames = list(source.frames())
    indices = [frame.index for frame in frames]
    assert 12 <= len(indices) < 20 and {0, 1, 2, 3, 4, 15, 16, 17, 18, 19} <= set(indices)
    assert [frame.seconds for frame in frames] == pytest.approx([0.1 * index for index in indices])
    for frame in frames:
        if frame.index < 5 or frame.index >= 15:
            assert_color(frame.image, frame.index)
    (problem,) = source.problems
    missing = sorted(set(range(20)) - set(indices))
    assert f"bad.mp4: {len(missing)} frame" in problem
    assert f"cannot be decoded: {missing[0]}" in problem and problem.endswith("; the file is damaged there")


@pytest.fixture
def joined_video(tmp_path):
    """Two recordings of five frames, joined byte by byte."""
    part = write_timed_video(tmp_path / "part.ts", [0.1 * index for index in range(5)]).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    return tmp_path / "joined.ts"


def test_time_goes_on_where_the_clock_of_a_file_starts_again(joined_video, video_library):
    source = Video("joined", str(joined_video))
    assert [frame.seconds for frame in source.frames()] == pytest.approx([0.1 * index for index in range(10)], abs=1e-3)
    assert source.problems == []


@pytest.fixture
def turned_video(tmp_path):
    return write_timed_video(tmp_path / "turned.mp4", [0, 0.1], degrees=90)


def test_videos_that_a_phone_has_turned_are_upright(turned_video, video_library, monkeypatch):
    (frame, _) = Video("turned", str(turned_video)).frames()
    assert frame.image.shape == (WIDTH, HEIGHT, 3)


def write_still(path, picture, num_frames, **mirrored):
    """Writes a video of the same picture, all but the first made from the frames before them."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(0, **mirrored)
        for _ in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("mirrored_axis", ["hflip", "vflip"])
def test_videos_that_a_front_camera_has_mirrored_are_as_players_show_them(tmp_path, mirrored_axis):
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[: HEIGHT // 2, : WIDTH // 2] = 200
    write_still(tmp_path / "mirrored.mp4", stored, 3, **{mirrored_axis: True})
    shown = stored[:, ::-1] if mirrored_axis == "hflip" else stored[::-1]
    frames = list(Video("mirrored", str(tmp_path / "mirrored.mp4")).frames())
    assert len(frames) == 3
    for frame in frames:
        assert np.abs(frame.image.astype(int) - shown).mean() < 4


def test_frames_are_freed_as_soon_as_they_are_read(tmp_path):
    """Not when Python looks for cycles of objects: large videos would fill the memory until then."""
    av = pytest.importorskip("av")
    write_still(tmp_path / "still.mp4", np.zeros((HEIGHT, WIDTH, 3), np.uint8), 20)
    gc.collect()
    with without_cycle_search():
        assert sum(1 for _ in Video("still", str(tmp_path / "still.mp4")).frames()) == 20
        left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
    assert len(left) <= 1  # The key frame.


@pytest.mark.parametrize(
    ("stated", "times", "expected"),
    [
        (29.97, [], 29.97),
        (0, [], 25),
        (float("nan"), [0, 0, 0], 25),
        (29.97, [0.0, 0.033, 0.067, 0.1], 29.97),
        (1000, [0.0, 0.04, 0.08, 0.12], 25),
        (1000, [0.0, 0.001, 0.002], 1000),
        (2.6, [0.0, 0.1, 0.2, 0.3, 1.2], 10),
    ],
)
def test_the_frame_rate_is_that_of_the_first_frames_unless_the_header_agrees(stated, times, expected):
    assert plausible_rate(stated, times) == pytest.approx(expected)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(handler):
    """Yields the address of a server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path; yields its address."""
    with serve(functools.partial(Quiet, directory=tmp_path)) as address:
        yield address


def test_a_video_file_behind_an_address_is_a_file(tmp_path, server, video_library):
    write_video(tmp_path / "clip.mp4", 7)
    (source,) = open_sources([f"{server}/clip.mp4"])
    assert source.is_video and not source.is_live
    assert (source.name, source.num_frames) == ("clip", 7)
    assert [frame.seconds for frame in source.frames()] == pytest.approx([0.1 * index for index in range(7)])


@pytest.fixture
def ten_seconds(tmp_path):
    return write_timed_video(tmp_path / "clip.mkv", [0.1 * index for index in range(100)]).read_bytes()


def test_a_connection_that_breaks_is_named(ten_seconds, video_library):

    class Breaking(Quiet):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(ten_seconds)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(ten_seconds[: len(ten_seconds) // 2])

    with serve(Breaking) as address:
        (source,) = open_sources([f"{address}/clip.mkv"])
        count = len(list(source.frames()))
    assert 0 < count < 90
    assert any("clip.mkv: ends at" in problem for problem in source.problems), source.problems


def test_an_address_of_which_nothing_can_be_decoded_has_a_hint():
    assert str(has_no_frame("a.mp4")).endswith("got no frame that can be decoded")
    assert str(has_no_frame("http://host/a.mp4")).endswith(
        "; if its server sends no parts of files, save the file first"
    )


def test_addresses_without_a_video_are_named(server):
    with pytest.raises(ValueError, match=r"none.mp4: HTTP Error 404: File not found"):
        open_sources([f"{server}/none.mp4"])
    with pytest.raises(ValueError, match=r"clip.mp4: <urlopen error .*Connection refused"):
        open_sources(["http://127.0.0.1:9/clip.mp4"])


def test_a_video_that_ends_early_says_so(tmp_path, video_library):
    whole = write_video(tmp_path / "clip.avi", 20).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: (whole.index(b"movi") + whole.rindex(b"idx1")) // 2])
    source = Video("cut", str(tmp_path / "cut.avi"))
    count = len(list(source.frames()))
    assert 0 < count < 18
    assert source.problems == [f"{tmp_path / 'cut.avi'}: ends after {count} of 20 frames; it is damaged"]


@pytest.fixture
def av1_video(tmp_path):
    av = pytest.importorskip("av")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("needs an encoder of AV1")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libsvtav1", rate=10, options={"preset": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return tmp_path / "clip.mp4"


def test_av1_is_read_or_the_package_that_reads_it_is_named(av1_video, video_library):
    if video_library == "pyav":
        assert len(list(Video("clip", str(av1_video)).frames())) == 1
        return
    with pytest.raises(ValueError, match=r"cannot decode AV1, which pip install 'tfpose\[video\]' reads"):
        Video("clip", str(av1_video))


@pytest.fixture
def late_part(tmp_path):
    """A part of a recording: its times go on where those of the part before end."""
    return write_timed_video(tmp_path / "part.mkv", 50 + np.arange(20) / 10)


def test_a_part_of_a_recording_is_whole_and_keeps_its_clock(tmp_path, late_part, video_library):
    (source,) = open_sources([str(late_part)])
    frames = list(source.frames())
    assert source.problems == []
    assert [frame.seconds for frame in frames] == pytest.approx(np.arange(20) / 10)
    assert [frame.file_seconds for frame in frames] == pytest.approx(50 + np.arange(20) / 10)


def test_sound_with_a_cover_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        container.mux(stream.encode(av.VideoFrame(WIDTH, HEIGHT, "yuvj420p")))
        container.mux(stream.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with pytest.raises(ValueError, match="song.m4a: must be a video, got a file without pictures"):
        open_sources([str(path)])


@pytest.fixture
def video_with_repeats(tmp_path):
    """An AVI file that counts 13 frames and holds 4, as recorders of screens write it."""
    av = pytest.importorskip("av")
    path = tmp_path / "repeats.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for index in range(0, 16, 4):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 10 * index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_whose_frames_repeat_is_whole(video_with_repeats, video_library):
    source = Video("repeats", str(video_with_repeats))
    assert [frame.seconds for frame in source.frames()] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert source.num_frames == 13 and source.problems == []


def test_a_video_that_a_phone_has_trimmed_is_whole(tmp_path, video_library):
    """It holds all frames, and its edit list shows the first half of them."""
    data = bytearray(write_video(tmp_path / "clip.mp4", 20).read_bytes())
    for field in (data.index(b"mvhd") + 20, data.index(b"elst") + 12):
        (length,) = struct.unpack_from(">I", data, field)
        struct.pack_into(">I", data, field, length // 2)
    (tmp_path / "trimmed.mp4").write_bytes(data)
    source = Video("trimmed", str(tmp_path / "trimmed.mp4"))
    assert len(list(source.frames())) == 10
    assert source.problems == []


def test_the_time_of_a_camera_begins_with_its_first_frame(tmp_path, monkeypatch):
    """A file stands for the camera, whose first frame comes after five seconds and the others every half second."""
    clock = iter([5.0, 5.5, 6.0, 6.5, 7.0])
    monkeypatch.setattr("tfpose.prediction.sources.time.monotonic", lambda: next(clock))
    live = Video("camera", str(write_video(tmp_path / "clip.avi", 4)), is_live=True)
    assert [frame.seconds for frame in live.frames()] == [0.0, 0.5, 1.0, 1.5]


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="camera 97: cannot be opened; check its number"):
        open_sources(["97"])


def test_two_inputs_of_one_name_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    videos = [write_video(tmp_path / "clip.avi", 2), write_video(tmp_path / "a" / "clip.mp4", 2)]
    with pytest.raises(ValueError, match="inputs must have different names, got two that are called 'clip'"):
        open_sources([str(video) for video in videos])


@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_gif_that_ends_inside_a_frame_is_damaged(tmp_path, video_library, num_frames):
    images = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)) for i in range(3)]
    whole = tmp_path / "whole.gif"
    images[0].save(whole, save_all=True, append_images=images[1:num_frames], duration=100)
    data = whole.read_bytes()
    (tmp_path / "no_trailer.gif").write_bytes(data[:-1])
    (tmp_path / "cut.gif").write_bytes(data[: len(data) - 300])
    problems = {}
    for name in ("whole", "no_trailer", "cut"):
        (source,) = open_sources([str(tmp_path / f"{name}.gif")])
        assert list(source.frames())
        problems[name] = source.problems
    assert problems["whole"] == problems["no_trailer"] == []
    assert len(problems["cut"]) == 1 and problems["cut"][0].endswith("it is damaged")
