"""Small videos, pictures and people for the tests of prediction."""

from __future__ import annotations

import fractions

import cv2
import numpy as np
import pytest

from tfpose.boxes import around_keypoints
from tfpose.poses import Poses
from tfpose.skeletons import COCO17

HEIGHT, WIDTH = 72, 96
CODECS = {".avi": "MJPG", ".mp4": "mp4v"}


def frame_color(index):
    """RGB; tells frames apart."""
    return 40 + 8 * (index % 24), 200 - 5 * (index % 30), 60


def write_video(path, num_frames, frames_per_second=10, size=(HEIGHT, WIDTH)):
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), codec, frames_per_second, size[::-1])
    for index in range(num_frames):
        writer.write(np.full((*size, 3), frame_color(index)[::-1], np.uint8))
    writer.release()
    return path


def write_timed_video(path, times, sound_seconds=0.0, degrees=0, pixel_shape=(1, 1), **options):
    """H.264 by PyAV: frame i is shown from times[i] on; frames in one color with a little noise."""
    av = pytest.importorskip("av")
    noise = np.random.default_rng(0).integers(0, 12, (len(times), HEIGHT, WIDTH, 3))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "12", **options})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.sample_aspect_ratio = fractions.Fraction(*pixel_shape)
        video.codec_context.time_base = fractions.Fraction(1, 1000)
        if degrees:
            video.set_display_rotation(degrees)
        audio = container.add_stream("aac", rate=8000, layout="mono") if sound_seconds else None
        for index, seconds in enumerate(times):
            image = np.uint8(frame_color(index)) + noise[index].astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(1000 * seconds), fractions.Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio:
            tone = np.sin(2 * np.pi * 440 * np.arange(int(8000 * sound_seconds)) / 8000).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(0.5 * tone[None], format="fltp", layout="mono")
            samples.sample_rate = 8000
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


def video_times(path):
    """Time of each frame in seconds."""
    capture = cv2.VideoCapture(str(path))
    times = []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times


def read_video(path):
    """RGB frames and their rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (found := capture.read())[0]:
        frames.append(found[1][..., ::-1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def write_picture(path, index=0, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), frame_color(index)[::-1], np.uint8))
    return path


def people(places, score=0.9):
    """One person per (x, y): the joints of COCO in rows below it."""
    offsets = np.array([(6 * (joint % 3), 5 * (joint // 3)) for joint in range(COCO17.num_joints)], float)
    keypoints = np.array(places, float).reshape(-1, 1, 2) + offsets
    scores = np.full(keypoints.shape[:2], score)
    boxes = around_keypoints(keypoints, scores > 0)
    return Poses(keypoints, scores, scores.mean(axis=1), boxes, np.full(len(keypoints), -1))
