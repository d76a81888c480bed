"""The single heatmap network of Payer et al., 2017, from top to bottom.

    frame -> network input -> head maps and joint maps of everybody -> heads
    for each head: joint maps x a filter around this head -> joints of this person -> pose
    poses of successive frames -> tracks

One network with two parts is trained, on whole frames.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.checkpoints import load_for_inference
from tfpose.data.frame_augmentation import FrameAugmentation
from tfpose.data.records import RecordTable
from tfpose.data.whole_frames import ExampleSettings, WholeFrames
from tfpose.evaluation.single_network import (
    EvaluationSettings,
    ThresholdSearch,
    TrainedNetwork,
    Validation,
    choose_network_dtype,
    load_trained_network,
    predict_split,
    tune_split,
)
from tfpose.evaluation.single_network_search import SearchSystem
from tfpose.evaluation.splits import evaluate_split, with_dtype
from tfpose.exporting.quantized_files import QuantizationRequest
from tfpose.exporting.single_network import SingleNetworkModule, export_single_network
from tfpose.inference.frame_peaks import SingleNetworkSettings
from tfpose.inference.single_network_system import (
    SINGLE_NETWORK_FILE,
    SingleNetworkSystem,
    build_single_network_system,
    read_single_network_system,
    with_inference,
    write_single_network_system,
)
from tfpose.metrics.coco import STATISTICS
from tfpose.models.pose_unet import PoseUnet, PoseUnetSettings
from tfpose.models.unfilled import build_unfilled
from tfpose.prediction.model import PoseModel, function_of_frames
from tfpose.skeletons import choose_skeleton
from tfpose.systems.config import Section
from tfpose.systems.system import Config, EvaluationRequest, RunChoice, TuningRequest
from tfpose.tracking.choice import TrackerChoice, choice_from_settings
from tfpose.tracking.settings import SmoothingSettings, TrackerSettings
from tfpose.training import single_network as training
from tfpose.training.batches import make_dataset
from tfpose.training.loop import TrainingPlan
from tfpose.training.session import Hooks
from tfpose.training.single_network_start import build_initializer

DESCRIPTION_FILE = SINGLE_NETWORK_FILE


def config_sections(values: Mapping[str, Any]) -> dict[str, Section]:
    """Returns the sections of a config; `tracker` holds the settings of the tracker that evaluation uses."""
    del values
    return {
        "network": Section(PoseUnetSettings),
        "augmentation": Section(FrameAugmentation),
        "examples": Section(ExampleSettings),
        "target": Section(training.TargetSettings),
        "loss": Section(training.build_loss, without=("build_targets", "target")),
        "initialize": Section(build_initializer, without=("system",)),
        # The mask around a head is that of training, a setting of the network.
        "inference": Section(SingleNetworkSettings, without=("head_mask_sigma_cells",)),
        "tracker": Section(TrackerSettings, also=(SmoothingSettings,)),
        "evaluation": Section(EvaluationSettings),
    }


def plan_training(config: Config, train: RecordTable, validation: RecordTable) -> TrainingPlan:
    """Composes the training of the network on whole frames."""
    system, frames, target, build_targets = _compose(config, train)
    return TrainingPlan(
        build_model=system.build_network,
        compute_loss=training.build_loss(build_targets, target, **config.loss),
        make_dataset=functools.partial(make_dataset, frames, config.batch_size),
        hooks=Hooks(
            describe=functools.partial(write_single_network_system, system=system),
            initialize=build_initializer(system, **config.initialize),
            evaluate=Validation(validation, system, config.evaluation.batch_size),
            metrics=STATISTICS,
            draw_pictures=functools.partial(
                training.draw_examples, build_targets=build_targets, skeleton=system.skeleton
            ),
        ),
    )


def _compose(
    config: Config, table: RecordTable
) -> tuple[SingleNetworkSystem, WholeFrames, training.TargetSettings, training.BuildTargets]:
    """Returns the system of a config, its training examples, and their targets."""
    skeleton = choose_skeleton(config.skeleton, table.skeleton)
    sections, examples = (config.network.to_dict(), config.inference.to_dict()), ExampleSettings(**config.examples)
    system = build_single_network_system(skeleton, *sections, examples.anchor_joints)
    augmentation = FrameAugmentation(**config.augmentation)
    frames = WholeFrames(table, skeleton, system.fit, augmentation, config.seed, examples)
    target = training.TargetSettings(**config.target)
    return system, frames, target, training.build_target_function(system.fit.heatmap_size, target)


def evaluate(config: Config, table: RecordTable, request: EvaluationRequest) -> pathlib.Path:
    """Predicts a split, tracks its videos, writes and scores the poses; returns the path of metrics.json."""
    tracker = request.tracker.choose(choice_from_settings(config.tracker))
    trained = _load(config, request.run)
    prediction = predict_split(table, trained, config.evaluation.batch_size)
    prediction = with_dtype(prediction, trained.dtype)
    return evaluate_split(
        table, request.split, prediction, request.output, request.scoring, tracker, request.provenance
    )


def tune(config: Config, table: RecordTable, request: TuningRequest) -> None:
    """Runs the network once over a split, then searches its thresholds and the tracker's settings."""
    trained = _load(config, request.run)
    tracker = request.tracker.choose(choice_from_settings(config.tracker)) or TrackerChoice()
    base = SearchSystem(trained.system.skeleton, trained.system.inference, tracker)
    search = ThresholdSearch(
        base, request.parse_choices(base), request.objective, request.method, request.num_processes
    )
    tune_split(table, request.split, trained, config.evaluation.batch_size, search, request.output_dir)


