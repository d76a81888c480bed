"""The official metrics of PoseTrack 2017, 2018 and PoseTrack21, from files or from sequences in memory. NumPy only.

`evaluate_posetrack` scores a folder. AP and MOTA equal those of poseval (github.com/leonid-pishchulin/poseval under
py-motmetrics 1.4), HOTA and the pose mAP those of PoseTrack21's evaluator (github.com/anDoer/PoseTrack21), known bugs
included; an option adds the metrics without the bugs.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfpose.garbage import without_cycle_search
from tfpose.json_files import files_by_name, read_json
from tfpose.metrics.average_precision import TieRule, join_samples
from tfpose.metrics.batches import SequenceBatch
from tfpose.metrics.catalog import DEFAULT_METRICS, METRICS, Block, Evaluator, MetricGroup
from tfpose.metrics.intervals import Interval, draw_sequences, percentile_interval
from tfpose.metrics.posetrack_metrics import PoseTrackMetrics, PoseTrackReport
from tfpose.metrics.posetrack_selection import SelectedPeople, pairing_notes, select_people
from tfpose.posetrack.columns import columns_from_sequence, with_stand_in_ids
from tfpose.posetrack.sequences import PoseSequence, sequence_name
from tfpose.processes import choose_num_processes, map_forked

# Most sequences of one task. Many sequences share the work per frame, but all of their people are in memory.
_SEQUENCES_PER_TASK = 32
# Name of the folder of PoseTrack files in a folder of results.
PREDICTIONS_FOLDER = "predictions"
# Bytes of files for each process; fewer are not worth starting one.
_BYTES_PER_PROCESS = 1 << 20


@dataclasses.dataclass(frozen=True)
class PoseTrackOptions:
    """The metrics to compute, and their options. The defaults are the official metrics.

    Attributes:
        metrics: Names of metric groups, keys of `catalog.METRICS`; "hota" requires files of the 2018 format.
        has_clean_metrics: Whether to compute also the metrics without the official tools' known bugs: with the last
            frame and the people that are in one-sided frames in MOTA, and with one count of frames without predictions
            in HOTA. Labeled frames without true people, at which PoseTrack21's evaluator stops, are then accepted.
        tie_rule: Order of equal scores for AP.
        num_resamples: Number of resamples of the sequences for the confidence intervals of AP and MOTA; 0 computes no
            intervals.

    Raises:
        ValueError: A metric or the rule is unknown, `metrics` is one text, or the number of resamples is negative.
    """

    metrics: Sequence[str] = DEFAULT_METRICS
    has_clean_metrics: bool = False
    tie_rule: TieRule = "stable"
    num_resamples: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.metrics, str):
            raise ValueError(f"metrics must be a sequence of names, got the text {self.metrics!r}")
        # A generator gives its names only once.
        object.__setattr__(self, "metrics", tuple(self.metrics))
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            found = ", ".join(map(str, self.metrics)) or "none"
            raise ValueError(f"metrics must be some of {', '.join(METRICS)}, got {found}")
        if self.tie_rule not in ("stable", "best", "worst"):
            raise ValueError(f"tie_rule must be 'stable', 'best' or 'worst', got {self.tie_rule!r}")
        if self.num_resamples < 0:
            raise ValueError(f"num_resamples must be at least 0, got {self.num_resamples}")


def evaluate_posetrack(
    ground_truth: str | pathlib.Path,
    predictions: str | pathlib.Path,
    options: PoseTrackOptions = PoseTrackOptions(),
    per_sequence: bool = False,
    num_processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PoseTrackReport:
    """Scores a folder of prediction files against a folder of ground truth.

    Files are read in the order of their names. Each file of the ground truth requires a prediction file of the same
    name (either may be compressed, `.json.gz`); other prediction files are ignored.

    Args:
        ground_truth: Folder of the ground truth.
        predictions: Folder of the predictions, or folder of results with a folder `predictions`.
        options: What to compute.
        per_sequence: Whether to compute also the metrics of each sequence alone.
        num_processes: Largest number of processes; None allows one per core. A program that runs threads or TensorFlow,
            which must not be forked, uses one process.
        progress: Function that is called with the number of finished sequences and the number of all.

    Raises:
        FileNotFoundError: A folder or a prediction file is missing.
        ValueError: The official tools would refuse a file; the message names the file, frame, person and field.
    """
    pairs = pair_files(ground_truth, predictions)
    processes = _num_processes(pairs, num_processes)
    # Two tasks for each process, so that one slow sequence does not leave the other processes idle for long.
    size = min(_SEQUENCES_PER_TASK, math.ceil(len(pairs) / (2 * processes)))
    tasks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    score = functools.partial(_score_files, options=options)
    parts, done = [], 0
    for part, task in zip(map_forked(score, tasks, processes), tasks, strict=True):
        parts.append(part)
        done += len(task)
        if progress is not None:
            progress(done, len(pairs))
    names = sequence_names([true for true, _ in pairs])
    report = _report(ground_truth, parts, options, per_sequence, names)
    return dataclasses.replace(report, notes=(*unpaired_note(pairs, predictions), *report.notes))


def unpaired_note(
    pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], predictions: str | pathlib.Path
) -> tuple[str, ...]:
    """Returns a line that counts the prediction files without a file of the ground truth."""
    used = {path for _, path in pairs}
    unused = [path for path in find_sequence_files(find_poses_folder(predictions)).values() if path not in used]
    if not unused:
        return ()
    return (
        f"{predictions}: {len(unused)} of {len(unused) + len(used)} files are left out: the ground truth has no "
        f"file of the same name, such as {unused[0].name}",
    )


def evaluate_sequences(
    ground_truth: Sequence[PoseSequence],
    predictions: Sequence[PoseSequence],
    options: PoseTrackOptions = PoseTrackOptions(),
    per_sequence: bool = False,
) -> PoseTrackReport:
    """Scores sequences in memory, paired by position, by poseval's rules, as a search over trackers does.

    HOTA is computed on poseval's joints and frames. These are also PoseTrack21's in files that both evaluators accept,
    except for joints with a coordinate of 0 or less.

    Args:
        ground_truth: Annotated sequences.
        predictions: As many predicted sequences, in the same order.
        options: What to compute.
        per_sequence: Whether to compute also the metrics of each sequence alone.

    Raises:
        ValueError: The numbers of sequences differ, or the official tools would refuse a sequence; see
            `evaluate_posetrack`.
    """
    if len(ground_truth) != len(predictions):
        raise ValueError(
            f"predictions must be one sequence for each of the {len(ground_truth)} of the ground truth, got "
            f"{len(predictions)}"
        )
    selected = [
        select_people(columns_from_sequence(true, True), columns_from_sequence(predicted, False))
        for true, predicted in zip(ground_truth, predictions, strict=True)
    ]
    batch = SequenceBatch(selected)
    parts = [_count({evaluator.name: batch for evaluator in _evaluators(options)}, options)] if selected else []
    return _report("sequences", parts, options, per_sequence, [sequence.name for sequence in selected])


def pair_files(
    ground_truth: str | pathlib.Path, predictions: str | pathlib.Path
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Returns the files of the ground truth in the order of their names, each with its prediction file.

    Raises:
        FileNotFoundError, NotADirectoryError: A folder does not exist or has no JSON files, or a prediction file is
            missing.
        ValueError: A sequence has two files, a compressed one and an uncompressed one.
    """
    folders = check_folder(ground_truth, "the ground truth"), find_poses_folder(predictions)
    true_files, predicted_files = (find_sequence_files(folder) for folder in folders)
    if not true_files:
        raise FileNotFoundError(f"{folders[0]}: must hold the ground truth, one *.json file per sequence, got none")
    missing = [name for name in true_files if name not in predicted_files]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{folders[1] / missing[0]}: prediction file not found{more}; expected one for each ground-truth file"
        )
    return [(true_files[name], predicted_files[name]) for name in sorted(true_files)]


