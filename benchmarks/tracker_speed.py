"""Measures the frames per second of the tracker on a video with ten people, in one process with one thread.

    python benchmarks/tracker_speed.py

In each frame a tenth of the joints and a twentieth of the people are missing. Every round tracks the whole video again.
The fastest round counts, because other load on the machine only adds time. The speed by processor time is printed too,
since other load hardly changes it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time

# Set before NumPy is loaded: its threads cannot help on arrays this small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tfpose.boxes import around_keypoints
from tfpose.poses import Poses
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.settings import NAMED_SETTINGS, PAYER2017, TrackerSettings
from tfpose.tracking.tracker import Tracker

GOAL_FRAMES_PER_SECOND = 2000


def generate_video(num_frames: int, num_people: int, seed: int) -> list[Poses]:
    """Noisy poses of people who walk in images of 1280x720 pixels, in random order."""
    rng = np.random.default_rng(seed)
    num_joints = POSETRACK15.num_joints
    bodies = rng.uniform(0, 1, (num_people, 1, 2)) * [1280, 720] + rng.normal(0, 40, (num_people, num_joints, 2))
    velocities = rng.normal(0, 4, (num_people, 1, 2))
    frames = []
    for _ in range(num_frames):
        velocities = 0.95 * velocities + rng.normal(0, 1, velocities.shape)
        bodies = bodies + velocities
        found = rng.permutation(np.flatnonzero(rng.random(num_people) < 0.95))
        keypoints = bodies[found] + rng.normal(0, 2, (len(found), num_joints, 2))
        scores = rng.uniform(0.3, 1, keypoints.shape[:2]) * (rng.random(keypoints.shape[:2]) < 0.9)
        boxes = around_keypoints(keypoints, scores > 0)
        frames.append(Poses(keypoints, scores, scores.mean(axis=1), boxes, np.full(len(found), -1)))
    return frames


def time_tracker(settings: TrackerSettings, frames: list[Poses], num_rounds: int) -> tuple[float, float]:
    """Frames per second of the fastest round, by the clock and by processor time."""
    tracker = Tracker(settings, POSETRACK15)
    wall_seconds, processor_seconds = [], []
    for _ in range(num_rounds):
        tracker.reset()
        starts = time.perf_counter(), time.process_time()
        for poses in frames:
            tracker.update(poses)
        wall_seconds.append(time.perf_counter() - starts[0])
        processor_seconds.append(time.process_time() - starts[1])
    return len(frames) / min(wall_seconds), len(frames) / min(processor_seconds)


def main() -> None:
    """Prints the speed of each of the named settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000, help="number of frames")
    parser.add_argument("--people", type=int, default=10, help="number of people")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds")
    options = parser.parse_args()
    frames = generate_video(options.frames, options.people, seed=0)
    variants = {name: tracker for name, (tracker, _) in NAMED_SETTINGS.items()}
    variants["payer2017, OKS"] = dataclasses.replace(PAYER2017, similarity="oks")
    variants["payer2017, IoU"] = dataclasses.replace(PAYER2017, similarity="iou")
    print(f"{options.people} people per frame, goal {GOAL_FRAMES_PER_SECOND} frames/s")
    print(f"{'settings':<16}{'frames/s':>10}{'by processor time':>20}")
    for name, settings in variants.items():
        wall, processor = time_tracker(settings, frames, options.rounds)
        print(f"{name:<16}{wall:>10.0f}{processor:>20.0f}")


if __name__ == "__main__":
    main()
