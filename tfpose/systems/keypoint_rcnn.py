"""The person detector of the two-stage system: Keypoint R-CNN (He et al., "Mask R-CNN", 2017).

    image -> feature pyramid -> proposals -> boxes of people with scores -> keypoints (optional head)

It is trained and evaluated by itself; the two-stage system uses its boxes.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfpose.data.detection_images import DetectionImages, DetectionInput
from tfpose.data.records import RecordTable
from tfpose.evaluation.box_scores import BOX_METRICS
from tfpose.evaluation.detection import DetectorRun, EvaluationSettings, evaluate_detector
from tfpose.inference.keypoint_rcnn_system import (
    KEYPOINT_RCNN_FILE,
    keypoint_rcnn_settings,
    read_keypoint_rcnn_skeleton,
    write_keypoint_rcnn_settings,
)
from tfpose.metrics.coco import STATISTICS
from tfpose.models.keypoint_rcnn.network import build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.sampling import SamplingSettings
from tfpose.models.keypoint_rcnn.settings import KeypointRcnnSettings
from tfpose.skeletons import choose_skeleton
from tfpose.systems.config import Section
from tfpose.systems.system import Config, EvaluationRequest, refuse_flags_of_poses
from tfpose.training import keypoint_rcnn as training
from tfpose.training.batches import make_dataset
from tfpose.training.loop import TrainingPlan
from tfpose.training.session import Hooks

DESCRIPTION_FILE = KEYPOINT_RCNN_FILE


def config_sections(values: Mapping[str, Any]) -> dict[str, Section]:
    """Returns the sections of a config; the number of joints is that of the skeleton."""
    del values
    return {
        "network": Section(KeypointRcnnSettings, without=("num_joints",)),
        "input": Section(DetectionInput),
        "sampling": Section(SamplingSettings),
        "initialize": Section(training.build_initializer, without=("joints",)),
        "evaluation": Section(EvaluationSettings),
    }


def plan_training(config: Config, train: RecordTable, validation: RecordTable) -> TrainingPlan:
    """Composes the training of the detector on whole images."""
    if config.optimization.jit_compile:
        raise ValueError(
            "--config.optimization.jit_compile must be False for a Keypoint R-CNN, whose numbers of boxes XLA does not "
            "know when it compiles, got True"
        )
    skeleton = choose_skeleton(config.skeleton, train.skeleton)
    settings = keypoint_rcnn_settings({**config.network.to_dict(), "num_joints": skeleton.num_joints})
    images = DetectionImages(train, skeleton, DetectionInput(**config.input), config.seed)
    return TrainingPlan(
        build_model=functools.partial(build_keypoint_rcnn, settings),
        compute_loss=training.build_loss(SamplingSettings(**config.sampling)),
        make_dataset=functools.partial(make_dataset, images, config.batch_size),
        hooks=Hooks(
            describe=functools.partial(write_keypoint_rcnn_settings, settings=settings, skeleton=skeleton),
            initialize=training.build_initializer(**config.initialize, joints=skeleton.joints),
            evaluate=training.Validation(validation, skeleton, config.evaluation.batch_size),
            metrics=(*BOX_METRICS, *STATISTICS) if settings.has_keypoint_head else BOX_METRICS,
            draw_pictures=functools.partial(training.draw_examples, skeleton=skeleton),
        ),
    )


def evaluate(config: Config, table: RecordTable, request: EvaluationRequest) -> pathlib.Path:
    """Finds the people of every image of a split, writes and scores their boxes; returns the path of metrics.json."""
    refuse_flags_of_poses(request, "Keypoint R-CNN", accepted=("inference_dtype",))
    skeleton = read_keypoint_rcnn_skeleton(request.run.workdir) or choose_skeleton(config.skeleton, table.skeleton)
    settings = EvaluationSettings(**config.evaluation)
    return evaluate_detector(
        table,
        request.split,
        skeleton,
        DetectorRun(request.run.workdir, request.run.weights, request.run.inference_dtype),
        request.output.directory,
        settings.batch_size,
    )


def draw_inputs(config: Config, table: RecordTable, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields a picture per image: the resized image with the boxes and joints that the network learns.

    The person with the most labeled joints has the names of the joints.
    """
    skeleton = choose_skeleton(config.skeleton, table.skeleton)
    images = DetectionImages(table, skeleton, DetectionInput(**config.input), config.seed)
    for index in range(min(count, len(images))):
        batch = images.batch(index, 1, slice(0, 1))
        example = {name: values[0] for name, values in batch.items()}
        yield f"image_{index:06d}", training.draw_named_example(example, skeleton)
