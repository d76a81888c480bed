"""Evaluates what `tfpose export` wrote: LiteRT files of keypoint networks, and SavedModels.

Crops, normalization, decoding and skeleton are those of the export, which lie beside the file. Flags of the form
--config.inference.NAME and --config.selection.NAME change them where the file leaves a choice; other flags of the
config that would change the poses of a work folder are refused.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfpose.data.records import RecordTable
from tfpose.evaluation.splits import SplitPrediction, evaluate_split
from tfpose.evaluation.two_stage import EvaluationSettings, predict_split
from tfpose.exporting.system_file import EXTRA_FOLDER, read_system_description
from tfpose.inference.detected_boxes import GROUND_TRUTH, BoxSettings, find_boxes
from tfpose.inference.keypoint_system import (
    KEYPOINT_SYSTEM_FILE,
    KeypointSystem,
    read_keypoint_system,
    with_margin,
    with_settings,
)
from tfpose.inference.litert_network import LitertNetwork
from tfpose.inference.person_keypoints import PersonBoxes, poses_by_image
from tfpose.messages import count_of, describe_error
from tfpose.poses import Poses, no_poses
from tfpose.prediction.model import as_arrays, is_saved_model, poses_from_outputs
from tfpose.systems.system import Config, EvaluationRequest
from tfpose.tracking.choice import choice_from_settings

LITERT_SUFFIX = ".tflite"
# The source of boxes that stands for the person detector in a SavedModel.
OWN_DETECTOR = "model"


def evaluate_exported(
    model: pathlib.Path, config: Config, table: RecordTable, request: EvaluationRequest
) -> pathlib.Path:
    """Evaluates an exported model on a split; returns the path of metrics.json.

    Args:
        model: A LiteRT file of a keypoint network, or the folder of a SavedModel.
        config: Config with the settings of the evaluation. Its network is not used.
        table: Records of the split.
        request: The evaluation; its work folder is not used.

    Raises:
        FileNotFoundError, ValueError: The model is missing or damaged, or cannot be used with these flags.
    """
    tracker = request.tracker.choose(choice_from_settings(config.get("tracker", {})))
    if model.suffix == LITERT_SUFFIX:
        prediction = _predict_litert(model, config, table, request)
    elif is_saved_model(model):
        prediction = _predict_saved_model(model, config, table, request)
    else:
        raise FileNotFoundError(
            f"--model must be a {LITERT_SUFFIX} file or the folder of a SavedModel, got {model}; --workdir takes the "
            "work folder of a run"
        )
    return evaluate_split(table, request.split, prediction, request.output, request.scoring, tracker)


def _predict_litert(
    file: pathlib.Path, config: Config, table: RecordTable, request: EvaluationRequest
) -> SplitPrediction:
    """Finds the people of a split by a keypoint network in LiteRT."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: not found; expected a LiteRT file")
    boxes = request.run.boxes or BoxSettings()
    if boxes.source == OWN_DETECTOR:
        raise ValueError(f"--boxes={OWN_DETECTOR} requires a SavedModel in --model, got {file}")
    _refuse_settings(file, request, ("evaluation", *_SECTIONS))
    system = _read_system(file.parent, file, request)
    settings = _evaluation_settings(config)
    return predict_split(
        table, _open_network(file, system), system, str(file), boxes, request.output.directory, settings
    )


def _evaluation_settings(config: Config) -> EvaluationSettings:
    """Returns the settings of a config of the two-stage system, or the default for another system's config."""
    values = config.get("evaluation", {})
    return EvaluationSettings(**values) if "box_score_threshold" in values else EvaluationSettings()


def _open_network(file: pathlib.Path, system: KeypointSystem) -> LitertNetwork:
    """Opens a LiteRT file and checks that it maps crops to heatmaps."""
    try:
        network = LitertNetwork(file)
        shape = network(tf.zeros((1, *system.crop.crop_size, 3))).shape
    except (AttributeError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = describe_error(error).removeprefix(f"{file}: ")
        raise ValueError(f"{file}: must be the LiteRT file of the keypoint network beside it: {reason}") from error
    expected = (1, *system.heatmap_size, system.skeleton.num_joints)
    if tuple(shape) != expected:
        raise ValueError(f"{file}: heatmaps must be {list(expected)}, got {list(shape)}")
    return network


def _read_system(folder: pathlib.Path, model: pathlib.Path, request: EvaluationRequest) -> KeypointSystem:
    """Reads the keypoint system of an export, with the settings that flags change."""
    path = folder / KEYPOINT_SYSTEM_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{model}: requires {path}, which tfpose export writes for a keypoint network; export the network again"
        )
    system = read_keypoint_system(folder)
    values = system.to_dict()
    changed = (values[key] | _given_settings(section, request) for section, key in _SECTIONS.items())
    system = with_settings(system, *changed)
    margin = request.run.boxes.margin_pixels if request.run.boxes else None
    return system if margin is None else with_margin(system, margin)


# Sections of configs, and the names that a keypoint system has for them.
_SECTIONS = {"inference": "keypoints", "selection": "selection"}


def _given_settings(section: str, request: EvaluationRequest) -> dict[str, Any]:
    """Returns the settings of a section of the config that flags set, by name."""
    prefix = f"{section}."
    values = _overrides(request).items()
    return {name.removeprefix(prefix): value for name, value in values if name.startswith(prefix)}


