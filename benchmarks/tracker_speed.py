"""Measures the frames per second of the tracker on a video with ten people, in one process with one thread.

    python benchmarks/tracker_speed.py

In each frame a tenth of the joints and a twentieth of the people are missing. Every round tracks the whole video again.
The fastest round counts, because other load on the machine only adds time. The speed by processor time is printed too,
since other load hardly changes it. For comparison each round first finds the least-cost assignment of everybody to
everybody in each frame with SciPy, from distances that plain NumPy computes: what no tracker can leave out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Callable

# Set before NumPy is loaded: its threads cannot help on arrays this small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from results_file import RECORD_HELP, ratios, record
from scipy.optimize import linear_sum_assignment

from tfpose.boxes import around_keypoints
from tfpose.poses import Poses
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.settings import NAMED_SETTINGS, PAYER2017, TrackerSettings
from tfpose.tracking.tracker import Tracker

GOALS = {"payer2017": 10_000, "online": 7000, "offline": 7000}


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


def track(settings: TrackerSettings, frames: list[Poses]) -> None:
    """Tracks the video."""
    tracker = Tracker(settings, POSETRACK15)
    for poses in frames:
        tracker.update(poses)


def assign(frames: list[Poses]) -> None:
    """Assigns the people of each frame to those of the frame before by the mean distance of their joints."""
    for before, after in itertools.pairwise(frames):
        offsets = before.keypoints[:, None] - after.keypoints[None]
        linear_sum_assignment(np.sqrt(np.square(offsets).sum(axis=-1)).mean(axis=-1))


def seconds_of(action: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and by processor time."""
    starts = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - starts[0], time.process_time() - starts[1]


def main() -> None:
    """Prints the speed of each of the named settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000, help="number of frames")
    parser.add_argument("--people", type=int, default=10, help="number of people")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    options = parser.parse_args()
    frames = generate_video(options.frames, options.people, seed=0)
    variants = {name: tracker for name, (tracker, _) in NAMED_SETTINGS.items()}
    variants["payer2017, OKS"] = dataclasses.replace(PAYER2017, similarity="oks")
    variants["payer2017, IoU"] = dataclasses.replace(PAYER2017, similarity="iou")
    actions = {"assignment alone": functools.partial(assign, frames)}
    actions |= {name: functools.partial(track, settings, frames) for name, settings in variants.items()}
    rounds = [{name: seconds_of(action) for name, action in actions.items()} for _ in range(options.rounds)]
    print(f"{options.people} people per frame")
    print(f"{'settings':<18}{'frames/s':>10}{'by processor time':>20}{'goal':>8}")
    for name in actions:
        wall, processor = (len(frames) / min(times[name][clock] for times in rounds) for clock in (0, 1))
        print(f"{name:<18}{wall:>10.0f}{processor:>20.0f}{GOALS.get(name, ''):>8}")
    if options.record:
        bare = [times["assignment alone"][0] for times in rounds]
        for name in GOALS:
            seconds = [times[name][0] for times in rounds]
            key, speeds = f"tracker_speed.{name}", [len(frames) / value for value in seconds]
            record({f"{key}.speed": (speeds, "frames/s"), f"{key}.ratio": (ratios(bare, seconds), "times")})


if __name__ == "__main__":
    main()
