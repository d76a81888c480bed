"""Measures `tfpose predict` with the small public system on a video of 1280x720: frames per second, and the start.

    python benchmarks/predict_speed.py --video=CLIP

The frames of the clip, which should show five people, are repeated in a short and in a long video. The difference of
both times is the time of the frames between, without the start of the program. Everything is included: decoding, the
detector on every frame, poses, tracking, drawing, encoding and the other files.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
from results_file import RECORD_HELP, record

SIZE = (1280, 720)
SHORT, LONG = 20, 220
FRAMES_PER_SECOND = 25


def write_video(clip: pathlib.Path, path: pathlib.Path, num_frames: int) -> None:
    """Writes a video that repeats the frames of a clip, stretched to 1280x720."""
    source, frames = cv2.VideoCapture(str(clip)), []
    while len(frames) < num_frames:
        is_frame, frame = source.read()
        if not is_frame:
            break
        frames.append(cv2.resize(frame, SIZE))
    if not frames:
        raise SystemExit(f"{clip}: has no frame that OpenCV can read")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, SIZE)
    for index in range(num_frames):
        writer.write(frames[index % len(frames)])
    writer.release()


def time_predict(video: pathlib.Path, output: pathlib.Path) -> float:
    """Runs the program once; returns the seconds."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    command = [sys.executable, "-m", "tfpose", "predict", str(video), f"--output={output}"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    return time.perf_counter() - start


def main() -> None:
    """Prints the seconds of both videos in each round, and the frames per second between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=pathlib.Path, required=True, help="A clip with about five people.")
    parser.add_argument("--rounds", type=int, default=5, help="Number of rounds.")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    arguments = parser.parse_args()
    rates, starts = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        videos = {num: folder / f"{num}.mp4" for num in (SHORT, LONG)}
        for num, path in videos.items():
            write_video(arguments.video, path, num)
        time_predict(videos[SHORT], folder / "results")
        for _ in range(arguments.rounds):
            seconds = {num: time_predict(path, folder / "results") for num, path in videos.items()}
            rates.append((LONG - SHORT) / (seconds[LONG] - seconds[SHORT]))
            starts.append(seconds[SHORT] - SHORT / rates[-1])
            print(f"{rates[-1]:.1f} frames/s after a start of {starts[-1]:.1f} s")
    print(f"median {statistics.median(rates):.1f} frames/s, best {max(rates):.1f}")
    if arguments.record:
        record({"predict_speed.rate": (rates, "frames/s"), "predict_speed.start": (starts, "s")})


if __name__ == "__main__":
    main()
