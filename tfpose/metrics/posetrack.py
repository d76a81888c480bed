"""The official figures of PoseTrack 2017, 2018 and PoseTrack21, from files or from sequences in memory. NumPy only.

`evaluate_posetrack` reads two folders and returns every figure. AP and MOTA are those of poseval
(github.com/leonid-pishchulin/poseval under py-motmetrics 1.4), HOTA and the pose mAP those of PoseTrack21's evaluator
(github.com/anDoer/PoseTrack21); their oddities included, unless an option says otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import read_json
from tfpose.metrics import hota
from tfpose.metrics.average_precision import (
    JointAveragePrecision,
    JointSamples,
    TieRule,
    join_samples,
    joint_average_precision,
)
from tfpose.metrics.matching import People, assign_poses, correct_joints, find_near_joints
from tfpose.metrics.posetrack_metrics import (
    FROM_JOINTS,
    NUM_JOINTS,
    PoseTrackMetrics,
    PoseTrackReport,
)
from tfpose.metrics.posetrack_selection import SelectedPeople, select_people, select_people21
from tfpose.metrics.tracking import (
    CLEAN_RULES,
    OFFICIAL_RULES,
    TrackingCounts,
    TrackingMetrics,
    count_tracking,
    join_counts,
    tracking_metrics,
)
from tfpose.posetrack.columns import PersonColumns, columns_from_sequence
from tfpose.posetrack.evaluated_columns import columns21_from_content, columns_from_content
from tfpose.posetrack.sequences import PoseSequence
from tfpose.processes import choose_num_processes, map_forked

METRICS = ("ap", "mot", "hota")
# Sequences of one task at most: many share the work per frame, but all of their people are in memory.
_SEQUENCES_PER_TASK = 32
# A process per so many bytes of files; fewer are not worth starting one.
_BYTES_PER_PROCESS = 1 << 20


@dataclasses.dataclass(frozen=True)
class PoseTrackOptions:
    """What to compute; the defaults are the official figures.

    Attributes:
        metrics: any of "ap", "mot" and "hota" (PoseTrack21's HOTA and pose mAP; 2018-format files only).
        has_clean_metrics: compute, beside the official figures, those without poseval's dropped last frame and its
            stand-in for frames without true or predicted people, and without the repeated count of frames without
            predictions in PoseTrack21's HOTA. Labeled frames without true people, at which PoseTrack21's evaluator
            stops, are then taken.
        tie_rule: order of equal scores for AP.
    """

    metrics: Sequence[str] = ("ap", "mot")
    has_clean_metrics: bool = False
    tie_rule: TieRule = "stable"

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            raise ValueError(f"metrics must be some of {', '.join(METRICS)}, got {', '.join(self.metrics) or 'none'}")
        if self.tie_rule not in ("stable", "best", "worst"):
            raise ValueError(f"tie_rule must be 'stable', 'best' or 'worst', got {self.tie_rule!r}")


def evaluate_posetrack(
    ground_truth: str | pathlib.Path,
    predictions: str | pathlib.Path,
    options: PoseTrackOptions = PoseTrackOptions(),  # noqa: B008 (immutable)
    per_sequence: bool = False,
    num_processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PoseTrackReport:
    """Scores a folder of prediction files against a folder of ground truth.

    Files are taken in the order of their names; each file of the ground truth needs one of the same name (either may
    be compressed, `.json.gz`); others among the predictions are not looked at.

    Args:
        ground_truth: folder.
        predictions: folder.
        options: what to compute.
        per_sequence: also compute the figures of each sequence alone.
        num_processes: None takes as many as there are cores, as far as the files are worth it. Only one is used in
            programs that run threads or TensorFlow, which must not be forked.
        progress: called with the number of sequences done and their total.

    Raises:
        FileNotFoundError: a folder or a prediction file is missing.
        ValueError: a file is not as the official tools want it; names file, frame, person and field.
    """
    pairs = pair_files(ground_truth, predictions)
    processes = _num_processes(pairs, num_processes)
    # Two for each process, so that one slow sequence does not leave the others idle for long.
    size = min(_SEQUENCES_PER_TASK, math.ceil(len(pairs) / (2 * processes)))
    tasks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    score = functools.partial(_score_files, options=options)
    parts, done = [], 0
    for part, task in zip(map_forked(score, tasks, processes), tasks, strict=True):
        parts.append(part)
        done += len(task)
        if progress is not None:
            progress(done, len(pairs))
    return _report(ground_truth, parts, options, per_sequence)


def evaluate_sequences(
    ground_truth: Sequence[PoseSequence],
    predictions: Sequence[PoseSequence],
    options: PoseTrackOptions = PoseTrackOptions(),  # noqa: B008 (immutable)
    per_sequence: bool = False,
) -> PoseTrackReport:
    """Scores sequences in memory, paired by place, by poseval's rules: what a search over trackers needs.

    HOTA is computed on poseval's joints and frames, which are those of PoseTrack21 on files that both take, except for
    joints with a coordinate of 0 or less.

    Raises:
        ValueError: as `evaluate_posetrack`.
    """
    selected = [
        select_people(columns_from_sequence(true, True), columns_from_sequence(predicted, False))
        for true, predicted in zip(ground_truth, predictions, strict=True)
    ]
    return _report("sequences", [_score(selected, selected, options)], options, per_sequence)


def pair_files(
    ground_truth: str | pathlib.Path, predictions: str | pathlib.Path
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """The files of the ground truth in the order of their names, each with its prediction file.

    Raises:
        FileNotFoundError: a folder has no JSON files or is none; a prediction file is missing.
        ValueError: a sequence is there twice, compressed and not.
    """
    folders = pathlib.Path(ground_truth), pathlib.Path(predictions)
    for name, folder in zip(("ground truth", "predictions"), folders, strict=True):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: the folder of the {name} is not there")
    true_files, predicted_files = (find_sequence_files(folder) for folder in folders)
    if not true_files:
        raise FileNotFoundError(f"{folders[0]}: should hold the ground truth, one *.json file per sequence; found none")
    missing = [name for name in true_files if name not in predicted_files]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{folders[1] / missing[0]}: prediction file not found{more}; expected one for each ground-truth file"
        )
    return [(true_files[name], predicted_files[name]) for name in sorted(true_files)]


def find_sequence_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The JSON files of a folder by name without `.gz`, in the order of their names.

    Raises:
        ValueError: a sequence is there twice, compressed and not.
    """
    files: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.endswith(".json") and not name.startswith("."):
            if name in files:
                raise ValueError(f"{path}: the same sequence is also in {files[name].name}; expected one of them")
            files[name] = path
    return files


def _num_processes(pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], wanted: int | None) -> int:
    size = sum(path.stat().st_size for pair in pairs for path in pair)
    return choose_num_processes(wanted, min(math.ceil(size / _BYTES_PER_PROCESS), len(pairs)))


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a group of sequences contributes, each at its place; lists are empty for what was not asked for."""

    names: list[str]
    num_frames: list[int]
    samples: list[JointSamples]
    tracking: TrackingCounts | None
    clean_tracking: TrackingCounts | None
    samples21: list[JointSamples]
    hota: list[hota.HotaParts]
    clean_hota: list[hota.HotaParts]


def _score_files(pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], options: PoseTrackOptions) -> _Part:
    selected, selected21 = [], []
    was_collecting = gc.isenabled()
    # JSON has no cycles to look for, and looking for them takes a third of the time of parsing.
    gc.disable()
    try:
        for paths in pairs:
            contents = [read_json(path) for path in paths]
            if "ap" in options.metrics or "mot" in options.metrics:
                columns = _read_pair(columns_from_content, paths, contents)
                selected.append(select_people(*columns))
            if "hota" in options.metrics:
                columns = _read_pair(columns21_from_content, paths, contents)
                selected21.append(select_people21(*columns, options.has_clean_metrics))
            del contents
    finally:
        if was_collecting:
            gc.enable()
    return _score(selected, selected21, options)


def _read_pair(read: Callable[..., PersonColumns], paths: Sequence[pathlib.Path], contents: Sequence[Any]) -> tuple:
    true, predicted = read(paths[0], contents[0], True), read(paths[1], contents[1], False)
    return true, predicted


def _score(
    selected: Sequence[SelectedPeople], selected21: Sequence[SelectedPeople], options: PoseTrackOptions
) -> _Part:
    """Scores sequences together, and PoseTrack21's selection of the same sequences."""
    selected21 = selected21 if "hota" in options.metrics else []
    samples, counts = _score_poseval(selected, options) if selected else ([], {})
    named = selected or selected21
    return _Part(
        names=[sequence.name for sequence in named],
        num_frames=[sequence.num_frames for sequence in named],
        samples=samples if "ap" in options.metrics else [],
        tracking=counts.get("official"),
        clean_tracking=counts.get("clean"),
        samples21=[_samples(sequence.true, sequence.predicted) for sequence in selected21],
        hota=[hota.hota_parts(s.true, s.predicted, s.num_frames) for s in selected21],
        clean_hota=[hota.hota_parts(s.true, s.predicted, s.num_frames, repeats_empty_frames=False) for s in selected21]
        if options.has_clean_metrics
        else [],
    )