def _load(config: Config, run: RunChoice) -> TrainedNetwork:
    """Returns the network of a run with the thresholds of a config, or the tuned ones."""
    _refuse_boxes(run)
    inference = config.inference.to_dict() | (dict(run.tuned.inference) if run.tuned else {})
    return load_trained_network(run.workdir, run.weights, config.network.to_dict(), inference, run.inference_dtype)


def load_model(run: RunChoice) -> PoseModel:
    """Loads a run as one function from frames to poses."""
    system, network, _ = _load_run(run)
    dtype = choose_network_dtype(run.inference_dtype, network, system)
    find_people = function_of_frames(SingleNetworkModule(network, system, dtype).find_people_in_frames)
    return PoseModel(find_people, system.skeleton, system.inference.joint_threshold, str(run.workdir))


def export(
    run: RunChoice, output: pathlib.Path, formats: Sequence[str], quantization: QuantizationRequest | None = None
) -> list[str]:
    """Writes the SavedModel of a run."""
    if quantization is not None:
        raise ValueError(
            f"--quantize: {run.workdir} must be the work folder of a keypoint network, got a single network"
        )
    system, network, loaded = _load_run(run)
    dtype = choose_network_dtype(run.inference_dtype, network, system)
    return [str(loaded), *export_single_network(network, system, output, formats, dtype)]


def _load_run(run: RunChoice) -> tuple[SingleNetworkSystem, PoseUnet, pathlib.Path]:
    """Returns the system of a run with its tuned thresholds, its network as trained, and the file of the weights."""
    _refuse_boxes(run)
    system = read_single_network_system(run.workdir)
    if run.tuned:
        system = with_inference(system, {**vars(system.inference), **run.tuned.inference})
    if run.use_flip_test is not None:
        system = with_inference(system, {**vars(system.inference), "use_flip_test": run.use_flip_test})
    network = build_unfilled(system.build_network)
    return system, network, load_for_inference(network, run.workdir, run.weights)


def _refuse_boxes(run: RunChoice) -> None:
    if run.boxes is not None:
        raise ValueError(
            f"--{run.box_flags[0]} cannot be combined with the single network in {run.workdir}, which finds people "
            "without boxes"
        )


def draw_inputs(config: Config, table: RecordTable, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields a picture per frame: for each person of interest the labels, and the targets of heads and joints."""
    system, frames, _, build_targets = _compose(config, table)
    count = min(count, len(frames))
    batch = frames.batch(0, count, slice(0, count))
    for row, picture in enumerate(training.draw_targets(batch, build_targets, system.skeleton)):
        yield f"frame_{row:06d}", picture
