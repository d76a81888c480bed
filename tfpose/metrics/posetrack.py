"""The official figures of PoseTrack 2017, 2018 and PoseTrack21, from files or from sequences in memory. NumPy only.

`evaluate_posetrack` reads two folders and returns every figure. AP and MOTA are those of poseval
(github.com/leonid-pishchulin/poseval under py-motmetrics 1.4), HOTA and the pose mAP those of PoseTrack21's evaluator
(github.com/anDoer/PoseTrack21); their oddities included, unless an option says otherwise.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import read_json
from tfpose.metrics import hota, ignore_regions
from tfpose.metrics.average_precision import (
    JointAveragePrecision,
    JointSamples,
    TieRule,
    join_samples,
    joint_average_precision,
)
from tfpose.metrics.matching import People, assign_poses, correct_joints, find_near_joints, head_sizes
from tfpose.metrics.tracking import (
    CLEAN_RULES,
    OFFICIAL_RULES,
    TrackingCounts,
    TrackingFigures,
    count_tracking,
    join_counts,
    tracking_figures,
)
from tfpose.posetrack.columns import PersonColumns, columns_from_sequence
from tfpose.posetrack.evaluated_columns import columns21_from_content, columns_from_content
from tfpose.posetrack.sequences import JOINTS_BY_NUMBER, NO_TRACK_ID, PoseSequence
from tfpose.skeletons import POSETRACK18

# As in published figures, where the joint at the neck is called so.
JOINTS = tuple("neck" if joint == "head_bottom" else joint for joint in JOINTS_BY_NUMBER)
# The order of PoseTrack21's figures: that of its files without the ears.
JOINTS21 = tuple(JOINTS[JOINTS_BY_NUMBER.index(joint)] for joint in POSETRACK18.joints if joint in JOINTS_BY_NUMBER)
_FROM_JOINTS = [JOINTS.index(joint) for joint in JOINTS21]
METRICS = ("ap", "mot", "hota")
_NUM_JOINTS = len(JOINTS)
# Sequences of one task: few enough to keep all processes busy, many enough to share the work per frame.
_SEQUENCES_PER_TASK = 8
# A process per so many bytes of files; fewer are not worth starting one.
_BYTES_PER_PROCESS = 1 << 20


@dataclasses.dataclass(frozen=True)
class PoseTrackOptions:
    """What to compute; the defaults are the official figures.

    Attributes:
        metrics: any of "ap", "mot" and "hota" (PoseTrack21's HOTA and pose mAP; 2018-format files only).
        has_clean_figures: compute, beside the official figures, those without poseval's dropped last frame and its
            stand-in for frames without true or predicted people, and without the repeated count of frames without
            predictions in PoseTrack21's HOTA. Labeled frames without true people, at which PoseTrack21's evaluator
            stops, are then taken.
        tie_rule: order of equal scores for AP.
    """

    metrics: Sequence[str] = ("ap", "mot")
    has_clean_figures: bool = False
    tie_rule: TieRule = "stable"

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            raise ValueError(f"metrics must be some of {', '.join(METRICS)}, got {', '.join(self.metrics) or 'none'}")
        if self.tie_rule not in ("stable", "best", "worst"):
            raise ValueError(f"tie_rule must be 'stable', 'best' or 'worst', got {self.tie_rule!r}")


@dataclasses.dataclass(frozen=True)
class PoseTrackFigures:
    """Figures of one sequence or of all; None for what was not asked for.

    Attributes:
        num_frames: evaluated by poseval: those with true people.
        average_precision: per joint in the order of `JOINTS`, then total.
        tracking: likewise.
        clean_tracking: with the last frame and with what is in frames without true or predicted people.
        hota: figures in percent by name, [16] each, in the order of `JOINTS21`, then total.
        clean_hota: with frames without predicted people counted once.
        pose_map: PoseTrack21's AP, in the order of `JOINTS21`, then total.
    """

    num_frames: int
    average_precision: JointAveragePrecision | None = None
    tracking: TrackingFigures | None = None
    clean_tracking: TrackingFigures | None = None
    hota: dict[str, np.ndarray] | None = None
    clean_hota: dict[str, np.ndarray] | None = None
    pose_map: JointAveragePrecision | None = None


@dataclasses.dataclass(frozen=True)
class PoseTrackReport:
    """All figures of a comparison.

    Attributes:
        total: of all sequences together.
        num_sequences: with at least one evaluated frame; the others vanish.
        sequences: figures of each of those alone, by name, where asked for.
        samples: of AP, for curves.
        single_frame_sequences: names of those that tracking says nothing about, since it leaves the last evaluated
            frame out; the official tool stops there (IndexError), here they contribute nothing.
    """

    total: PoseTrackFigures
    num_sequences: int
    sequences: dict[str, PoseTrackFigures]
    samples: JointSamples | None
    single_frame_sequences: tuple[str, ...]

    def to_dict(self) -> dict:
        """What metrics.json holds: blocks `posetrack` and `posetrack21`, per sequence too where asked for."""
        blocks = figures_to_dict(self.total)
        if self.sequences:
            blocks["sequences"] = {name: figures_to_dict(figures) for name, figures in self.sequences.items()}
        return blocks


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
    tasks = [pairs[start : start + _SEQUENCES_PER_TASK] for start in range(0, len(pairs), _SEQUENCES_PER_TASK)]
    parts, done = [], 0
    for part, task in zip(_run_tasks(tasks, options, _num_processes(pairs, num_processes)), tasks, strict=True):
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
    true_files, predicted_files = (_json_files(folder) for folder in folders)
    if not true_files:
        raise FileNotFoundError(f"{folders[0]}: should hold the ground truth, one *.json file per sequence; found none")
    missing = [name for name in true_files if name not in predicted_files]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{folders[1] / missing[0]}: prediction file not found{more}; expected one for each ground-truth file"
        )
    return [(true_files[name], predicted_files[name]) for name in sorted(true_files)]


def _json_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Paths by name without `.gz`."""
    files: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.endswith(".json") and not name.startswith("."):
            if name in files:
                raise ValueError(f"{path}: the same sequence is also in {files[name].name}; expected one of them")
            files[name] = path
    return files


def _num_processes(pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise ValueError(f"num_processes must be at least 1, got {wanted}")
    if wanted == 1 or not _may_fork():
        return 1
    size = sum(path.stat().st_size for pair in pairs for path in pair)
    worthwhile = math.ceil(size / _BYTES_PER_PROCESS)
    return max(1, min(wanted or _num_cores(), worthwhile, math.ceil(len(pairs) / _SEQUENCES_PER_TASK)))


def _may_fork() -> bool:
    """Whether a copy of this process works: other threads' locks would stay locked in it."""
    is_alone = "tensorflow" not in sys.modules and threading.active_count() == 1
    return is_alone and hasattr(os, "fork")


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_tasks(tasks: Sequence[Sequence[tuple]], options: PoseTrackOptions, num_processes: int) -> Iterator[_Part]:
    if num_processes == 1:
        yield from (_score_files(task, options) for task in tasks)
        return
    # Importing these takes as long as scoring several sequences.
    import concurrent.futures.process
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(num_processes, mp_context=context) as executor:
        try:
            yield from executor.map(_score_files, tasks, [options] * len(tasks))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise OSError("a scoring process was stopped from outside, perhaps for lack of memory") from error
        finally:
            executor.shutdown(cancel_futures=True)


@dataclasses.dataclass(frozen=True)
class SelectedPeople:
    """What is evaluated of one sequence.

    Attributes:
        name: of the sequence.
        num_frames: evaluated; those of the people count from 0.
        true: people of the ground truth.
        predicted: predictions.
    """

    name: str
    num_frames: int
    true: People
    predicted: People


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
                selected21.append(select_people21(*columns, options.has_clean_figures))
            del contents
    finally:
        if was_collecting:
            gc.enable()
    return _score(selected, selected21, options)


def _read_pair(read: Callable[..., PersonColumns], paths: Sequence[pathlib.Path], contents: Sequence[Any]) -> tuple:
    true, predicted = read(paths[0], contents[0], True), read(paths[1], contents[1], False)
    return true, predicted


def select_people(true: PersonColumns, predicted: PersonColumns) -> SelectedPeople:
    """The people and points that poseval evaluates: frames with true people, outside of ignored regions.

    Raises:
        ValueError: the numbers of frames differ, a region has one or two corners, or people that can be compared lack
            a track id or (true ones) a head box.
    """
    _check_num_frames(true, predicted)
    is_evaluated = np.bincount(true.frames, minlength=true.num_frames) > 0
    selected = _select(true, predicted, is_evaluated)
    _check_comparable(true, predicted, selected)
    return _build(true, predicted, selected, is_evaluated)


def select_people21(
    true: PersonColumns, predicted: PersonColumns, accepts_empty_frames: bool = False
) -> SelectedPeople:
    """The people and points that PoseTrack21's evaluator takes: frames that are labeled, outside of ignored regions.

    Args:
        true: ground truth.
        predicted: predictions.
        accepts_empty_frames: take labeled frames without true people; the official evaluator stops there.

    Raises:
        ValueError: frames differ, or as above.
    """
    _check_num_frames(true, predicted)
    differs = np.flatnonzero(true.image_ids != predicted.image_ids)
    if len(differs):
        frame = int(differs[0])
        raise ValueError(
            f"{predicted.path}: frame {frame}: image 'id' should be that of the ground truth, "
            f"{true.image_ids[frame]}, found {predicted.image_ids[frame]}"
        )
    selected = _select(true, predicted, true.is_labeled)
    _check_comparable(true, predicted, selected)
    has_people = np.zeros(true.num_frames, bool)
    has_people[true.frames[selected[0].people]] = True
    empty = np.flatnonzero(true.is_labeled & ~has_people)
    if len(empty) and not accepts_empty_frames:
        frame = int(empty[0])
        raise ValueError(
            f"{true.path}: frame {frame} ({true.frame_names[frame]!r}): is labeled but has no people outside of "
            "ignored regions, which PoseTrack21's evaluator does not take"
        )
    return _build(true, predicted, selected, true.is_labeled)


def _check_num_frames(true: PersonColumns, predicted: PersonColumns) -> None:
    if true.num_frames != predicted.num_frames:
        raise ValueError(
            f"{predicted.path}: should have {true.num_frames} frames as the ground truth, found {predicted.num_frames}"
        )


@dataclasses.dataclass(frozen=True)
class _Selected:
    """Positions of the people and points of one file that are left."""

    people: np.ndarray
    points: np.ndarray


def _select(true: PersonColumns, predicted: PersonColumns, is_evaluated: np.ndarray) -> tuple[_Selected, _Selected]:
    regions = [(frame, polygon) for frame, polygon in true.regions if is_evaluated[frame]]
    for frame, polygon in regions:
        if 0 < len(polygon) < 3:
            raise ValueError(
                f"{true.path}: frame {frame} ({true.frame_names[frame]!r}): ignore regions should have at least 3 "
                f"corners, found {len(polygon)}"
            )
    return _select_of(true, is_evaluated, regions), _select_of(predicted, is_evaluated, regions)


def _select_of(
    columns: PersonColumns, is_evaluated: np.ndarray, regions: Sequence[tuple[int, np.ndarray]]
) -> _Selected:
    is_kept = is_evaluated[columns.frames] & columns.has_points
    is_point_kept = is_kept[columns.point_people]
    if regions:
        region_frames = np.array([frame for frame, _ in regions])
        point_frames = columns.frames[columns.point_people]
        polygons = [polygon for _, polygon in regions]
        is_point_kept &= ~ignore_regions.points_inside(columns.points, point_frames, polygons, region_frames)
        has_points = np.bincount(columns.point_people[is_point_kept], minlength=columns.num_people) > 0
        is_kept &= has_points | ~np.isin(columns.frames, region_frames)
    return _Selected(np.flatnonzero(is_kept), np.flatnonzero(is_point_kept))


def _check_comparable(true: PersonColumns, predicted: PersonColumns, selected: tuple[_Selected, _Selected]) -> None:
    """Track ids and head boxes are needed in frames with people on both sides."""
    frames = true.frames[selected[0].people], predicted.frames[selected[1].people]
    for columns, kept, own, others in zip((true, predicted), selected, frames, frames[::-1], strict=True):
        people = kept.people[np.isin(own, others)]
        lacks_id = people[columns.track_ids[people] == NO_TRACK_ID]
        if len(lacks_id):
            raise ValueError(f"{columns.where(int(lacks_id[0]))}: 'track_id' should be a whole number, found nothing")
        if columns is true:
            lacks_head = people[np.isnan(columns.head_boxes[people]).any(axis=1)]
            if len(lacks_head):
                raise ValueError(
                    f"{columns.where(int(lacks_head[0]))}: should have a head box ('bbox_head', or 'x1' to 'y2' in "
                    "2017 files), found none"
                )


def _build(
    true: PersonColumns, predicted: PersonColumns, selected: tuple[_Selected, _Selected], is_evaluated: np.ndarray
) -> SelectedPeople:
    number = np.cumsum(is_evaluated) - 1
    return SelectedPeople(
        name=true.name,
        num_frames=int(is_evaluated.sum()),
        true=_people(true, selected[0], number),
        predicted=_people(predicted, selected[1], number),
    )


def _people(columns: PersonColumns, selected: _Selected, frame_numbers: np.ndarray) -> People:
    keypoints = np.full((columns.num_people, _NUM_JOINTS, 2), np.nan)
    scores = np.full((columns.num_people, _NUM_JOINTS), np.nan)
    points = selected.points[columns.point_joints[selected.points] >= 0]
    # Written backwards, so that the first of repeated joints stays.
    points = points[::-1]
    place = columns.point_people[points], columns.point_joints[points]
    keypoints[place], scores[place] = columns.points[points], columns.point_scores[points]
    people = selected.people
    return People(
        frames=frame_numbers[columns.frames[people]],
        track_ids=columns.track_ids[people],
        keypoints=keypoints[people],
        scores=scores[people],
        head_sizes=head_sizes(columns.head_boxes[people]),
    )


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
        if options.has_clean_figures
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
    is_correct = correct_joints(near, assigned, _NUM_JOINTS)
    ends = np.cumsum([len(sequence.predicted) for sequence in selected])
    samples = [
        JointSamples(s.predicted.scores, s.predicted.has_joint, correct, s.true.has_joint.sum(axis=0))
        for s, correct in zip(selected, np.split(is_correct, ends[:-1]), strict=True)
    ]
    rules = {"official": OFFICIAL_RULES} | ({"clean": CLEAN_RULES} if options.has_clean_figures else {})
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
    is_correct = correct_joints(near, assign_poses(near, len(true)), _NUM_JOINTS)
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
) -> PoseTrackFigures:
    """The figures of some of the sequences together."""

    def average_precision(samples: Sequence[JointSamples], **rules: bool) -> JointAveragePrecision | None:
        wanted = [samples[index] for index in indices] if samples else []
        return joint_average_precision(join_samples(wanted), options.tie_rule, **rules) if wanted else None

    def tracking(counts: TrackingCounts | None) -> TrackingFigures | None:
        return None if counts is None else tracking_figures(counts.select(np.asarray(indices)).sum())

    def hota_figures(parts: Sequence[hota.HotaParts]) -> dict[str, np.ndarray] | None:
        wanted = [parts[index] for index in indices] if parts else []
        if not wanted:
            return None
        joined = wanted[0] if is_single_sequence else hota.join_parts(wanted)
        figures = hota.hota_figures(joined, is_single_sequence)
        return {name: _in_order21(values) for name, values in figures.items()}

    return PoseTrackFigures(
        num_frames=int(sum(part.num_frames[index] for index in indices)),
        average_precision=average_precision(part.samples),
        tracking=tracking(part.tracking),
        clean_tracking=tracking(part.clean_tracking),
        hota=hota_figures(part.hota),
        clean_hota=hota_figures(part.clean_hota),
        pose_map=_pose_map_in_order(average_precision(part.samples21, counts_joints_without_truth=True)),
    )


def _in_order21(values: np.ndarray) -> np.ndarray:
    """[15] or [16] figures of `JOINTS` in the order of `JOINTS21`; a total stays last."""
    return np.concatenate([values[_FROM_JOINTS], values[_NUM_JOINTS:]])


def _pose_map_in_order(figures: JointAveragePrecision | None) -> JointAveragePrecision | None:
    if figures is None:
        return None
    return JointAveragePrecision(
        **{field.name: _in_order21(getattr(figures, field.name)) for field in dataclasses.fields(figures)}
    )


def figures_to_dict(figures: PoseTrackFigures) -> dict[str, dict]:
    """Blocks `posetrack` and `posetrack21` of metrics.json; NaN as null, what was not asked for is absent."""
    posetrack: dict[str, Any] = {}
    if figures.average_precision is not None:
        posetrack |= _fields(figures.average_precision, {"ap": "ap", "precision": "precision", "recall": "recall"})
    for prefix, tracking in (("", figures.tracking), ("clean_", figures.clean_tracking)):
        if tracking is not None:
            names = ("mota", "motp", "motp_matched")
            renamed = {"precision": f"{prefix}mot_precision", "recall": f"{prefix}mot_recall"}
            posetrack |= _fields(tracking, {name: prefix + name for name in names} | renamed)
    posetrack21: dict[str, Any] = {}
    for name, curves in (("hota", figures.hota), ("clean_hota", figures.clean_hota)):
        if curves is not None:
            posetrack21[name] = {key: _with_null(values) for key, values in curves.items()}
    if figures.pose_map is not None:
        names = {"ap": "map", "precision": "map_precision", "recall": "map_recall"}
        posetrack21 |= _fields(figures.pose_map, names)
    blocks = {"posetrack": (JOINTS, posetrack), "posetrack21": (JOINTS21, posetrack21)}
    return {name: {"joints": [*joints, "total"]} | block for name, (joints, block) in blocks.items() if block}


def _fields(figures: Any, names: dict[str, str]) -> dict[str, list]:
    return {key: _with_null(getattr(figures, field)) for field, key in names.items()}


def _with_null(values: np.ndarray) -> list:
    return [None if value != value else value for value in values.tolist()]
