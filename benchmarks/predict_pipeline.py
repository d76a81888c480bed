"""Compares the speed of `tfpose.predict` without its network to that of bare decoding and encoding.

    python benchmarks/predict_pipeline.py [--video=FILE]

Four programs run in turn in one process, on the same video of 1280x720 pixels, for several rounds. Their medians are
compared:
- tfpose: `predict_source` with a model that returns given people: it decodes, tracks, draws skeletons, ids and trails,
  encodes, and writes the poses;
- same codec: PyAV's decoder, H.264 encoder with the settings of tfpose, and conversions of colors, in a loop;
- bare: OpenCV's VideoCapture and VideoWriter in a loop;
- bare, overlapped: the same with the decoding in a thread of its own.

The processor time of a frame is printed too, since other load on the machine lowers the frame rate. Two cores can
process at most twice as many frames as one core.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import av
import cv2
import numpy as np
from results_file import RECORD_HELP, ratios, record

from tfpose.boxes import around_keypoints
from tfpose.poses import Poses
from tfpose.prediction.background import Background
from tfpose.prediction.run import PredictionSettings, predict_source
from tfpose.prediction.sources import Video
from tfpose.skeletons import COCO17
from tfpose.tracking.choice import TrackerChoice

GOAL_FRAMES_PER_SECOND = 100
SIZE = (720, 1280)
# Joints of a person 300 pixels high, in the order of COCO: from the nose to the ankles.
_BODY = np.array(
    [
        *[(0, 0), (8, -8), (-8, -8), (18, -4), (-18, -4), (40, 45), (-40, 45), (60, 105), (-60, 105)],
        *[(70, 160), (-70, 160), (28, 150), (-28, 150), (32, 215), (-32, 215), (34, 280), (-34, 280)],
    ],
    float,
)


def write_video(path: pathlib.Path, num_frames: int, picture: np.ndarray | None) -> None:
    """Writes the video of a camera that pans over a picture; None makes up a picture."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    if picture is None:
        picture = cv2.resize(rng.integers(0, 256, (24, 42, 3), dtype=np.uint8), (width, height))
        picture = cv2.add(picture, rng.integers(0, 12, picture.shape, dtype=np.uint8))
    picture = cv2.resize(picture, (width + 2 * num_frames, height))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (width, height))
    for index in range(num_frames):
        writer.write(np.ascontiguousarray(picture[:, 2 * index : 2 * index + width]))
    writer.release()


def people_of_frame(index: int, num_people: int) -> Poses:
    """People side by side who walk to the right; some joints have low scores."""
    rng = np.random.default_rng(index)
    places = np.linspace(100, SIZE[1] - 200, num_people) + 2 * (index % 50)
    keypoints = _BODY + np.stack([places, np.full(num_people, 200.0)], axis=1)[:, None]
    keypoints = keypoints + rng.normal(0, 1.5, keypoints.shape)
    scores = rng.uniform(0.3, 1, keypoints.shape[:2])
    boxes = around_keypoints(keypoints, scores > 0)
    return Poses(keypoints, scores, scores.mean(axis=1), boxes, np.full(num_people, -1))


def build_tfpose(video: pathlib.Path, folder: pathlib.Path, num_people: int, batch_size: int) -> Callable[[], int]:
    """The pipeline with given poses instead of a network."""
    poses = [people_of_frame(index, num_people) for index in range(200)]

    def run() -> int:
        upcoming = itertools.cycle(poses)

        def predict(images: Sequence[np.ndarray]) -> list[Poses]:
            return [next(upcoming) for _ in images]

        settings = PredictionSettings(folder, batch_size=batch_size, tracker=TrackerChoice(), should_keep_sound=False)
        return predict_source(Video("tfpose", str(video)), predict, COCO17, settings).num_frames

    return run


