"""Predicts a split with the single heatmap network, and searches its best thresholds."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.checkpoints import load_for_inference
from tfpose.data.records import RecordTable
from tfpose.evaluation.dtype_choice import choose_dtype
from tfpose.evaluation.person_scores import score_poses
from tfpose.evaluation.progress import LateProgress
from tfpose.evaluation.shares import ALONE, DeviceCopies, EvaluationShare
from tfpose.evaluation.single_network_search import (
    SearchCase,
    SearchSystem,
    peak_settings,
    search_by_coordinates,
    search_thresholds,
)
from tfpose.evaluation.splits import SplitPrediction
from tfpose.evaluation.tracker_search import describe_trials, shown_on_interruption, write_tuning
from tfpose.evaluation.tuned_settings import TUNED_INFERENCE
from tfpose.evaluation.video_sequences import ground_truth_sequences, rows_by_sequence, sequences_from_poses
from tfpose.inference.frame_peaks import Peaks, select_people
from tfpose.inference.inference_dtype import FLOAT32, InferenceDtype
from tfpose.inference.single_network import (
    FoundPeaks,
    FrameNetwork,
    PersonNetwork,
    build_peak_function,
    predict_frames,
    predict_table_peaks,
)
from tfpose.inference.single_network_system import (
    SingleNetworkSystem,
    build_inference_network,
    build_inference_parts,
    check_network,
    read_single_network_system,
    with_inference,
)
from tfpose.messages import count_of
from tfpose.metrics.catalog import objectives
from tfpose.models.pose_unet import PoseUnet
from tfpose.models.unfilled import build_unfilled
from tfpose.poses import Poses, join_poses, no_poses, split_poses
from tfpose.posetrack import PoseSequence
from tfpose.processes import num_cores
from tfpose.tracking.tuning import Trial, expand_grid

BOXES = "around the joints that the single network found"
# Fewer trials end before another process has started.
_TRIALS_PER_PROCESS = 24


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """The network of a training run, ready for inference.

    Attributes:
        system: System of the network, with the thresholds of the config.
        network: Network with batch normalization merged into its convolutions.
        weights: File that the weights came from.
        dtype: "float32" or "bfloat16", in which the network computes.
    """

    system: SingleNetworkSystem
    network: PoseUnet
    weights: pathlib.Path
    dtype: str = "float32"

    @property
    def parts(self) -> tuple[FrameNetwork, PersonNetwork]:
        """The two parts of the network as `inference.single_network` calls them."""
        return build_inference_parts(self.network, self.system)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The settings of the prediction of a split.

    Attributes:
        batch_size: Frames that go through the network at once.
    """

    batch_size: int = 8


class Validation:
    """Scores a network on a split during training: AP and AR of COCO, in percent.

    The network is evaluated in float32 whatever it is trained in, as eval_main.py evaluates its weights.

    Args:
        table: Records of the split.
        system: System of the network.
        batch_size: Frames that go through the network at once.
    """

    def __init__(self, table: RecordTable, system: SingleNetworkSystem, batch_size: int) -> None:
        self.table, self.system, self.batch_size = table, system, batch_size
        self._copies = DeviceCopies(self._compile)

    def __call__(self, model: PoseUnet, step: int = 0, share: EvaluationShare = ALONE) -> dict[str, float]:
        """Returns the metrics of the network after `step` steps, by name.

        All devices and workers look at a share of the frames, which do not depend on each other.
        """
        table, system = self.table, self.system
        merged = build_inference_network(model, system)
        functions = self._copies.update(merged, lambda: build_inference_network(model, system), share.devices)

        def find(device: int, part: slice) -> tuple[np.ndarray, ...]:
            peaks = predict_table_peaks(functions[device], table, system.fit, self.batch_size, part)
            poses = [select_people(of_frame, system.inference) for of_frame in peaks]
            people = join_poses([no_poses(system.skeleton.num_joints), *poses])
            return np.array(list(map(len, poses)), np.int64), *vars(people).values()

        counts, *people = share.run(table.num_images, self.batch_size, find)
        return score_poses(table, split_poses(Poses(*people), counts), system.skeleton)

    def _compile(self, network: PoseUnet) -> Callable[[np.ndarray, np.ndarray], FoundPeaks]:
        parts = build_inference_parts(network, self.system)
        return build_peak_function(*parts, self.system.fit, self.system.inference)


def load_trained_network(
    workdir: pathlib.Path,
    weights: str,
    network: Mapping[str, Any],
    inference: Mapping[str, Any],
    wanted_dtype: InferenceDtype = FLOAT32,
) -> TrainedNetwork:
    """Loads the network of a training run.

    Args:
        workdir: Work folder of the run.
        weights: 'best' or 'last'.
        network: Section `network` of the config, the arguments of `PoseUnetSettings`.
        inference: Section `inference` of the config, the arguments of `SingleNetworkSettings`.
        wanted_dtype: Number format in which the network computes.

    Raises:
        FileNotFoundError, ValueError: The run is missing or damaged, or has another network.
    """
    system = with_inference(read_single_network_system(workdir), inference)
    check_network(system, network, workdir)
    model = build_unfilled(system.build_network)
    loaded = load_for_inference(model, workdir, weights)
    dtype = choose_network_dtype(wanted_dtype, model, system)
    return TrainedNetwork(system, build_inference_network(model, system, dtype), loaded, dtype)


def choose_network_dtype(wanted: InferenceDtype, network: PoseUnet, system: SingleNetworkSystem) -> str:
    """Returns the number format, "float32" or "bfloat16", in which a network as trained finds poses."""

    def score(table: RecordTable, dtype: str) -> float:
        parts = build_inference_parts(build_inference_network(network, system, dtype), system)
        batch_size = EvaluationSettings().batch_size
        poses = predict_frames(*parts, table, system.fit, system.inference, batch_size)
        return score_poses(table, poses, system.skeleton)["AP"]

    return choose_dtype(wanted, score)


