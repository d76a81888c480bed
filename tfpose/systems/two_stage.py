"""The two-stage system of Honda et al., 2018, from top to bottom.

    image -> boxes of people -> crops -> keypoint network -> heatmaps -> keypoints in the image -> poses

A detector or annotated boxes say where people are; a keypoint network, `network.name` in the config, regresses one
heatmap per joint for each crop. Trained is the keypoint network alone.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.crops import CropSettings, Normalization
from tfpose.data.augmentation import Augmentation
from tfpose.data.person_crops import PersonCrops
from tfpose.data.records import RecordTable
from tfpose.evaluation.dtype_choice import choose_dtype
from tfpose.evaluation.person_scores import score_network
from tfpose.evaluation.splits import SplitPrediction, evaluate_split, with_dtype
from tfpose.evaluation.two_stage import EvaluationSettings, predict_split
from tfpose.exporting.litert_files import prepare_litert
from tfpose.exporting.quantized_files import QuantizationRequest, check_dataset, write_quantized
from tfpose.exporting.two_stage import KeypointModule, bare_networks, export_keypoint_network
from tfpose.exporting.two_stage_detector import TwoStageModule, export_two_stage
from tfpose.inference.detected_boxes import BoxSettings
from tfpose.inference.detectors import find_litert_loader, load_exportable_detector
from tfpose.inference.detectors.boxes_file import BoxesFile
from tfpose.inference.detectors.detector import ExportableDetector
from tfpose.inference.keypoint_networks import DEFAULT_NETWORK, NOT_SETTINGS, find_network
from tfpose.inference.keypoint_system import (
    KEYPOINT_SYSTEM_FILE,
    KeypointSystem,
    build_keypoint_system,
    read_keypoint_system,
    with_margin,
    with_settings,
    write_keypoint_system,
)
from tfpose.inference.litert_network import LitertNetwork
from tfpose.inference.two_stage import KeypointSettings, SelectionSettings
from tfpose.messages import describe_error
from tfpose.models.simplification import simplify_network
from tfpose.models.unfilled import build_unfilled
from tfpose.prediction.box_model import BoxPoseModel
from tfpose.prediction.model import PoseModel, function_of_frames
from tfpose.pretrained.public_checkpoints import DEFAULT_DETECTOR
from tfpose.skeletons import choose_skeleton
from tfpose.systems.config import Section
from tfpose.systems.system import Config, EvaluationRequest, RunChoice
from tfpose.tracking.choice import TrackerChoice
from tfpose.training import two_stage as training
from tfpose.training.batches import make_dataset, sample_inputs, shown_colors
from tfpose.training.distillation import (
    TEACHER_FILE,
    DistillationSettings,
    Teacher,
    build_distilled_loss,
    draw_distilled_examples,
)
from tfpose.training.loop import TrainingPlan, describe_also
from tfpose.training.session import Hooks
from tfpose.visualization import (
    add_side_legend,
    draw_named_pose,
    enlarge,
    naming_factor,
    overlay_heatmaps,
    tile_pictures,
)

DESCRIPTION_FILE = KEYPOINT_SYSTEM_FILE
# Average precision rewards uncertain boxes, which the detector's own threshold keeps; whoever looks at people does not.
SHOWN_BOX_THRESHOLD = 0.5
# Tracing a graph takes as long as it saves in about fifteen frames.
_MOST_FRAMES_WITHOUT_GRAPH = 8


def config_sections(values: Mapping[str, Any]) -> dict[str, Section]:
    """Returns the sections of a config; those of the network are the arguments of the function that builds it."""
    network = {"name": DEFAULT_NETWORK, **values.get("network", {})}
    return {
        "network": Section(find_network(network).build, without=NOT_SETTINGS, extra={"name": network["name"]}),
        "crop": Section(CropSettings, without=("crop_size",)),
        "normalization": Section(Normalization),
        "augmentation": Section(Augmentation),
        "target": Section(training.TargetSettings),
        "loss": Section(training.build_loss, without=("build_targets", "normalization")),
        "initialize": Section(training.build_initializer, without=("system", "sample_inputs")),
        "distillation": Section(DistillationSettings),
        "inference": Section(KeypointSettings),
        "selection": Section(SelectionSettings),
        "evaluation": Section(EvaluationSettings),
    }


def plan_training(config: Config, train: RecordTable, validation: RecordTable) -> TrainingPlan:
    """Composes the training of the keypoint network on crops of people."""
    system, build_targets = _compose(config, train)
    settings = DistillationSettings(**config.distillation)
    if settings.is_used:
        return _plan_distillation(config, train, validation, Teacher(settings, system))
    plan = TrainingPlan(
        build_model=system.build_network,
        compute_loss=training.build_loss(build_targets, system.normalization, **config.loss),
        make_dataset=functools.partial(make_dataset, _find_examples(config, train, system), config.batch_size),
        hooks=dataclasses.replace(
            _build_hooks(config, train, validation, system),
            draw_pictures=functools.partial(
                training.draw_examples,
                build_targets=build_targets,
                normalization=system.normalization,
                skeleton=system.skeleton,
            ),
        ),
    )
    return describe_also(plan, _forget_teacher)


def _plan_distillation(config: Config, train: RecordTable, validation: RecordTable, teacher: Teacher) -> TrainingPlan:
    """Composes the same with a teacher, who also knows where the joints of people without labels are."""
    system, build_targets = _compose(config, train)
    people = _find_examples(config, train, system, teacher)
    hooks = _build_hooks(config, train, validation, system)
    plan = TrainingPlan(
        build_model=system.build_network,
        compute_loss=build_distilled_loss(teacher, build_targets, **config.loss),
        make_dataset=functools.partial(make_dataset, people, config.batch_size),
        hooks=dataclasses.replace(hooks, draw_pictures=functools.partial(draw_distilled_examples, teacher=teacher)),
        prepare=teacher.build,
    )
    return describe_also(plan, teacher.describe)


def _build_hooks(config: Config, train: RecordTable, validation: RecordTable, system: KeypointSystem) -> Hooks:
    """Returns the hooks of a training without that of the pictures."""

    def sample() -> Iterator[tf.Tensor]:
        augmentation = Augmentation(**config.augmentation)
        people = PersonCrops(train, system.skeleton, system.crop, augmentation, config.seed, needs_labels=False)
        return sample_inputs(people, "crops", system.normalization)

    evaluate = training.Validation(validation, system, config.evaluation.batch_size)
    return Hooks(
        describe=functools.partial(write_keypoint_system, system=system),
        initialize=training.build_initializer(system, sample, **config.initialize),
        evaluate=evaluate,
        metrics=evaluate.metrics,
    )


def _forget_teacher(workdir: pathlib.Path) -> None:
    """Removes the description of a teacher that an earlier run in a work folder had."""
    (workdir / TEACHER_FILE).unlink(missing_ok=True)


def _compose(config: Config, table: RecordTable) -> tuple[KeypointSystem, training.BuildTargets]:
    """Returns the system of a config and the function that makes the target heatmaps of its training examples."""
    skeleton = choose_skeleton(config.skeleton, table.skeleton)
    sections = ("network", "crop", "normalization", "inference", "selection")
    system = build_keypoint_system(skeleton, **{name: config[name].to_dict() for name in sections})
    target = training.TargetSettings(**config.target)
    return system, training.build_target_function(system.crop, system.heatmap_size, target)


def _find_examples(
    config: Config, table: RecordTable, system: KeypointSystem, teacher: Teacher | None = None
) -> PersonCrops:
    """Returns the training examples of a config."""
    crop = system.crop if teacher is None else teacher.shared_crop
    augmentation = Augmentation(**config.augmentation)
    return PersonCrops(table, system.skeleton, crop, augmentation, config.seed, needs_labels=teacher is None)


def predict(config: Config, table: RecordTable, run: RunChoice, output_dir: pathlib.Path) -> SplitPrediction:
    """Finds the people of every image of a split by the settings of a config."""
    if run.tuned is not None and run.tuned.inference:
        raise ValueError(
            f"--tuned={run.tuned.path}: requires a config of the single network, got one of the two-stage system"
        )
    system = with_settings(_read_system(run), config.inference.to_dict(), config.selection.to_dict())
    network, loaded = _load_network(system, run)
    dtype = _choose_dtype(system, run)
    network, settings = simplify_network(network, dtype), EvaluationSettings(**config.evaluation)
    boxes = _choose_boxes(run) or BoxSettings()
    prediction = predict_split(table, network, system, str(loaded), boxes, output_dir, settings)
    return with_dtype(prediction, dtype)


def evaluate(config: Config, table: RecordTable, request: EvaluationRequest) -> pathlib.Path:
    """Predicts a split, tracks its videos, writes and scores the poses; returns the path of metrics.json."""
    tracker = request.tracker.choose(TrackerChoice())
    prediction = predict(config, table, request.run, request.output.directory)
    return evaluate_split(
        table, request.split, prediction, request.output, request.scoring, tracker, request.provenance
    )


def load_model(run: RunChoice) -> PoseModel:
    """Loads keypoint network and detector as one function from frames to poses."""
    if run.boxes is None:
        raise ValueError(
            f"{run.workdir}: the network finds the joints of people in given boxes; --detector must name a person "
            f"detector too, such as the public {DEFAULT_DETECTOR}, or be whole_image for images of one person each; or "
            "--boxes a file"
        )
    _refuse_tuned(run)
    system = _read_system(run)
    description = (system.skeleton, system.selection.joint_threshold)
    network, detector = _load_for_prediction(system, run)
    if detector is None:
        boxes = run.boxes
        # As in evaluation, all boxes of a file count; without a dataset, nobody says which category is people.
        file = BoxesFile(boxes.source, boxes.score_threshold, boxes.iou_threshold, category_id=None)
        find_poses = KeypointModule(network, system).find_poses_in_boxes
        return BoxPoseModel(find_poses, file, *description, str(run.workdir))
    module = TwoStageModule(network, system, detector)
    # TensorFlow's own networks are faster in a graph, and round differently there.
    needs_graph = not module.is_in_litert or run.num_frames is None or run.num_frames > _MOST_FRAMES_WITHOUT_GRAPH
    return PoseModel(function_of_frames(module.find_poses_in_frames, needs_graph), *description, str(run.workdir))


def _load_for_prediction(
    system: KeypointSystem, run: RunChoice
) -> tuple[keras.Model | LitertNetwork, ExportableDetector | None]:
    """Returns the keypoint network and the detector, if boxes do not come from a file."""
    detector = run.boxes.detector if run.boxes else ""
    dtype = _choose_dtype(system, run)
    if run.prefers_litert and dtype == "float32" and not tf.config.list_physical_devices("GPU"):
        try:
            return _load_litert(system, run, detector)
        except (OSError, ValueError) as error:
            print(f"note: {describe_error(error)}; TensorFlow runs the networks instead of LiteRT", file=sys.stderr)
    network, _ = _load_network(system, run)
    boxes = _choose_boxes(run)
    return simplify_network(network, dtype), _load_detector(boxes) if boxes and detector else None


def _load_litert(
    system: KeypointSystem, run: RunChoice, detector: str
) -> tuple[LitertNetwork, ExportableDetector | None]:
    """Does the same with networks in LiteRT, where there is a counterpart."""
    path = prepare_litert(
        run.workdir, lambda: bare_networks(simplify_network(_load_network(system, run)[0]))["keypoints"]
    )
    network = LitertNetwork(path)
    if run.boxes is None or not detector:
        return network, None
    load = find_litert_loader(detector)
    if load is None:
        return network, _load_detector(run.boxes)
    boxes = run.boxes
    path = prepare_litert(pathlib.Path(detector), lambda: _load_detector(boxes).bare_networks["detector"])
    return network, load(detector, path, _shown_threshold(boxes), boxes.iou_threshold)


def export(
    run: RunChoice, output: pathlib.Path, formats: Sequence[str], quantization: QuantizationRequest | None = None
) -> list[str]:
    """Writes the SavedModel of the keypoint network, behind the detector where there is one."""
    _refuse_tuned(run)
    if quantization:
        check_dataset(quantization)
    system = _read_system(run)
    network, loaded = _load_network(system, run)
    dtype = _choose_dtype(system, run)
    write_more = functools.partial(write_quantized, quantization, system) if quantization else None
    boxes = _choose_boxes(run)
    if boxes is None or not boxes.detector:
        written = export_keypoint_network(network, system, output, formats, write_more, dtype)
    else:
        detector = _load_detector(boxes)
        written = export_two_stage(network, system, detector, output, formats, write_more, dtype)
    return [str(loaded), *written]


def _choose_boxes(run: RunChoice) -> BoxSettings | None:
    """Returns where a run looks for people, with the number format of its detector."""
    return run.boxes and dataclasses.replace(run.boxes, detector_dtype=run.inference_dtype.of_detector)


def _load_detector(boxes: BoxSettings) -> ExportableDetector:
    threshold = _shown_threshold(boxes)
    return load_exportable_detector(
        boxes.detector, boxes.detector_weights, threshold, boxes.iou_threshold, boxes.detector_dtype
    )


def _shown_threshold(boxes: BoxSettings) -> float:
    return SHOWN_BOX_THRESHOLD if boxes.score_threshold is None else boxes.score_threshold


def _refuse_tuned(run: RunChoice) -> None:
    if run.tuned is not None:
        raise ValueError(f"--tuned: {run.workdir} must be the work folder of a single network, got a keypoint network")


def _read_system(run: RunChoice) -> KeypointSystem:
    """Returns the system of a run, with the margin of crops and the flip test that the user asked for."""
    system = read_keypoint_system(run.workdir)
    if run.use_flip_test is not None:
        keypoints = dataclasses.replace(system.keypoints, use_flip_test=run.use_flip_test)
        system = dataclasses.replace(system, keypoints=keypoints)
    if run.boxes is None or run.boxes.margin_pixels is None:
        return system
    return with_margin(system, run.boxes.margin_pixels)


def _load_network(system: KeypointSystem, run: RunChoice) -> tuple[keras.Model, pathlib.Path]:
    """Returns the network of a run with its weights, as trained, and the file that they came from."""
    network = build_unfilled(system.build_network)
    return network, load_for_inference(network, run.workdir, run.weights)


def _choose_dtype(system: KeypointSystem, run: RunChoice) -> str:
    """Returns the number format in which the network finds poses."""

    def score(table: RecordTable, dtype: str) -> float:
        return score_network(table, simplify_network(_load_network(system, run)[0], dtype), system)

    return choose_dtype(run.inference_dtype, score)


def draw_inputs(config: Config, table: RecordTable, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields a picture per person: the augmented crop with its named keypoints, and the target heatmaps over it."""
    system, build_targets = _compose(config, table)
    people = _find_examples(config, table, system)
    count = min(count, len(people))
    batch = people.batch(0, count, slice(0, count))
    targets, weights = (np.asarray(values) for values in build_targets(batch))
    for row, person in enumerate(batch["person"]):
        crop = shown_colors(batch["crops"][row], batch["color_gains"][row], system.normalization)
        drawn = draw_named_pose(crop, batch["keypoints"][row], weights[row] > 0, system.skeleton)
        target = enlarge(overlay_heatmaps(crop, targets[row]), naming_factor(crop))
        yield f"person_{person:06d}", add_side_legend(tile_pictures([drawn, target], columns=2))
