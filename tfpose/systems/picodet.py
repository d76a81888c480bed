"""The small person detector of the two-stage system: PicoDet (Yu et al., "PP-PicoDet", 2021).

    image -> stretched to one size -> a score and a box for each cell -> the best boxes that do not overlap

It is trained and evaluated by itself; the two-stage system uses its boxes.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfpose.data.records import RecordTable
from tfpose.data.stretched_images import StretchedImages, StretchedInput
from tfpose.evaluation.box_scores import BOX_METRICS
from tfpose.evaluation.detection import evaluate_boxes
from tfpose.inference.detectors.picodet import load_picodet_detector
from tfpose.inference.picodet_system import PICODET_FILE, PicodetSettings, write_picodet_settings
from tfpose.models.picodet_objective import ObjectiveSettings
from tfpose.systems.config import Section
from tfpose.systems.system import Config, EvaluationRequest, refuse_flags_of_poses
from tfpose.training import picodet as training
from tfpose.training.batches import make_dataset, sample_inputs
from tfpose.training.loop import TrainingPlan
from tfpose.training.session import Hooks

DESCRIPTION_FILE = PICODET_FILE


def config_sections(values: Mapping[str, Any]) -> dict[str, Section]:
    """Returns the sections of a config."""
    del values
    return {
        "network": Section(PicodetSettings),
        "input": Section(StretchedInput),
        "objective": Section(ObjectiveSettings),
        "initialize": Section(training.build_initializer, without=("sample_inputs",)),
    }


def plan_training(config: Config, train: RecordTable, validation: RecordTable) -> TrainingPlan:
    """Composes the training of the detector on images that are stretched to its input size."""
    settings = PicodetSettings(**config.network)
    images = StretchedImages(train, settings.input_size, StretchedInput(**config.input), config.seed)
    return TrainingPlan(
        build_model=settings.build_network,
        compute_loss=training.build_loss(settings, ObjectiveSettings(**config.objective)),
        make_dataset=functools.partial(make_dataset, images, config.batch_size),
        hooks=Hooks(
            describe=functools.partial(write_picodet_settings, settings=settings),
            initialize=training.build_initializer(
                functools.partial(sample_inputs, images, "images", settings.normalization), **config.initialize
            ),
            evaluate=training.Validation(validation, settings),
            metrics=BOX_METRICS,
            draw_pictures=functools.partial(training.draw_examples, normalization=settings.normalization),
        ),
    )


def evaluate(config: Config, table: RecordTable, request: EvaluationRequest) -> pathlib.Path:
    """Finds the people of every image of a split, writes and scores their boxes; returns the path of metrics.json."""
    refuse_flags_of_poses(request, "PicoDet")
    network = config.network
    detector = load_picodet_detector(
        request.run.workdir, request.run.weights, network.score_threshold, network.iou_threshold
    )
    return evaluate_boxes(table, request.split, detector, request.output.directory)


def draw_inputs(config: Config, table: RecordTable, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields a picture per image: the stretched part of an image with the boxes that the network learns."""
    settings = PicodetSettings(**config.network)
    images = StretchedImages(table, settings.input_size, StretchedInput(**config.input), config.seed)
    for index in range(min(count, len(images))):
        batch = images.batch(index, 1, slice(0, 1))
        example = {name: values[0] for name, values in batch.items()}
        yield f"image_{index:06d}", training.draw_example(example, settings.normalization)
