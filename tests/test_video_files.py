import fractions
import resource
import socket

import cv2
import numpy as np
import pytest

from tfpose import video_sound
from tfpose.video_encoders import OpencvEncoder, PyavEncoder, storable_rate
from tfpose.video_files import VideoFileWriter
from tfpose.video_sound import Sound

pytestmark = pytest.mark.usefixtures("video_library")


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


@pytest.mark.parametrize("video_library", ["pyav"], indirect=True)
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colors_are_those_of_bt601_and_the_file_says_so(tmp_path, suffix):
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), (34, 18), interpolation=cv2.INTER_NEAREST)
    cv2.line(image, (3, 2), (30, 15), (255, 0, 0), 1)
    encoder = PyavEncoder(tmp_path / f"video{suffix}", (34, 18), 10, None)
    converted = encoder.convert(image)
    # ITU-R BT.601, limited range; a pixel of Cb and Cr is the mean of four pixels.
    red, green, blue = np.moveaxis(image / 255, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    differences = (blue - luma) / 1.772, (red - luma) / 1.402
    means = [128 + 224 * difference.reshape(9, 2, 17, 2).mean(axis=(1, 3)) for difference in differences]
    written = converted.to_ndarray()
    np.testing.assert_allclose(written[:18], 16 + 219 * luma, atol=1)
    np.testing.assert_allclose(written[18:].reshape(2, 9, 17), means, atol=1.5)
    encoder.write(converted, None)
    encoder.close()
    with av.open(str(tmp_path / f"video{suffix}")) as container:
        frame = next(container.decode(video=0))
        assert frame.color_range == 1
        if suffix == ".mp4":
            assert frame.colorspace in (5, 6)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("the network failed")])
def test_an_exception_leaves_no_file_and_is_not_hidden(tmp_path, error):
    with pytest.raises(type(error)) as raised, VideoFileWriter(tmp_path / "video.mp4", 10) as writer:
        writer.write(make_frames(1)[0])
        raise error
    assert raised.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [119.193, 65.537, 100.013, 239.983, 1000.0, 29.97003, 0.025])
def test_every_frame_rate_can_be_written(tmp_path, rate):
    with VideoFileWriter(tmp_path / "video.mp4", rate) as writer:
        for frame in make_frames(5):
            writer.write(frame)
    frames, read_rate = read_frames(tmp_path / "video.mp4")
    assert len(frames) == 5
    assert read_rate == pytest.approx(rate, rel=2e-3)


def test_rates_are_rounded_to_what_mpeg4_stores():
    assert [storable_rate(rate) for rate in (119.193, 29.97003, 10.0, 700.123, 90000.0)] == [
        *(119.19, 29.97, 10.0, 700.1, 65535.0)
    ]


def test_a_colon_in_the_name_of_the_folder_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoFileWriter("12:30/video.mp4", 10) as writer:
        writer.write(make_frames(1)[0])
    assert len(read_frames(tmp_path / "12:30" / "video.mp4")[0]) == 1


