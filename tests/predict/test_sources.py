import cv2
import numpy as np
import pytest
from video_cases import HEIGHT, WIDTH, frame_color, write_picture, write_video

from tfpose.prediction.sources import FrameSpan, Pictures, Video, open_sources, read_picture


def assert_color(image, index):
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - frame_color(index)).max() < 6


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_gives_its_frames_in_rgb(tmp_path, suffix):
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
    assert video.start_seconds == pytest.approx(span.start / 10)
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


def test_an_unreadable_picture_is_named_and_the_others_are_read(tmp_path):
    whole = write_picture(tmp_path / "0.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_text("no picture")
    (tmp_path / "3.jpg").write_bytes(b"")
    write_picture(tmp_path / "4.png", 4)
    (source,) = open_sources([str(tmp_path)])
    assert [frame.index for frame in source.frames()] == [0, 4]
    assert len(source.problems) == 3
    for problem, name in zip(source.problems, ("1.png", "2.jpg", "3.jpg"), strict=True):
        assert f"{name}: cannot be decoded as an image (truncated, corrupt or of another format)" in problem


def test_a_truncated_jpeg_is_no_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut.jpg: cannot be decoded"):
        read_picture(tmp_path / "cut.jpg")


def test_pictures_that_a_phone_has_turned_are_upright(tmp_path):
    """EXIF orientation 6: the first row of the stored picture is the right side of what was seen."""
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:10] = 255
    data = cv2.imencode(".jpg", stored)[1].tobytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(data[:2] + marker + data[2:])
    seen = read_picture(tmp_path / "turned.jpg")
    assert seen.shape == (80, 40, 3)
    assert seen[:, -8:].mean() > 240 and seen[:, :28].mean() < 15


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


def test_files_that_are_no_videos_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(ValueError, match=r"text.mp4: cannot be opened as a video"):
        open_sources([str(tmp_path / "text.mp4")])
    whole = write_video(tmp_path / "clip.avi", 5).read_bytes()
    start = whole.index(b"movi") + 4
    (tmp_path / "hollow.avi").write_bytes(whole[:start])
    with pytest.raises(ValueError, match=r"hollow.avi: (must be a video, got no frame|cannot be opened)"):
        open_sources([str(tmp_path / "hollow.avi")])


def test_a_video_that_ends_early_says_so(tmp_path):
    whole = write_video(tmp_path / "clip.avi", 20).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: (whole.index(b"movi") + whole.rindex(b"idx1")) // 2])
    source = Video("cut", str(tmp_path / "cut.avi"))
    count = len(list(source.frames()))
    assert 0 < count < 18
    assert source.problems == [f"{tmp_path / 'cut.avi'}: ends after {count} of 20 frames; it is damaged"]


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="camera 97: cannot be opened; check its number"):
        open_sources(["97"])


def test_two_inputs_of_one_name_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    videos = [write_video(tmp_path / "clip.avi", 2), write_video(tmp_path / "a" / "clip.mp4", 2)]
    with pytest.raises(ValueError, match="inputs must have different names, got two that are called 'clip'"):
        open_sources([str(video) for video in videos])
