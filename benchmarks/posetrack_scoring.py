"""Times the scoring of as many predictions as PoseTrack's validation set needs, from files to metrics.json.

    python benchmarks/posetrack_scoring.py --format=2018 --num_processes=2

The benchmark writes 50 sequences of 46 frames with about 14,000 predicted people (noise, misses, duplicates, phantoms,
changing tracks, ignore regions). It scores AP and MOT, and in the format of 2018 HOTA too, with `tfpose score`, and AP
and MOT with the library alone. Each runs in a new Python process, and the start of the process is included. For
comparison it imports what scoring imports, and parses the same files with the `json` module. The programs run in turn
several times, and the fastest rounds are compared, because other load only adds time. The processor time of all
processes is reported too. The last line splits the processor time of a single process into its parts.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from results_file import RECORD_HELP, ratios, record

from tfpose.posetrack import PoseSequence, build_frame, write_posetrack17, write_posetrack18
from tfpose.skeletons import POSETRACK15

_NUM_SEQUENCES = 50
_NUM_FRAMES = 46
_PROGRAM, _PROGRAM_WITH_HOTA = "tfpose score", "tfpose score with HOTA"
_GOAL_SECONDS = {_PROGRAM: 0.35, _PROGRAM_WITH_HOTA: 0.8}
_START = "import tfpose.console, tfpose.score, tfpose.evaluation.scoring"
_SCORE = """
import pathlib, sys
from tfpose.json_files import write_json
from tfpose.metrics.posetrack import evaluate_posetrack
ground_truth, predictions, output, num_processes = sys.argv[1:]
report = evaluate_posetrack(ground_truth, predictions, num_processes=int(num_processes))
write_json(output, report.to_dict())
"""
_PARSE = """
import json, pathlib, sys, time
paths = [path for folder in sys.argv[1:3] for path in pathlib.Path(folder).iterdir()]
start = time.perf_counter(), time.process_time()
for path in paths:
    json.loads(path.read_bytes())
print(time.perf_counter() - start[0], time.process_time() - start[1])
"""
_SPLIT = """
import time
start = time.process_time()
import json, sys
from tfpose.metrics import posetrack
times = {"import": time.process_time() - start}

def timed(name, function):
    def run(*args, **kwargs):
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            times[name] = times.get(name, 0) + time.process_time() - start
    return run

names = {"read_json": "parse", "_score_files": "files", "_count": "score", "_report": "AP and totals"}
for name, label in names.items():
    setattr(posetrack, name, timed(label, getattr(posetrack, name)))
