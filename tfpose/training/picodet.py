"""Loss, first weights, validation and pictures of PicoDet, for `training.loop.train`."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping

import cv2
import keras
import numpy as np
import tensorflow as tf

from tfpose.checkpoints import load_for_inference
from tfpose.crops import Normalization
from tfpose.data.records import RecordTable
from tfpose.evaluation.box_scores import score_boxes
from tfpose.evaluation.shares import ALONE, DeviceCopies, EvaluationShare
from tfpose.importing.named_weights import find_workdir, require_kinds
from tfpose.inference.detected_boxes import boxes_of_table
from tfpose.inference.detectors.picodet import PicodetDetector
from tfpose.inference.person_keypoints import PersonBoxes
from tfpose.inference.picodet_system import PicodetSettings, read_picodet_settings
from tfpose.models.picodet_objective import ObjectiveSettings, compute_losses
from tfpose.models.unfilled import build_unfilled
from tfpose.training.batches import network_inputs, shown_colors
from tfpose.training.initial_weights import restore_statistics
from tfpose.training.step import Batch, ComputeLoss, Losses
from tfpose.visualization import tile_pictures

BOX_COLOR = (255, 220, 0)
IGNORED_COLOR = (128, 128, 128)


def build_loss(settings: PicodetSettings, objective: ObjectiveSettings) -> ComputeLoss:
    """Returns the function that computes the losses of PicoDet on a batch of `data.stretched_images`.

    Each loss is a mean over the cells of a replica, and its weight is the number of images: the number of people's
    cells depends on the network, see `training.keypoint_rcnn.build_loss`.

    Args:
        settings: The network.
        objective: Assignment and weights of the losses.
    """

    def compute_loss(model: keras.Model, batch: Batch) -> Losses:
        images = network_inputs(batch["images"], batch, settings.normalization)
        terms = compute_losses(model(images, training=True), batch, settings.input_size, objective)
        num_images = tf.cast(tf.shape(images)[0], tf.float32)
        return {name: (value * num_images, num_images) for name, value in terms.items()}, {}

    return compute_loss


class Validation:
    """Scores the detector on a split: COCO's metrics of boxes as `box_AP` and so on.

    The network is evaluated in float32 whatever it is trained in, as tfpose evaluate evaluates its weights.

    Args:
        table: Records of the split.
        settings: The network and its thresholds.
    """

    def __init__(self, table: RecordTable, settings: PicodetSettings) -> None:
        self.table, self.settings = table, settings
        self._copies: DeviceCopies[keras.Model, PicodetDetector] = DeviceCopies(
            lambda network: PicodetDetector(network, settings)
        )

    def __call__(self, model: keras.Model, step: int = 0, share: EvaluationShare = ALONE) -> dict[str, float]:
        """Returns the metrics in percent by name. All devices and workers look at a share of the images."""
        detectors = self._copies.update(model, self.settings.build_network, share.devices)

        def find(device: int, part: slice) -> tuple[np.ndarray, ...]:
            people = boxes_of_table(self.table, detectors[device], part)
            return people.images, people.boxes, people.scores, people.rows

        images, boxes, scores, rows = share.run(self.table.num_images, 1, find)
        people = PersonBoxes(images, boxes, scores, rows, detectors[0].source)
        return {f"box_{name}": value for name, value in score_boxes(self.table, people).items()}


def build_initializer(
    sample_inputs: Callable[[], Iterable[tf.Tensor]], source_workdir: str = "", from_scratch: bool = False
) -> Callable[[keras.Model], None]:
    """Returns the function that gives a fresh network its first weights.

    Args:
        sample_inputs: Function that returns batches [B, H, W, 3] of inputs of the network in training. It is called for
            a source whose batch normalizations hold no statistics.
        source_workdir: Work folder of a finished run or of an imported checkpoint, or name of a public checkpoint,
            whose weights are copied; '' for none.
        from_scratch: Whether the network keeps its random weights.

    Raises:
        ValueError: Not exactly one of `source_workdir` and `from_scratch` is given.
    """
    if bool(source_workdir) == from_scratch:
        raise ValueError(
            "initialize must set exactly one of source_workdir and from_scratch, got "
            f"source_workdir={source_workdir!r}, from_scratch={from_scratch}"
        )
    require_kinds(source_workdir, "--config.initialize.source_workdir", "", wants_detector=True)

    def initialize(model: keras.Model) -> None:
        if source_workdir:
            workdir = find_workdir(source_workdir)
            source = build_unfilled(read_picodet_settings(workdir).build_network)
            load_for_inference(source, pathlib.Path(workdir))
            _check_shapes(source, model, source_workdir)
            model.set_weights(source.get_weights())
            restore_statistics(model, source_workdir, sample_inputs)

    return initialize


def _check_shapes(source: keras.Model, target: keras.Model, workdir: str) -> None:
    for theirs, ours in zip(source.weights, target.weights, strict=True):
        if tuple(theirs.shape) != tuple(ours.shape):
            raise ValueError(
                f"{workdir}: {ours.path} must have shape {tuple(ours.shape)}, got {tuple(theirs.shape)}; "
                "config.network.width and config.network.scale must be those of the source"
            )


def draw_examples(
    model: keras.Model, batch: Batch, normalization: Normalization, num_examples: int = 4
) -> dict[str, np.ndarray]:
    """Draws the images of a training batch with their boxes."""
    del model
    count = min(num_examples, len(batch["images"]))
    examples = ({name: values[index].numpy() for name, values in batch.items()} for index in range(count))
    return {"input": tile_pictures([draw_example(example, normalization) for example in examples], columns=2)}


def draw_example(example: Mapping[str, np.ndarray], normalization: Normalization) -> np.ndarray:
    """Draws one example of a batch as a picture [H, W, 3]: boxes of people, and in gray what is ignored."""
    picture = shown_colors(example["images"], example["color_gains"], normalization)
    people = example["boxes"][example["person_weights"] > 0]
    for boxes, color in ((example["ignored_boxes"], IGNORED_COLOR), (people, BOX_COLOR)):
        for box in boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]:
            corners = np.rint(box).astype(int).tolist()
            picture = cv2.rectangle(picture, corners[:2], corners[2:], color)
    return picture