def predict_split(table: RecordTable, trained: TrainedNetwork, batch_size: int) -> SplitPrediction:
    """Finds the people of every image of a table.

    Args:
        table: Records of the split.
        trained: Network of the run.
        batch_size: Frames that go through the network at once.
    """
    system = trained.system
    print(f"{trained.weights}: {count_of(table.num_images, 'image')}")
    poses = predict_frames(*trained.parts, table, system.fit, system.inference, batch_size, show_progress=True)
    return SplitPrediction(
        poses=poses,
        skeleton=system.skeleton,
        boxes=BOXES,
        weights=str(trained.weights),
        thresholds=dataclasses.asdict(system.inference),
        # A score of 0 marks a dropped joint, even with a threshold of 0.
        joint_threshold=max(system.inference.joint_threshold, float(np.finfo(np.float32).tiny)),
    )


@dataclasses.dataclass(frozen=True)
class ThresholdSearch:
    """A search over the thresholds of the single network and the settings of its tracker.

    Attributes:
        base: Settings that the values change.
        choices: Values to try, by setting.
        objective: Metric to optimize, a key of `catalog.objectives`.
        method: 'grid' tries every combination, 'coordinates' changes one setting at a time.
        num_processes: Number of processes of a grid; None for one per core.
    """

    base: SearchSystem
    choices: Mapping[str, Sequence[Any]]
    objective: str
    method: str = "grid"
    num_processes: int | None = None


def tune_split(
    table: RecordTable,
    split: str,
    trained: TrainedNetwork,
    batch_size: int,
    search: ThresholdSearch,
    output_dir: pathlib.Path,
) -> SearchSystem:
    """Runs the network once over annotated videos, then tries combinations of settings on what it found.

    Prints the table of all trials and writes tuning.json, which `read_tuned_settings` reads.

    Args:
        table: Records of the split.
        split: Name of the split.
        trained: Network of the run.
        batch_size: Frames that go through the network at once.
        search: Settings and values to try.
        output_dir: Folder for tuning.json.

    Returns:
        The best settings.

    Raises:
        ValueError: The table has no videos, or their annotations lack what the metrics of PoseTrack need.
    """
    truth = ground_truth_sequences(table)
    if not truth:
        raise ValueError(f"{table.shards[0].parent}: the split must have videos for a search, got single photos only")
    cases = build_cases(table, truth, _find_peaks(table, trained, batch_size, search.choices))
    trials = _search_with_progress(cases, search)
    best = search.base.with_changes(trials[0].settings)
    labels = {
        "weights": str(trained.weights),
        "labels": f"{table.shards[0].parent} split {split}",
        "sequences": len(cases),
    }
    write_tuning(output_dir, trials, describe_search(trials, best, search.objective, search.base, labels))
    return best


def _find_peaks(
    table: RecordTable, trained: TrainedNetwork, batch_size: int, choices: Mapping[str, Sequence[Any]]
) -> list[Peaks]:
    system = trained.system
    print(f"{trained.weights}: {count_of(table.num_images, 'image')}")
    settings = peak_settings(system.inference, choices)
    find_peaks = build_peak_function(*trained.parts, system.fit, settings)
    return predict_table_peaks(find_peaks, table, system.fit, batch_size, show_progress=True)


def build_cases(table: RecordTable, truth: Sequence[PoseSequence], peaks: Sequence[Peaks]) -> list[SearchCase]:
    """Pairs the videos of a table with the peaks of their images.

    Args:
        table: Records of the split.
        truth: Annotated videos of the table, from `ground_truth_sequences`.
        peaks: Peaks of every image of the table, found under `peak_settings`.
    """
    skeleton = table.skeleton
    empty = sequences_from_poses(table, [no_poses(skeleton.num_joints)] * table.num_images, skeleton)
    rows = rows_by_sequence(table).values()
    return [
        SearchCase(true, frames, tuple(peaks[row] for row in of_video))
        for true, frames, of_video in zip(truth, empty, rows, strict=True)
    ]


def _search_with_progress(cases: Sequence[SearchCase], search: ThresholdSearch) -> list[Trial]:
    base, choices, objective = search.base, search.choices, objectives()[search.objective]
    is_grid = search.method == "grid"
    # A search by coordinates mostly ends after its second or third round.
    num_trials = len(expand_grid(choices)) if is_grid else 2 * sum(map(len, choices.values()))
    processes = min(search.num_processes or num_cores(), math.ceil(num_trials / _TRIALS_PER_PROCESS))
    done: list[Trial] = []
    with shown_on_interruption(done), LateProgress("tuning", "trials") as progress:

        def show(trial: Trial) -> None:
            done.append(trial)
            progress(len(done), num_trials if is_grid else max(num_trials, len(done) + 1))

        if is_grid:
            return search_thresholds(cases, base, choices, objective, processes, show)
        return search_by_coordinates(cases, base, choices, objective, show)


def describe_search(
    trials: Sequence[Trial], best: SearchSystem, objective: str, base: SearchSystem, labels: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the content of tuning.json: the settings of the network beside those of the tracker."""
    content = describe_trials(trials, best.tracker, objective, base.tracker, labels)
    content["best"] |= {"flags": best.to_flags(), "inference": _describe_inference(best)}
    tracker = content["provenance"]["base"]
    content["provenance"] |= {
        "base": {"tracker": tracker, "inference": _describe_inference(base)},
        "metrics": list(trials[0].scores),
    }
    return content


def _describe_inference(system: SearchSystem) -> dict[str, Any]:
    return {name: getattr(system.thresholds, name) for name in TUNED_INFERENCE}