def _overrides(request: EvaluationRequest) -> Mapping[str, Any]:
    return request.provenance.overrides if request.provenance else {}


def _refuse_settings(model: pathlib.Path, request: EvaluationRequest, sections: Sequence[str]) -> None:
    """Checks that flags change only what is not part of the export: data, tracker, and these sections of the config."""
    for name in _overrides(request):
        if name.partition(".")[0] not in ("data", "tracker", *sections) and name != "evaluation.batch_size":
            raise ValueError(f"--config.{name} has no effect on the export {model}, which holds its own settings")


def _predict_saved_model(
    directory: pathlib.Path, config: Config, table: RecordTable, request: EvaluationRequest
) -> SplitPrediction:
    """Finds the people of a split by a SavedModel: in given boxes if it takes boxes, otherwise by itself."""
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"{directory}: cannot be loaded as a SavedModel: {describe_error(error)}") from error
    boxes = request.run.boxes or BoxSettings()
    takes_boxes = "from_boxes" in loaded.signatures
    if takes_boxes:
        for name in _given_settings("inference", request):
            raise ValueError(f"--config.inference.{name} requires a {LITERT_SUFFIX} file in --model, got {directory}")
    if takes_boxes and boxes.source != OWN_DETECTOR:
        _refuse_settings(directory, request, ("evaluation", "selection"))
        return _predict_in_boxes(directory, loaded, table, request, _evaluation_settings(config).box_score_threshold)
    if request.run.box_flags and (not takes_boxes or boxes != BoxSettings(OWN_DETECTOR)):
        name = next(name for name in request.run.box_flags if name != "boxes" or not takes_boxes)
        raise ValueError(f"--{name} cannot be combined with the SavedModel {directory}, which finds people itself")
    if "serving_default" not in loaded.signatures:
        raise ValueError(
            f"{directory}: must have a person detector for --boxes={OWN_DETECTOR}; export it again with --detector"
        )
    _refuse_settings(directory, request, ())
    return _predict_alone(directory, loaded, table)


def _predict_alone(directory: pathlib.Path, loaded: Any, table: RecordTable) -> SplitPrediction:
    """Finds the people by `serving_default`, an image after another."""
    description = read_system_description(directory)
    if description is None:
        raise ValueError(f"{directory}: must describe its joints in {EXTRA_FOLDER}, got no description")
    find = loaded.signatures["serving_default"]
    poses = []
    for image in range(table.num_images):
        found = find(image_bytes=tf.constant([table.read_image_bytes(image)]))
        poses.append(poses_from_outputs(as_arrays(found), 0))
    threshold = description.joint_threshold
    return SplitPrediction(poses, description.skeleton, f"found by {directory}", str(directory), {}, threshold)


def _predict_in_boxes(
    directory: pathlib.Path, loaded: Any, table: RecordTable, request: EvaluationRequest, least_score: float
) -> SplitPrediction:
    """Finds the people by `from_boxes`, an image after another, and selects poses as every evaluation does."""
    boxes = request.run.boxes or BoxSettings()
    if boxes.margin_pixels is not None:
        raise ValueError(f"--box_extension_pixels requires a {LITERT_SUFFIX} file in --model, got {directory}")
    system = _read_system(directory / EXTRA_FOLDER, directory, request)
    people = find_boxes(table, boxes, request.output.directory)
    if boxes.score_threshold is None:
        people = people.select(people.scores >= least_score)
    num_boxes = count_of(len(people), "box", "boxes")
    print(f"{directory}: {num_boxes} ({people.source}) in {count_of(table.num_images, 'image')}")
    return SplitPrediction(
        poses=_poses_in_boxes(loaded, table, people, system),
        skeleton=system.skeleton,
        boxes=people.source,
        weights=str(directory),
        thresholds={**vars(system.selection), **vars(system.keypoints), **boxes.to_dict()},
        joint_threshold=system.selection.joint_threshold,
        has_annotated_boxes=boxes.source == GROUND_TRUTH,
    )


def _poses_in_boxes(loaded: Any, table: RecordTable, people: PersonBoxes, system: KeypointSystem) -> list[Poses]:
    if not len(people):
        return [no_poses(system.skeleton.num_joints)] * table.num_images
    clipped = system.crop.clip_annotated(people.boxes, table.sizes(people.images))
    shown = _with_area(np.where(people.rows[:, None] >= 0, clipped, people.boxes)).astype(np.float32)
    find, found = loaded.signatures["from_boxes"], []
    for image in np.unique(people.images):
        data = tf.constant([table.read_image_bytes(image)])
        outputs = find(image_bytes=data, boxes=tf.constant(shown[people.images == image][None]))
        found.append(outputs["keypoints"].numpy()[0])
    keypoints = np.concatenate(found)
    return poses_by_image(table, people, keypoints[..., :2].astype(np.float64), keypoints[..., 2], system)


def _with_area(boxes: np.ndarray) -> np.ndarray:
    """Returns boxes [N, 4] with sides of a pixel at least, as crops have; `from_boxes` takes no area for padding."""
    low, high = boxes[:, :2], boxes[:, 2:]
    is_short, centers = high - low < 1, (low + high) / 2
    return np.concatenate([np.where(is_short, centers - 0.5, low), np.where(is_short, centers + 0.5, high)], axis=1)