def sequence_names(files: Sequence[pathlib.Path]) -> list[str]:
    """Returns distinct names of the sequences of a folder: those of the official tools, or the names of the files.

    The official tools name a sequence by its file up to the first dot. Files that share such a name keep their whole
    names without the endings.
    """
    counts = collections.Counter(map(sequence_name, files))
    return [
        sequence_name(file) if counts[sequence_name(file)] == 1 else file.name.removesuffix(".gz").removesuffix(".json")
        for file in files
    ]


def check_folder(path: str | pathlib.Path, content: str) -> pathlib.Path:
    """Returns the path of a folder of files.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: The path is that of a file.
    """
    folder = pathlib.Path(path)
    if folder.is_file():
        raise NotADirectoryError(
            f"{folder}: {content} must be a folder of PoseTrack files, got a file; give the folder that holds it "
            "(tfpose track --keep_track_ids makes PoseTrack files of COCO results)"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: the folder of {content} does not exist")
    return folder


def find_poses_folder(path: str | pathlib.Path) -> pathlib.Path:
    """Returns a folder of predictions: the given one, or `predictions` in a folder of results.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such folder.
    """
    folder = check_folder(path, "the predictions")
    inside = folder / PREDICTIONS_FOLDER
    return inside if inside.is_dir() and find_sequence_files(inside) else folder


def find_sequence_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the JSON files of a folder by name without `.gz`, in the order of their names.

    Raises:
        ValueError: A sequence has two files, a compressed one and an uncompressed one.
    """
    return files_by_name(path for path in folder.iterdir() if not path.name.startswith("."))


def _num_processes(pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], wanted: int | None) -> int:
    size = sum(path.stat().st_size for pair in pairs for path in pair)
    return choose_num_processes(wanted, min(math.ceil(size / _BYTES_PER_PROCESS), len(pairs)))


@dataclasses.dataclass(frozen=True)
class _Part:
    """The counts of some sequences.

    Attributes:
        num_frames: Number of evaluated frames of each sequence.
        counts: Counts of each sequence, by the name of the block.
        notes: Lines for the user.
    """

    num_frames: list[int]
    counts: dict[str, list[Any]]
    notes: tuple[str, ...] = ()


def _groups(options: PoseTrackOptions) -> list[MetricGroup]:
    return [group for name, group in METRICS.items() if name in options.metrics]


def _evaluators(options: PoseTrackOptions) -> list[Evaluator]:
    return list({group.evaluator.name: group.evaluator for group in _groups(options)}.values())


def _blocks(group: MetricGroup, options: PoseTrackOptions) -> list[Block]:
    return [block for block in group.blocks if options.has_clean_metrics or not block.is_clean]


def _score_files(pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], options: PoseTrackOptions) -> _Part:
    evaluators = _evaluators(options)
    needs_identities = any(group.needs_identities for group in _groups(options))
    selected: dict[str, list[SelectedPeople]] = {evaluator.name: [] for evaluator in evaluators}
    notes: dict[str, None] = {}
    with without_cycle_search():
        for paths in pairs:
            true, predicted = (read_json(path) for path in paths)
            for evaluator in evaluators:
                columns = evaluator.read(paths[0], true, True), evaluator.read(paths[1], predicted, False)
                if not needs_identities:
                    columns = with_stand_in_ids(columns[0]), with_stand_in_ids(columns[1])
                selected[evaluator.name].append(evaluator.select(*columns, options.has_clean_metrics))
                notes |= dict.fromkeys(pairing_notes(*columns))
            del true, predicted
    part = _count({name: SequenceBatch(sequences) for name, sequences in selected.items()}, options)
    return dataclasses.replace(part, notes=tuple(notes))


def _count(batches: Mapping[str, SequenceBatch], options: PoseTrackOptions) -> _Part:
    """Counts the same sequences as each evaluator selects their people."""
    sequences = next(iter(batches.values())).sequences
    counts = {
        block.name: list(block.count(batches[group.evaluator.name]))
        for group in _groups(options)
        for block in _blocks(group, options)
    }
    for name, of_sequences in counts.items():
        if len(of_sequences) != len(sequences):
            raise ValueError(
                f"metric {name}: count must return the counts of {len(sequences)} sequences, got {len(of_sequences)}"
            )
    return _Part([sequence.num_frames for sequence in sequences], counts)


def _report(
    source: str | pathlib.Path,
    parts: Sequence[_Part],
    options: PoseTrackOptions,
    per_sequence: bool,
    names: Sequence[str],
) -> PoseTrackReport:
    everything = _Part(
        num_frames=[number for part in parts for number in part.num_frames],
        counts={name: [c for part in parts for c in part.counts[name]] for name in (parts[0].counts if parts else ())},
    )
    num_frames = everything.num_frames
    evaluated = [index for index, number in enumerate(num_frames) if number]
    if not evaluated:
        rule = _evaluators(options)[0].frame_rule
        raise ValueError(f"{source}: there is nothing to evaluate, since no frame of the ground truth {rule}")
    alone = evaluated if per_sequence else ()
    samples = everything.counts.get("average_precision")
    has_single_frames = any(group.says_nothing_of_single_frames for group in _groups(options))
    return PoseTrackReport(
        total=_summarize(everything, evaluated, options),
        num_sequences=len(evaluated),
        sequences={names[index]: _summarize(everything, [index], options, is_single_sequence=True) for index in alone},
        samples=None if samples is None else join_samples(samples),
        single_frame_sequences=tuple(name for name, number in zip(names, num_frames, strict=True) if number == 1)
        if has_single_frames
        else (),
        notes=tuple(note for part in parts for note in part.notes),
        intervals=_intervals(everything, evaluated, options),
    )


def _intervals(part: _Part, indices: Sequence[int], options: PoseTrackOptions) -> dict[str, Interval]:
    """Returns the confidence intervals of the totals of some of the sequences, by the name of the block."""
    if not options.num_resamples or len(indices) < 2:
        return {}
    draws = draw_sequences(len(indices), options.num_resamples)
    found = {
        block.name: percentile_interval(
            block.resample([part.counts[block.name][index] for index in indices], draws, options.tie_rule)
        )
        for group in _groups(options)
        for block in _blocks(group, options)
        if block.resample is not None
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def _summarize(
    part: _Part, indices: Sequence[int], options: PoseTrackOptions, is_single_sequence: bool = False
) -> PoseTrackMetrics:
    """Returns the metrics of some of the sequences together."""
    blocks = {
        block.name: block.summarize(
            [part.counts[block.name][index] for index in indices], options.tie_rule, is_single_sequence
        )
        for group in _groups(options)
        for block in _blocks(group, options)
    }
    return PoseTrackMetrics(int(sum(part.num_frames[index] for index in indices)), blocks)