posetrack.evaluate_posetrack(*sys.argv[1:3], num_processes=1)
times["to arrays and select"] = times.pop("files") - times["parse"] - times["score"]
print(json.dumps(times))
"""


def make_sequence(rng: np.random.Generator, number: int) -> tuple[PoseSequence, PoseSequence]:
    """Ground truth and predictions of one video."""
    name = f"{number:06d}_mpii_test"
    num_people, num_joints = int(rng.integers(3, 9)), POSETRACK15.num_joints
    poses = rng.uniform(100, 1000, (num_people, 1, 2)) + rng.normal(0, 50, (num_people, num_joints, 2))
    velocities = rng.normal(0, 3, (num_people, 1, 2))
    tracks = np.arange(num_people)
    true_frames, predicted_frames = [], []
    for index in range(_NUM_FRAMES):
        poses = poses + velocities + rng.normal(0, 1, velocities.shape)
        shared = {"file_name": f"images/val/{name}/{index:06d}.jpg", "index": index, "image_id": 10**10 + index}
        shared["image_id"] += number * 10**4
        true_frames.append(_true_frame(rng, poses, shared))
        changes = rng.random(num_people) < 0.02
        tracks = np.where(changes, 100 + 10 * index + np.arange(num_people), tracks)
        predicted_frames.append(_predicted_frame(rng, poses, tracks, shared))
    path = pathlib.Path(f"{name}.json")
    return tuple(PoseSequence(name, POSETRACK15, tuple(f), path) for f in (true_frames, predicted_frames))


def _true_frame(rng: np.random.Generator, poses: np.ndarray, shared: dict) -> object:
    heads = poses.mean(axis=1) + rng.normal(0, 1, (len(poses), 2))
    regions = [rng.uniform(0, 1000, (1, 2)) + rng.uniform(0, 80, (8, 2)) for _ in range(rng.integers(0, 4))]
    return build_frame(
        keypoints=poses.round(2),
        visibility=2 * (rng.random(poses.shape[:2]) < 0.85),
        track_ids=np.arange(len(poses)),
        head_boxes=np.concatenate([heads, heads + rng.uniform(25, 45, heads.shape)], axis=1).round(2),
        ignore_regions=tuple(region.round(2) for region in regions),
        **shared,
    )


def _predicted_frame(rng: np.random.Generator, poses: np.ndarray, tracks: np.ndarray, shared: dict) -> object:
    found = np.flatnonzero(rng.random(len(poses)) < 0.9)
    again = found[rng.random(len(found)) < 0.08]
    people = np.concatenate([found, again])
    keypoints = poses[people] + rng.normal(0, 7, (len(people), *poses.shape[1:]))
    num_phantoms = int(rng.random() < 0.6) + int(rng.random() < 0.1)
    phantoms = rng.uniform(100, 1000, (num_phantoms, 1, 2)) + rng.normal(0, 50, (num_phantoms, *poses.shape[1:]))
    keypoints = np.concatenate([keypoints, phantoms])
    extra_tracks = 5000 + np.arange(len(again) + num_phantoms) + 20 * shared["index"]
    return build_frame(
        keypoints=keypoints,
        visibility=2 * (rng.random(keypoints.shape[:2]) < 0.95),
        track_ids=np.concatenate([tracks[found], extra_tracks]),
        joint_scores=rng.uniform(0, 1, keypoints.shape[:2]),
        **shared,
    )


def write_data(folder: pathlib.Path, file_format: str) -> tuple[int, int]:
    """Writes `gt` and `pred`; returns the number of predicted people and of bytes."""
    rng = np.random.default_rng(0)
    write = {"2017": write_posetrack17, "2018": write_posetrack18}[file_format]
    num_people = 0
    for number in range(1, _NUM_SEQUENCES + 1):
        for side, sequence in zip(("gt", "pred"), make_sequence(rng, number), strict=True):
            write(folder / side / f"{sequence.name}.json", sequence)
        num_people += sum(frame.num_people for frame in sequence.frames)
    return num_people, sum(path.stat().st_size for path in folder.rglob("*.json"))


def run_python(*arguments: object) -> tuple[float, float, str]:
    """Wall and processor seconds of a fresh interpreter, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Makes the data, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=("2017", "2018"), default="2018", help="year of the file format")
    parser.add_argument("--num_processes", type=int, default=2, help="number of processes that score")
    parser.add_argument("--num_rounds", type=int, default=7, help="number of rounds")
    parser.add_argument("--record", action="store_true", help=RECORD_HELP)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        num_people, num_bytes = write_data(folder, flags.format)
        frames = _NUM_SEQUENCES * _NUM_FRAMES
        print(f"{_NUM_SEQUENCES} sequences, {frames} frames, {num_people} predicted people, {num_bytes / 1e6:.0f} MB")
        times = run_in_turn(folder, flags)
        split = json.loads(run_python("-c", _SPLIT, folder / "gt", folder / "pred")[2])
    print(f"fastest of {flags.num_rounds} rounds, {flags.num_processes} process(es):")
    print(f"{'program':<28}{'seconds':>10}{'processor':>12}{'times parsing':>16}{'goal':>8}")
    for name, rounds in times.items():
        wall, processor = (min(seconds) for seconds in zip(*rounds, strict=True))
        ratio = wall / min(seconds for seconds, _ in times["parsing the JSON alone"])
        print(f"{name:<28}{wall:>10.2f}{processor:>12.2f}{ratio:>16.2f}{_GOAL_SECONDS.get(name, ''):>8}")
    print("processor seconds in one process:", ", ".join(f"{name} {value:.2f}" for name, value in split.items()))
    if flags.record:
        record_times(times, f"posetrack_scoring.{flags.format}", flags.num_processes)


def run_in_turn(folder: pathlib.Path, flags: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each round of each program."""
    folders = folder / "gt", folder / "pred"
    command = ["-m", "tfpose", "score", f"--ground_truth={folders[0]}", f"--predictions={folders[1]}"]
    command += [f"--output_dir={folder / 'scores'}", f"--num_processes={flags.num_processes}"]
    programs = {_PROGRAM: command}
    if flags.format == "2018":
        programs[_PROGRAM_WITH_HOTA] = [*command, "--metrics=ap,mot,hota"]
    programs["the library"] = ["-c", _SCORE, *folders, folder / "metrics.json", flags.num_processes]
    programs["the start of the process"] = ["-c", _START]
    programs["parsing the JSON alone"] = ["-c", _PARSE, *folders]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(flags.num_rounds):
        for name, words in programs.items():
            wall, processor, printed = run_python(*words)
            if words[1] is _PARSE:
                wall, processor = map(float, printed.split())
            times[name].append((wall, processor))
    return times


def record_times(times: dict[str, list[tuple[float, float]]], prefix: str, num_processes: int) -> None:
    """Records the wall seconds."""
    walls = {name: [wall for wall, _ in rounds] for name, rounds in times.items()}
    parsing = walls["parsing the JSON alone"]
    measured = {
        f"{prefix}.{num_processes}_processes": (walls[_PROGRAM], "s"),
        f"{prefix}.start": (walls["the start of the process"], "s"),
        f"{prefix}.parsing": (parsing, "s"),
        f"{prefix}.ratio": (ratios(walls[_PROGRAM], parsing), "times"),
    }
    if _PROGRAM_WITH_HOTA in walls:
        measured[f"{prefix}.hota.{num_processes}_processes"] = (walls[_PROGRAM_WITH_HOTA], "s")
        measured[f"{prefix}.hota.ratio"] = (ratios(walls[_PROGRAM_WITH_HOTA], parsing), "times")
    record(measured)


if __name__ == "__main__":
    main()
