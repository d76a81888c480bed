"""Scores tracker settings on annotated poses without their identities, both exact and corrupted.

    python benchmarks/tracker_settings.py --annotations=../shared/data/posetrack18_mini/annotations_only

There are four kinds of input: the annotated poses and corrupted ones (see corrupted_poses.py), each at the frame rate
of the annotations (25 frames per second) and with every fourth frame only. The table shows MOTA (official, total) and
HOTA of Payer's tracker, and the gain of every other setting. The named settings were found with `--search=online` and
`--search=offline` on every other sequence with seed 0. The table uses the remaining sequences with other seeds;
`--sequences=all` uses all sequences.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from corrupted_poses import Corruption, corrupt_sequence

from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.poses import Poses
from tfpose.posetrack import PoseSequence, frame_from_poses, poses_from_frame, read_posetrack
from tfpose.tracking.settings import NAMED_SETTINGS, OFFLINE, ONLINE, PAYER2017, TrackerSettings
from tfpose.tracking.smoothing import NO_SMOOTHING, SmoothingSettings
from tfpose.tracking.tuning import format_trials, search_grid
from tfpose.tracking.video import track_video

SEARCH_SEEDS, TABLE_SEEDS = (0,), (1, 2, 3)
FRAME_STEPS = (1, 4)


@dataclasses.dataclass(frozen=True)
class Case:
    """An annotated sequence, and its people as the tracker receives them."""

    truth: PoseSequence
    frames: tuple[Poses, ...]


def read_sequences(folder: pathlib.Path) -> list[PoseSequence]:
    """Reads the annotated sequences of a folder, sorted by name."""
    paths = sorted(folder.rglob("*.json*"), key=lambda path: path.name)
    if not paths:
        raise SystemExit(f"--annotations must be a folder with PoseTrack files (*.json), got {folder} without any")
    return [read_posetrack(path) for path in paths]


def build_cases(sequences: Sequence[PoseSequence], seeds: Sequence[int]) -> dict[str, list[Case]]:
    """The four kinds of input; corrupted sequences once per seed."""
    cases: dict[str, list[Case]] = {}
    for step in FRAME_STEPS:
        thinned = [_every_nth_frame(sequence, step) for sequence in sequences]
        cases[f"exact/{step}"] = [Case(s, tuple(poses_from_frame(frame) for frame in s.frames)) for s in thinned]
        cases[f"noisy/{step}"] = [
            Case(s, tuple(corrupt_sequence(s, np.random.default_rng([seed, step, _number(s)]), Corruption())))
            for seed in seeds
            for s in thinned
        ]
    return cases


def _number(sequence: PoseSequence) -> int:
    return int(sequence.name.split("_")[0])


def _every_nth_frame(sequence: PoseSequence, step: int) -> PoseSequence:
    frames = (dataclasses.replace(frame, index=index) for index, frame in enumerate(sequence.frames[::step]))
    return dataclasses.replace(sequence, frames=tuple(frames))


def score_cases(cases: Sequence[Case], tracker: TrackerSettings, smoothing: SmoothingSettings) -> dict[str, float]:
    """MOTA, HOTA and AssA in percent, and switches per 100 objects, over all cases together."""
    predictions = [_track(case, tracker, smoothing) for case in cases]
    options = PoseTrackOptions(metrics=("mot", "hota"))
    metrics = evaluate_sequences([case.truth for case in cases], predictions, options).total
    counts = metrics.tracking.counts
    return {
        "MOTA": float(metrics.tracking.mota[-1]),
        "HOTA": float(metrics.hota["HOTA"][-1]),
        "AssA": float(metrics.hota["AssA"][-1]),
        "switches": 100 * float(counts.switches.sum() / counts.objects.sum()),
    }


def _track(case: Case, tracker: TrackerSettings, smoothing: SmoothingSettings) -> PoseSequence:
    tracked = track_video(case.frames, tracker, smoothing, case.truth.skeleton)
    frames = (
        frame_from_poses(frame.file_name, frame.index, poses, image_id=frame.image_id)
        for frame, poses in zip(case.truth.frames, tracked, strict=True)
    )
    return dataclasses.replace(case.truth, frames=tuple(frames))


def table_settings() -> dict[str, tuple[TrackerSettings, SmoothingSettings]]:
    """The settings in the table: Payer's tracker with one option changed at a time, and the named settings."""
    options = {
        "optimal matching": {"matching": "optimal"},
        "OKS > 0.05": {"similarity": "oks", "min_oks": 0.05},
        "IoU > 0.1": {"similarity": "iou", "min_iou": 0.1},
        "threshold 100 px": {"max_joint_distance_pixels": 100.0},
        "max age 3": {"max_age_frames": 3},
        "max age 20": {"max_age_frames": 20},
        "velocity": {"motion": "velocity", "velocity_memory": 0.8},
        "remembered joints": {"remember_joints": True},
        "age penalty 0.1": {"age_penalty_per_frame": 0.1},
        "joint score > 0.45": {"min_joint_score": 0.45, "min_joints": 1},
        "new track score 0.5": {"min_new_track_score": 0.5},
    }
    repairs = {
        "track of 6 frames": {"min_track_length_frames": 6},
        "no jumps of 0.25": {"max_jump": 0.25},
        "people gaps of 6": {"max_person_gap_frames": 6},
        "joint gaps of 2": {"max_joint_gap_frames": 2},
        "smoothed 0.5 frames": {"sigma_frames": 0.5},
    }
    rows = {name: (dataclasses.replace(PAYER2017, **option), NO_SMOOTHING) for name, option in options.items()}
    rows |= {name: (PAYER2017, SmoothingSettings(**repair)) for name, repair in repairs.items()}
    scores = {"min_joint_score": 0.45, "min_joints": 1, "min_new_track_score": 0.5}
    rows["both scores"] = dataclasses.replace(PAYER2017, **scores), NO_SMOOTHING
    rows["ONLINE, both scores"] = OFFLINE, NO_SMOOTHING
    return rows | {name.upper(): settings for name, settings in NAMED_SETTINGS.items() if name != "payer2017"}


