"""The interface between the programs and the systems: the functions of a system, and their arguments.

A system is a module of functions. `PoseSystem` finds poses; `TrainedSystem`, its smaller half, is all that a person
detector offers.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from ml_collections import ConfigDict as Config

from tfpose.data.records import RecordTable
from tfpose.evaluation.report_splits import TrainingRun
from tfpose.evaluation.scoring import ScoringSettings
from tfpose.evaluation.single_network_search import SearchSystem
from tfpose.evaluation.splits import SplitOutput
from tfpose.evaluation.tuned_settings import TunedSettings
from tfpose.exporting.quantized_files import QuantizationRequest
from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.inference_dtype import FLOAT32, InferenceDtype
from tfpose.prediction.model import PoseModel
from tfpose.systems.config import Section
from tfpose.tracking.choice import TrackerChoice, check_effects
from tfpose.training.loop import TrainingPlan

# What an evaluation of boxes can use, of the flags that every evaluation has.
_FLAGS_OF_BOXES = ("config", "workdir", "output_dir", "weights", "split", "verbosity", "v", "cache")


@dataclasses.dataclass(frozen=True)
class RunChoice:
    """A training run to use, and what replaces its own settings.

    Attributes:
        workdir: Work folder of the run.
        weights: 'best' or 'last'.
        boxes: Where a two-stage system looks for people; None leaves it to the system.
        tuned: Settings that a search found, for a system that can be tuned; None keeps those of the run.
        box_flags: Names of the flags that `boxes` comes from, for messages.
        use_flip_test: Whether to average with the mirrored image when the run finds poses; None keeps what the run
            says.
        prefers_litert: Whether prediction on CPUs runs the networks in LiteRT, where they can. Their LiteRT files are
            written into the work folders, once.
        inference_dtype: Number format in which the keypoint network or single network finds poses. A Keypoint R-CNN
            before the keypoint network follows "bfloat16", but not "auto".
        num_frames: Number of frames in which prediction looks for people; None if it is not known. For a few frames it
            makes no graph, where LiteRT runs the networks.
    """

    workdir: pathlib.Path
    weights: str = "best"
    boxes: BoxSettings | None = None
    tuned: TunedSettings | None = None
    box_flags: tuple[str, ...] = ("detector",)
    use_flip_test: bool | None = None
    prefers_litert: bool = False
    inference_dtype: InferenceDtype = FLOAT32
    num_frames: int | None = None


@dataclasses.dataclass(frozen=True)
class TrackerRequest:
    """The tracker settings that the user gave.

    Attributes:
        name: Name of a set of settings; empty where the user named none.
        changes: Settings that differ from the named ones, by name.
        is_wanted: Whether people get identities at all.
        flags: Settings that must have an effect, by name.
    """

    name: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_wanted: bool = True
    flags: Sequence[str] = ()

    def choose(self, default: TrackerChoice) -> TrackerChoice | None:
        """Returns the tracker of the user, built on `default` where the user named none; None for no tracking.

        Raises:
            ValueError: A setting has no effect.
        """
        if not self.is_wanted:
            return None
        choice = TrackerChoice(self.name, self.changes) if self.name else default.with_changes(self.changes)
        check_effects(self.flags, choice, {})
        return choice


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """An evaluation of a run on a split.

    Attributes:
        run: The run.
        split: Name of the split.
        output: Where the results go, and which.
        scoring: Metrics of PoseTrack to compute and to show.
        tracker: The tracker of videos.
        provenance: The run as reports describe it; None leaves it out.
        given_flags: Names of the flags that the user gave, for systems that cannot use all of them.
    """

    run: RunChoice
    split: str
    output: SplitOutput
    scoring: ScoringSettings
    tracker: TrackerRequest = TrackerRequest()
    provenance: TrainingRun | None = None
    given_flags: Sequence[str] = ()


def refuse_flags_of_poses(request: EvaluationRequest, kind: str, accepted: Sequence[str] = ()) -> None:
    """Checks that the user gave only flags that an evaluation of boxes can use.

    Args:
        request: The evaluation.
        kind: Kind of the detector, in words.
        accepted: Further flags that this kind can use.

    Raises:
        ValueError: A flag is of no use; the message names it.
    """
    surplus = [name for name in request.given_flags if name not in (*_FLAGS_OF_BOXES, *accepted)]
    if surplus:
        raise ValueError(f"--{surplus[0]} cannot be combined with a config of a {kind}")


@dataclasses.dataclass(frozen=True)
class TuningRequest:
    """A search over thresholds and tracker settings on an annotated split.

    Attributes:
        run: The run.
        split: Name of the split.
        output_dir: Folder for tuning.json.
        parse_choices: Function from what the values change to the values to try, by setting.
        tracker: The tracker that the values change.
        objective: Metric to maximize.
        method: 'grid' or 'coordinates'.
        num_processes: Processes of a grid; None for one per core.
    """

    run: RunChoice
    split: str
    output_dir: pathlib.Path
    parse_choices: Callable[[SearchSystem], Mapping[str, Sequence[Any]]]
    tracker: TrackerRequest
    objective: str
    method: str = "grid"
    num_processes: int | None = None


class TrainedSystem(Protocol):
    """A system that can be trained, evaluated and previewed."""

    DESCRIPTION_FILE: str

    def config_sections(self, values: Mapping[str, Any]) -> Mapping[str, Section]:
        """Returns the sections of a config besides the common ones; some depend on what the config holds."""

    def plan_training(self, config: Config, train: RecordTable, validation: RecordTable) -> TrainingPlan:
        """Composes model, loss, data and hooks from a config and the records of two splits."""

    def evaluate(self, config: Config, table: RecordTable, request: EvaluationRequest) -> pathlib.Path:
        """Predicts a split, writes and scores the results; returns the path of metrics.json."""

    def draw_inputs(self, config: Config, table: RecordTable, count: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yields names and pictures [H, W, 3] uint8 RGB of what the network sees in training."""


class PoseSystem(TrainedSystem, Protocol):
    """A system that finds the poses of people in pictures."""

    def load_model(self, run: RunChoice) -> PoseModel:
        """Loads a run as one function from frames to poses."""

    def export(
        self,
        run: RunChoice,
        output: pathlib.Path,
        formats: Sequence[str],
        quantization: QuantizationRequest | None = None,
    ) -> list[str]:
        """Writes a SavedModel, and the bare networks in other formats; returns what was written, in words."""


class TunableSystem(PoseSystem, Protocol):
    """A system whose thresholds can be searched without running its network again."""

    def tune(self, config: Config, table: RecordTable, request: TuningRequest) -> None:
        """Searches the thresholds and writes tuning.json."""
