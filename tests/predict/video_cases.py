"""Small videos, pictures and people for the tests of prediction."""

from __future__ import annotations

import cv2
import numpy as np

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