def print_table(cases: Mapping[str, Sequence[Case]]) -> None:
    """Prints one line per setting: metrics of Payer's tracker, and the gains of the other settings."""
    print("MOTA and HOTA in percent of Payer's tracker, then the gain of each other setting.\n")
    print(" " * 22 + "".join(f"{name:>17}" for name in cases))
    print(" " * 22 + "".join(f"{'MOTA':>10}{'HOTA':>7}" for _ in cases))
    baseline = {name: score_cases(members, PAYER2017, NO_SMOOTHING) for name, members in cases.items()}
    print(f"{'PAYER2017':<22}" + "".join(f"{s['MOTA']:>10.2f}{s['HOTA']:>7.2f}" for s in baseline.values()))
    for row, settings in table_settings().items():
        line = f"{row:<22}"
        for name, members in cases.items():
            scores = score_cases(members, *settings)
            gains = [scores[measure] - baseline[name][measure] for measure in ("MOTA", "HOTA")]
            line += f"{gains[0]:>+10.2f}{gains[1]:>+7.2f}"
        print(line, flush=True)


ONLINE_GRID = {
    "similarity": ["joint_distance", "oks"],
    "matching": ["greedy", "optimal"],
    "max_joint_distance_pixels": [100.0, 200.0],
    "motion": ["none", "velocity"],
    "velocity_memory": [0.5, 0.8],
    "remember_joints": [False, True],
    "age_penalty_per_frame": [0.0, 0.1, 0.3],
}
OFFLINE_GRID = {
    "min_joint_score": [0.25, 0.35, 0.45],
    "min_new_track_score": [0.5, 0.6],
    "min_track_length_frames": [3, 6],
    "max_jump": [0.15, 0.25, 0.4],
    "max_person_gap_frames": [3, 6],
    "max_joint_gap_frames": [0, 2],
    "sigma_frames": [0.0, 0.5, 0.8],
}


def score_settings(
    settings: Mapping[str, object],
    cases: Mapping[str, Sequence[Case]],
    tracker: TrackerSettings,
    smoothing: SmoothingSettings,
) -> dict[str, float]:
    """Scores the base with some settings replaced; the means are over the kinds of input."""
    of_tracker = {field.name for field in dataclasses.fields(TrackerSettings)}
    tracker = dataclasses.replace(tracker, **{k: v for k, v in settings.items() if k in of_tracker})
    smoothing = dataclasses.replace(smoothing, **{k: v for k, v in settings.items() if k not in of_tracker})
    scores = [score_cases(members, tracker, smoothing) for members in cases.values()]
    means = {measure: float(np.mean([score[measure] for score in scores])) for measure in scores[0]}
    return means | {f"{name} MOTA": score["MOTA"] for name, score in zip(cases, scores, strict=True)}


def search(kind: str, cases: Mapping[str, Sequence[Case]], num_processes: int, max_rows: int) -> None:
    """Searches a grid by mean MOTA: online from Payer's tracker, offline from the online ones at full frame rate."""
    if kind == "online":
        base, grid = (PAYER2017, NO_SMOOTHING), ONLINE_GRID
    else:
        base, grid = (dataclasses.replace(ONLINE, min_joints=1), NO_SMOOTHING), OFFLINE_GRID
        cases = {name: members for name, members in cases.items() if name.endswith("/1")}
    score = functools.partial(score_settings, cases=cases, tracker=base[0], smoothing=base[1])
    trials = search_grid(score, grid, "MOTA", num_processes)
    print(format_trials(trials, max_rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or the result of the search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=pathlib.Path, required=True, help="folder of annotated PoseTrack files")
    parser.add_argument(
        "--search", choices=["online", "offline"], help="run a grid search instead of printing the table"
    )
    parser.add_argument("--sequences", choices=["held_out", "all"], default="held_out", help="sequences of the table")
    parser.add_argument("--num_processes", type=int, default=1, help="number of processes of the search")
    parser.add_argument("--rows", type=int, default=20, help="number of best results that the search prints")
    options = parser.parse_args(arguments)
    sequences = read_sequences(options.annotations)
    if options.search:
        search(options.search, build_cases(sequences[::2], SEARCH_SEEDS), options.num_processes, options.rows)
        return
    selected = sequences if options.sequences == "all" else sequences[1::2]
    print(f"{len(selected)} sequences, {sum(len(s.frames) for s in selected)} frames, seeds {TABLE_SEEDS}")
    print_table(build_cases(selected, TABLE_SEEDS))


if __name__ == "__main__":
    sys.exit(main())
