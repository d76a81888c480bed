"""`python -m tfpose.predict` as a user runs it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import program_runs
import pytest
from small_single_network import random_pose_unet, small_single_network
from video_cases import read_video, write_picture, write_video

from tfpose.checkpoints import BEST_WEIGHTS_NAME, write_weights
from tfpose.inference.single_network_system import write_single_network_system
from tfpose.posetrack import read_posetrack
from tfpose.prediction.sound import copy_sound


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """What a training run leaves; the network finds people where there are none."""
    system = small_single_network(max_people=2)
    directory = tmp_path_factory.mktemp("run")
    write_single_network_system(directory, system)
    write_weights(random_pose_unet(system), directory / BEST_WEIGHTS_NAME)
    return directory


def command(*arguments):
    return [sys.executable, "-m", "tfpose.predict", *map(str, arguments)]


def run(*arguments):
    return program_runs.run("-m", "tfpose.predict", *arguments)


def test_a_video_and_pictures_become_tracks_and_drawings(workdir, tmp_path):
    """One picture is broken, which is said, and shows in the exit code."""
    video = write_video(tmp_path / "clip.avi", 8)
    for index in range(3):
        write_picture(tmp_path / "photos" / f"{index}.jpg", index)
    (tmp_path / "photos" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = tmp_path / "out"
    flags = [f"--model={workdir}", f"--output={out}", "--outputs=posetrack,coco,csv,video", "--tracker.settings=online"]
    result = run(video, tmp_path / "photos", *flags, "--video_format=webm", "--blur_heads")
    assert result.returncode == 1, result.stderr[-3000:]
    assert "Traceback" not in result.stderr
    assert re.search(r"^error: .*1.jpg: damaged JPEG: its header has no size", result.stderr, re.MULTILINE)
    assert re.search(r"^clip: 8 frames, \d+ people, \d+ tracks, [\d.]+ frames/s$", result.stdout, re.MULTILINE)
    assert re.search(r"^photos: 2 frames, \d+ people", result.stdout, re.MULTILINE)
    assert f"written: {out / 'videos' / 'clip.webm'}" in result.stdout
    sequence = read_posetrack(out / "predictions" / "clip.json")
    assert len(sequence.frames) == 8
    assert all((frame.track_ids >= 0).all() for frame in sequence.frames)
    assert sum(frame.num_people for frame in sequence.frames) > 0
    assert len(read_video(out / "videos" / "clip.webm")[0]) == 8
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["0.jpg", "2.jpg"]
    assert len(read_posetrack(out / "predictions" / "photos.json").frames) == 2
    for name in ("clip", "photos"):
        assert json.loads((out / "coco" / f"{name}.json").read_text())
        assert (out / "csv" / f"{name}.csv").is_file()


def test_ctrl_c_leaves_a_whole_video_and_whole_files(project_dir, workdir, tmp_path):
    video = write_video(tmp_path / "clip.avi", 6000, size=(48, 64))
    out = tmp_path / "out"
    flags = [f"--model={workdir}", f"--output={out}", "--outputs=posetrack,video", "--batch_size=2"]
    later = write_video(tmp_path / "later.avi", 2, size=(48, 64))
    process = subprocess.Popen(
        command(video, later, *flags), cwd=project_dir, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    seen = ""
    while not re.search(r" [1-9]\d*/6000", seen):
        character = process.stderr.read(1)
        assert character, seen[-3000:]
        seen += character
    process.send_signal(signal.SIGINT)
    printed, rest = process.communicate(timeout=300)
    assert process.returncode == 130, rest[-3000:]
    assert "Traceback" not in rest
    assert re.search(r"^error: interrupted before later$", rest, re.MULTILINE)
    assert re.search(r"^clip: \d+ frames, .* until it was interrupted$", printed, re.MULTILINE)
    sequence = read_posetrack(out / "predictions" / "clip.json")
    frames, _ = read_video(out / "videos" / "clip.mp4")
    assert 0 < len(sequence.frames) == len(frames) < 6000
    assert sorted(path.name for path in (out / "videos").iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=m", "--output=o"], "INPUT must be an image"),
        (["none.mp4", "--model="], "--model must be given, got nothing"),
        (["none.mp4", "--model=m", "--output="], "--output must be given, got nothing"),
        (["none.mp4", "--model=m", "--output=o"], "none.mp4: there is no such file or folder"),
        (["none.mp4", "--model=m", "--output=o", "--outputs=gif"], "--outputs must be some of .*, got gif"),
        (["none.mp4", "--model=m", "--output=o", "--end=0"], "--end must be above --start=0, got 0"),
        (["none.mp4", "--model=m", "--output=o", "--tracker.max_age_frames=0"], "--tracker.max_age_frames must be"),
        (
            ["none.mp4", "--model=m", "--output=o", "--box_nms=0.3"],
            "--box_nms requires --detector or --boxes, got none",
        ),
        (
            ["none.mp4", "--model=m", "--output=o", "--boxes=b", "--detector=d"],
            "--detector cannot be combined with --boxes",
        ),
        (
            ["none.mp4", "--model=m", "--output=o", "--boxes=b"],
            "--boxes must be a file of COCO results, got 'b': no file",
        ),
        (
            ["none.mp4", "--model=m", "--output=o", "--notracking", "--tracker.min_joints=3"],
            "--tracker.min_joints cannot be combined with --notracking",
        ),
    ],
)
def test_wrong_flags_are_one_line(arguments, message):
    result = run(*arguments)
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert re.match(f"error: {message}", line)


def test_a_missing_model_is_one_line(tmp_path):
    picture = write_picture(tmp_path / "a.png")
    result = run(picture, f"--model={tmp_path / 'none'}", f"--output={tmp_path / 'out'}")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert re.match(
        r"error: --model must be a SavedModel, the work folder of a run or .*, got '.*none': no folder",
        result.stderr.strip().splitlines()[-1],
    )


def test_without_ffmpeg_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    video = write_video(tmp_path / "clip.mp4", 3)
    before = video.read_bytes()
    assert "requires PyAV (pip install 'tfpose[video]') or the program ffmpeg" in copy_sound(str(video), video, 0, 0.3)
    assert video.read_bytes() == before


@pytest.fixture
def ffmpeg():
    path = shutil.which("ffmpeg")
    if path is None:
        pytest.skip("needs the program ffmpeg, which is not installed")
    return path


def write_clip_with_sound(ffmpeg, folder):
    silent, path = write_video(folder / "silent.mp4", 20), folder / "sound.mp4"
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    # A single keyframe, so that every start lies behind it.
    codecs = ["-c:v", "mpeg4", "-g", "100", "-sc_threshold", "1000000000", "-c:a", "aac"]
    subprocess.run([ffmpeg, "-v", "error", "-i", silent, *tone, *codecs, "-shortest", path], check=True)
    return path


def read_loudness(ffmpeg, path):
    raw = [ffmpeg, "-v", "error", "-i", path, "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
    samples = np.frombuffer(subprocess.run(raw, capture_output=True, check=True).stdout, np.int16)
    return len(samples) / 8000, np.abs(samples.astype(float)).mean()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_the_sound_of_a_video_is_kept(ffmpeg, tmp_path, suffix):
    source = write_clip_with_sound(ffmpeg, tmp_path)
    video = write_video(tmp_path / f"drawn{suffix}", 10)
    assert copy_sound(str(source), video, 0.5, 1.0) == "the sound is kept"
    seconds, loudness = read_loudness(ffmpeg, video)
    assert seconds == pytest.approx(1.0, abs=0.15)
    assert loudness > 100
    assert len(read_video(video)[0]) == 10


def test_sound_of_a_recording_that_begins_late_is_taken_from_its_clock(ffmpeg, tmp_path):
    """Silence for a second before the tone, on a clock that begins at 20 seconds."""
    source, video = tmp_path / "late.mkv", write_video(tmp_path / "drawn.mp4", 5)
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3", "-af", "volume=0:enable='lt(t,1)'"]
    subprocess.run([ffmpeg, "-v", "error", *tone, "-output_ts_offset", "20", "-c:a", "aac", source], check=True)
    copy_sound(str(source), video, 20, 0.5)
    assert read_loudness(ffmpeg, video)[1] < 10
    copy_sound(str(source), video, 21.5, 0.5)
    assert read_loudness(ffmpeg, video)[1] > 100


def test_a_video_without_sound_stays_as_it_is(ffmpeg, tmp_path):
    source, video = (write_video(tmp_path / f"{name}.mp4", 5) for name in "ab")
    before = video.read_bytes()
    assert copy_sound(str(source), video, 0, 0.5) == ""
    assert video.read_bytes() == before


def test_sound_that_a_container_cannot_take_is_named(ffmpeg, tmp_path):
    source = write_clip_with_sound(ffmpeg, tmp_path)
    video = tmp_path / "drawn.webm"
    shutil.copy(write_video(tmp_path / "drawn.mp4", 5), video)
    before = video.read_bytes()
    assert copy_sound(str(source), video, 0, 0.5).startswith("the sound is not kept: .webm cannot hold it without ")
    assert video.read_bytes() == before
    assert not [path for path in os.listdir(tmp_path) if path.startswith(".")]