def build_bare(video: pathlib.Path, output: pathlib.Path, is_overlapped: bool) -> Callable[[], int]:
    """Decoding and encoding alone."""

    def read() -> Iterator[np.ndarray]:
        capture = cv2.VideoCapture(str(video))
        while (found := capture.read())[0]:
            yield found[1]

    def write(frames: Iterable[np.ndarray]) -> int:
        writer = cv2.VideoWriter(str(output), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE[::-1])
        count = 0
        for frame in frames:
            writer.write(frame)
            count += 1
        writer.release()
        return count

    def run() -> int:
        if not is_overlapped:
            return write(read())
        with Background(read(), 4) as frames:
            return write(frames)

    return run


def build_same_codec(video: pathlib.Path, output: pathlib.Path) -> Callable[[], int]:
    """Decoding to RGB and encoding alone, by PyAV with the settings of tfpose."""

    def run() -> int:
        count = 0
        with av.open(str(video)) as source, av.open(str(output), "w") as target:
            stream = target.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "23"})
            stream.width, stream.height, stream.pix_fmt = *SIZE[::-1], "yuv420p"
            for frame in source.decode(video=0):
                image = frame.to_ndarray(format="rgb24")
                converted = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                target.mux(stream.encode(converted))
                count += 1
            target.mux(stream.encode(None))
        return count

    return run


def main() -> None:
    """Times the programs and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", help="video whose first frame the camera pans over; default: a made-up picture")
    parser.add_argument("--frames", type=int, default=300, help="number of frames")
    parser.add_argument("--people", type=int, default=5, help="number of people in a frame")
    parser.add_argument("--batch_size", type=int, default=4, help="number of images in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        picture = cv2.VideoCapture(options.video).read()[1] if options.video else None
        write_video(folder / "video.mp4", options.frames, picture)
        programs = {
            "tfpose": build_tfpose(folder / "video.mp4", folder, options.people, options.batch_size),
            "same codec": build_same_codec(folder / "video.mp4", folder / "same.mp4"),
            "bare": build_bare(folder / "video.mp4", folder / "bare.mp4", False),
            "bare, overlapped": build_bare(folder / "video.mp4", folder / "bare.mp4", True),
        }
        times = time_in_turns(programs, options.rounds, options.frames)
    seconds = {name: tuple(map(statistics.median, zip(*of, strict=True))) for name, of in times.items()}
    print(f"{options.frames} frames of {SIZE[1]} x {SIZE[0]}, {options.people} people in each")
    print(f"{'program':<20}{'frames/s':>10}{'processor ms per frame':>26}")
    for program, (wall, processor) in seconds.items():
        print(f"{program:<20}{1 / wall:>10.0f}{1000 * processor:>26.2f}")
    for program in ("same codec", "bare", "bare, overlapped"):
        walls, processors = (seconds[program][i] / seconds["tfpose"][i] for i in (0, 1))
        print(f"tfpose against {program}: {walls:.2f} elapsed, {processors:.2f} by processor time")
    print(f"goal: {GOAL_FRAMES_PER_SECOND} frames/s on two cores, so at most 20 ms of processor time for a frame")
    if options.record:
        ours, same_codec, bare = ([1 / wall for wall, _ in times[name]] for name in ("tfpose", "same codec", "bare"))
        measured = {
            "tfpose": (ours, "frames/s"),
            "same_codec": (same_codec, "frames/s"),
            "ratio_to_same_codec": (ratios(ours, same_codec), "times"),
            "bare": (bare, "frames/s"),
            "ratio": (ratios(ours, bare), "times"),
        }
        record({f"predict_pipeline.{options.people}_people.{name}": of for name, of in measured.items()})


def time_in_turns(
    programs: dict[str, Callable[[], int]], num_rounds: int, num_frames: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds per frame of each round, elapsed and of the processor."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for round_number in range(num_rounds + 1):
        for name, run in programs.items():
            starts = time.perf_counter(), time.process_time()
            found = run()
            if found != num_frames:
                raise ValueError(f"{name}: number of frames must be {num_frames}, got {found}")
            if round_number:  # the first round warms up
                spent = time.perf_counter() - starts[0], time.process_time() - starts[1]
                times[name].append((spent[0] / num_frames, spent[1] / num_frames))
    return times


if __name__ == "__main__":
    main()
