import cv2
import numpy as np
import pytest

from tfpose.video_files import VideoFileWriter


def read_frames(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        is_read, frame = capture.read()
        if not is_read:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame[..., ::-1])


def make_frames(count, height=64, width=96):
    return [np.full((height, width, 3), (200, 20 * number, 40), np.uint8) for number in range(count)]


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".avi"])
def test_a_written_video_is_read_again(tmp_path, suffix):
    path, frames = tmp_path / "new" / f"video{suffix}", make_frames(6)
    with VideoFileWriter(path, 8) as writer:
        for frame in frames:
            writer.write(frame)
        assert not path.exists()
    read, frames_per_second = read_frames(path)
    assert frames_per_second == pytest.approx(8)
    assert len(read) == 6
    for ours, theirs in zip(frames, read, strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 6
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_interrupted_video_holds_what_was_written(tmp_path):
    path = tmp_path / "video.mp4"
    with pytest.raises(KeyboardInterrupt), VideoFileWriter(path, 10) as writer:
        for frame in make_frames(3):
            writer.write(frame)
        raise KeyboardInterrupt
    assert len(read_frames(path)[0]) == 3


def test_frames_of_odd_and_other_sizes_fit(tmp_path):
    path = tmp_path / "video.mp4"
    with VideoFileWriter(path, 10) as writer:
        writer.write(make_frames(1, 65, 97)[0])
        writer.write(make_frames(1, 30, 20)[0])
    assert [frame.shape for frame in read_frames(path)[0]] == [(64, 96, 3)] * 2


def test_no_frames_make_no_file(tmp_path):
    with VideoFileWriter(tmp_path / "video.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"video.gif: the name of a video must end in one of .webm, .mp4, .avi"):
        VideoFileWriter(tmp_path / "video.gif", 10)
    with pytest.raises(ValueError, match="frames_per_second must be above 0, got 0"):
        VideoFileWriter(tmp_path / "video.mp4", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), VideoFileWriter(tmp_path / "file" / "video.mp4", 10) as writer:
        writer.write(make_frames(1)[0])