def _score_poseval(
    selected: Sequence[SelectedPeople], options: PoseTrackOptions
) -> tuple[list[JointSamples], dict[str, TrackingCounts]]:
    num_frames = [sequence.num_frames for sequence in selected]
    frame_sequences = np.repeat(np.arange(len(selected)), num_frames)
    first_frames = np.cumsum(num_frames) - num_frames
    true = _join_people([sequence.true for sequence in selected], first_frames)
    predicted = _join_people([sequence.predicted for sequence in selected], first_frames)
    near = find_near_joints(true, predicted)
    assigned = assign_poses(near, len(true))
    is_correct = correct_joints(near, assigned, NUM_JOINTS)
    ends = np.cumsum([len(sequence.predicted) for sequence in selected])
    samples = [
        JointSamples(s.predicted.scores, s.predicted.has_joint, correct, s.true.has_joint.sum(axis=0))
        for s, correct in zip(selected, np.split(is_correct, ends[:-1]), strict=True)
    ]
    rules = {"official": OFFICIAL_RULES} | ({"clean": CLEAN_RULES} if options.has_clean_metrics else {})
    counts = {
        name: count_tracking(true, predicted, near, frame_sequences, len(selected), rule)
        for name, rule in (rules if "mot" in options.metrics else {}).items()
    }
    return samples, counts