@pytest.fixture
def small_disk():
    """No file can grow beyond 16 KB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".avi"])
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path, small_disk, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 96, 3), dtype=np.uint8)
    message = f"video{suffix}: cannot write the video: "
    with pytest.raises(OSError, match=message), VideoFileWriter(tmp_path / f"video{suffix}", 10) as writer:
        for frame in noise:
            writer.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_an_error_at_the_end_does_not_hide_the_first_one(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("second")

    monkeypatch.setattr(OpencvEncoder, "close", fail)
    with pytest.raises(ValueError, match="first"), VideoFileWriter(tmp_path / "video.avi", 10) as writer:
        writer.write(make_frames(1)[0])
        raise ValueError("first")


def test_frames_keep_their_times(tmp_path, video_library):
    """With OpenCV a frame is repeated until the next one is due."""
    with VideoFileWriter(tmp_path / "video.mp4", 10) as writer:
        for frame, seconds in zip(make_frames(4), (0, 0.1, 0.5, 0.6), strict=True):
            writer.write(frame, seconds)
    capture = cv2.VideoCapture(str(tmp_path / "video.mp4"))
    times = []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    assert times == pytest.approx([0, 0.1, 0.5, 0.6] if video_library == "pyav" else np.arange(7) / 10, abs=1e-4)


def test_frames_that_come_too_fast_are_left_out_to_stay_in_step(tmp_path, video_library):
    with VideoFileWriter(tmp_path / "video.avi", 10) as writer:
        for index in range(40):
            writer.write(make_frames(1)[0], index / 20)
    assert len(read_frames(tmp_path / "video.avi")[0]) == pytest.approx(20, abs=3)


def write_tone(path, codec, seconds=2.0, layout="mono"):
    """A video with a tone that grows louder: the amplitude at t seconds is 0.4 t."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream(codec, rate=48000, layout=layout)
        for frame in make_frames(int(10 * seconds), 64, 96):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.minimum(frame, 255), format="rgb24")))
        container.mux(video.encode(None))
        times = np.arange(int(48000 * seconds)) / 48000
        samples = (0.4 * times * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
        for start in range(0, len(samples), 960):
            sound = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 48000, start, fractions.Fraction(1, 48000)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def read_loudness(path):
    """Seconds of sound, and the amplitude in each quarter of a second."""
    import av

    samples = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            start = round(frame.time * frame.sample_rate)
            samples.append((start, frame.to_ndarray().reshape(-1) if frame.format.is_planar else frame.to_ndarray()[0]))
            rate = frame.sample_rate
    track = np.zeros(max(start + len(values) for start, values in samples))
    for start, values in samples:
        track[max(0, start) : start + len(values)] = values[max(0, -start) :]
    parts = [np.abs(track[at : at + rate // 4]).max() for at in range(0, len(track) - rate // 4, rate // 4)]
    return len(track) / rate, np.array(parts)


@pytest.mark.parametrize(
    ("source", "codec", "suffix"),
    [
        ("phone.mp4", "aac", ".mp4"),
        ("phone.mp4", "aac", ".webm"),
        ("phone.mp4", "libopus", ".webm"),
        ("camera.avi", "pcm_u8", ".mp4"),
    ],
)
def test_sound_is_added_in_step(tmp_path, video_library, source, codec, suffix):
    """From 0.5 s of the source on, for 1 s; what the format cannot hold is encoded again."""
    if video_library == "opencv":
        return  # The program ffmpeg adds the sound, see tests/predict.
    source = write_tone(tmp_path / source, codec)
    sound = Sound(str(source), start_seconds=0.5)
    with VideoFileWriter(tmp_path / f"video{suffix}", 10, sound) as writer:
        for frame in make_frames(10):
            writer.write(frame)
    assert writer.notes == ["the sound is kept"]
    seconds, loudness = read_loudness(tmp_path / f"video{suffix}")
    assert seconds == pytest.approx(1.0, abs=0.05)
    assert loudness[:4] == pytest.approx(0.4 * (0.75 + 0.25 * np.arange(len(loudness[:4]))), abs=0.04)
    assert len(read_frames(tmp_path / f"video{suffix}")[0]) == 10


def test_channels_that_a_codec_cannot_hold_do_not_cost_the_video(tmp_path):
    """Opus has no speakers at the sides, as sound of DVDs has them."""
    source = write_tone(tmp_path / "dvd.mkv", "ac3", layout="5.1(side)")
    with VideoFileWriter(tmp_path / "video.webm", 10, Sound(str(source))) as writer:
        for frame in make_frames(10):
            writer.write(frame)
    assert writer.notes == ["the sound is kept"]
    assert len(read_frames(tmp_path / "video.webm")[0]) == 10


def test_a_server_that_is_silent_costs_the_sound_and_not_the_video(tmp_path, monkeypatch):
    """It accepts the connection and never answers."""
    pytest.importorskip("av")
    monkeypatch.setattr(video_sound, "_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sound = Sound(f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4")
        with VideoFileWriter(tmp_path / "video.mp4", 10, sound) as writer:
            writer.write(make_frames(1)[0])
    assert writer.notes == ["the sound is not kept: no answer within 0.1 seconds"]
    assert len(read_frames(tmp_path / "video.mp4")[0]) == 1


def test_an_input_without_sound_gives_no_note(tmp_path):
    with VideoFileWriter(tmp_path / "silent.mp4", 10) as writer:
        writer.write(make_frames(1)[0])
    for name in ("silent.mp4", "missing.mp4"):
        with VideoFileWriter(tmp_path / "video.mp4", 10, Sound(str(tmp_path / name))) as writer:
            writer.write(make_frames(1)[0])
        is_noted = writer.keeps_sound and name == "missing.mp4"
        sound_notes = [note for note in writer.notes if "sound" in note]
        assert sound_notes == (["the sound is not kept: No such file or directory"] if is_noted else [])
        assert any("browsers do not play" in note for note in writer.notes) != writer.keeps_sound


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