def _join_people(parts: Sequence[People], first_frames: np.ndarray) -> People:
    columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(People)}
    columns["frames"] = np.concatenate([p.frames + first for p, first in zip(parts, first_frames, strict=True)])
    return People(**columns)


def _samples(true: People, predicted: People) -> JointSamples:
    near = find_near_joints(true, predicted)
    is_correct = correct_joints(near, assign_poses(near, len(true)), NUM_JOINTS)
    return JointSamples(predicted.scores, predicted.has_joint, is_correct, true.has_joint.sum(axis=0))


def _report(
    source: str | pathlib.Path, parts: Sequence[_Part], options: PoseTrackOptions, per_sequence: bool
) -> PoseTrackReport:
    names = [name for part in parts for name in part.names]
    num_frames = [number for part in parts for number in part.num_frames]
    evaluated = [index for index, number in enumerate(num_frames) if number]
    if not evaluated:
        rule = "is labeled" if tuple(options.metrics) == ("hota",) else "has people"
        raise ValueError(f"{source}: there is nothing to evaluate, since no frame of the ground truth {rule}")
    everything = _Part(
        names=names,
        num_frames=num_frames,
        samples=[s for part in parts for s in part.samples],
        tracking=_join_if_any([part.tracking for part in parts]),
        clean_tracking=_join_if_any([part.clean_tracking for part in parts]),
        samples21=[s for part in parts for s in part.samples21],
        hota=[h for part in parts for h in part.hota],
        clean_hota=[h for part in parts for h in part.clean_hota],
    )
    alone = evaluated if per_sequence else ()
    return PoseTrackReport(
        total=_figures(everything, evaluated, options),
        num_sequences=len(evaluated),
        sequences={names[index]: _figures(everything, [index], options, is_single_sequence=True) for index in alone},
        samples=join_samples(everything.samples) if everything.samples else None,
        single_frame_sequences=tuple(name for name, number in zip(names, num_frames, strict=True) if number == 1)
        if "mot" in options.metrics
        else (),
    )


def _join_if_any(counts: Sequence[TrackingCounts | None]) -> TrackingCounts | None:
    known = [count for count in counts if count is not None]
    return join_counts(known) if known else None


def _figures(
    part: _Part, indices: Sequence[int], options: PoseTrackOptions, is_single_sequence: bool = False
) -> PoseTrackMetrics:
    """The figures of some of the sequences together."""

    def average_precision(samples: Sequence[JointSamples], **rules: bool) -> JointAveragePrecision | None:
        wanted = [samples[index] for index in indices] if samples else []
        return joint_average_precision(join_samples(wanted), options.tie_rule, **rules) if wanted else None

    def tracking(counts: TrackingCounts | None) -> TrackingMetrics | None:
        return None if counts is None else tracking_metrics(counts.select(np.asarray(indices)).sum())

    def hota_metrics(parts: Sequence[hota.HotaParts]) -> dict[str, np.ndarray] | None:
        wanted = [parts[index] for index in indices] if parts else []
        if not wanted:
            return None
        joined = wanted[0] if is_single_sequence else hota.join_parts(wanted)
        figures = hota.hota_metrics(joined, is_single_sequence)
        return {name: _in_order21(values) for name, values in figures.items()}

    return PoseTrackMetrics(
        num_frames=int(sum(part.num_frames[index] for index in indices)),
        average_precision=average_precision(part.samples),
        tracking=tracking(part.tracking),
        clean_tracking=tracking(part.clean_tracking),
        hota=hota_metrics(part.hota),
        clean_hota=hota_metrics(part.clean_hota),
        pose_map=_pose_map_in_order(average_precision(part.samples21, counts_joints_without_truth=True)),
    )


def _in_order21(values: np.ndarray) -> np.ndarray:
    """[15] or [16] figures of `JOINTS` in the order of `JOINTS21`; a total stays last."""
    return np.concatenate([values[FROM_JOINTS], values[NUM_JOINTS:]])


def _pose_map_in_order(figures: JointAveragePrecision | None) -> JointAveragePrecision | None:
    if figures is None:
        return None
    return JointAveragePrecision(
        **{field.name: _in_order21(getattr(figures, field.name)) for field in dataclasses.fields(figures)}
    )
