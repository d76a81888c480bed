"""Loss, validation and pictures of the keypoint network, for `training.loop.train`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.checkpoints import load_for_inference
from tfpose.crops import CropSettings, Normalization
from tfpose.data.records import RecordTable
from tfpose.evaluation.person_scores import score_people
from tfpose.heatmaps import decode_heatmaps, encode_heatmaps
from tfpose.inference.keypoint_networks import find_network
from tfpose.inference.keypoint_system import KeypointSystem, read_keypoint_system
from tfpose.inference.person_keypoints import build_keypoint_function, ground_truth_boxes, predict_people
from tfpose.losses import hard_joint_weights, heatmap_mse
from tfpose.pretrained.transfer import transfer_weights
from tfpose.skeletons import Skeleton
from tfpose.visualization import draw_pose, overlay_heatmaps, tile_pictures

Batch = dict[str, tf.Tensor]
BuildTargets = Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]

# A joint counts as right in the training log when it is off by no more than this share of the map's longer side.
CLOSE_SHARE_OF_MAP = 0.05


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """Target heatmaps, see `heatmaps.encode_heatmaps`. Honda et al., 2018: Gaussians of 3 cells."""

    sigma_cells: float = 3.0
    centers: str = "subcell"
    cutoff_sigmas: float | None = None


def build_target_function(
    crop: CropSettings, heatmap_size: tuple[int, int], target: TargetSettings
) -> Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]:
    """A function from a batch of crops to target heatmaps [B, h, w, J] and weights [B, J]."""
    heatmap_from_crop = geometry.heatmap_from_crop(crop.crop_size, heatmap_size, crop.convention)

    def build_targets(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        keypoints = geometry.transform_points(heatmap_from_crop, batch["keypoints"])
        return encode_heatmaps(keypoints, batch["weights"], heatmap_size, **dataclasses.asdict(target))

    return build_targets


def build_loss(
    build_targets: Callable[[Batch], tuple[tf.Tensor, tf.Tensor]],
    normalization: Normalization,
    num_hard_joints: int | None = None,
) -> Callable:
    """The masked mean squared error over visible joints as sum and weight, and the share of right joints."""

    def compute_loss(model: keras.Model, batch: Batch) -> tuple[dict, dict]:
        targets, weights = build_targets(batch)
        images = normalization(batch["crops"]) * batch["color_gains"][:, None, None, :]
        heatmaps = model(images, training=True)
        losses = heatmap_mse(targets, heatmaps, weights)
        if num_hard_joints is not None:
            kept = hard_joint_weights(losses, weights, num_hard_joints)
            losses, weights = heatmap_mse(targets, heatmaps, kept), kept
        correct, counted = count_correct(heatmaps, targets, weights)
        return {"loss": (tf.reduce_sum(losses), tf.reduce_sum(weights))}, {"accuracy": (correct, counted)}

    return compute_loss


def count_correct(heatmaps: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How many labelled joints have the peak of their map near the target's, and how many are labelled."""
    predicted, _ = decode_heatmaps(heatmaps, "peak")
    true, _ = decode_heatmaps(targets, "peak")
    limit = CLOSE_SHARE_OF_MAP * max(heatmaps.shape[1:3])
    is_counted = weights > 0
    is_close = tf.norm(predicted - true, axis=-1) <= limit
    is_correct = tf.logical_and(is_counted, is_close)
    return tuple(tf.reduce_sum(tf.cast(x, tf.float32)) for x in (is_correct, is_counted))


class Validation:
    """Scores the network on a split with ground-truth boxes: COCO's AP and, with a torso to measure by, PCK@0.2.

    Args:
        table: the records of the split; annotations in another skeleton are mapped by joint name.
        system: the network's.
        batch_size: crops at once.
    """

    def __init__(self, table: RecordTable, system: KeypointSystem, batch_size: int) -> None:
        self.table, self.system, self.batch_size = table, system, batch_size
        self.people = ground_truth_boxes(table)
        self._find_keypoints: Callable | None = None

    def __call__(self, model: keras.Model, step: int = 0) -> dict[str, float]:
        """Metrics in percent by name; always of the same model, so that it is compiled once."""
        if self._find_keypoints is None:
            network = functools.partial(model, training=False)
            self._find_keypoints = build_keypoint_function(network, self.system)
        keypoints, scores = predict_people(self._find_keypoints, self.table, self.people, self.system, self.batch_size)
        return score_people(self.table, self.people, keypoints, scores, self.system)


def build_initializer(
    system: KeypointSystem, encoder: str = "", source_workdir: str = "", from_scratch: bool = False
) -> Callable[[keras.Model], None]:
    """What gives a fresh network its first weights.

    Args:
        system: of the network to train.
        encoder: 'imagenet' for Keras' public encoder, or its file; '' for none.
        source_workdir: a finished run whose weights are taken over, joints matched by name; '' for none.
        from_scratch: the random weights stay.

    Raises:
        ValueError: unless exactly one of the three is asked for.
    """
    asked = [bool(encoder), bool(source_workdir), from_scratch]
    if sum(asked) != 1:
        raise ValueError(
            "initialize needs exactly one of encoder, source_workdir and from_scratch, got "
            f"encoder={encoder!r}, source_workdir={source_workdir!r}, from_scratch={from_scratch}; training from "
            "scratch takes far longer: say --config.initialize.encoder='' "
            "--config.initialize.from_scratch=True if you mean it"
        )

    if encoder and find_network(system.network).load_encoder is None:
        raise ValueError(
            f"initialize.encoder={encoder}: network {system.network['name']} has no public encoder weights"
        )

    def initialize(model: keras.Model) -> None:
        if encoder:
            find_network(system.network).load_encoder(model, encoder)
        elif source_workdir:
            source = read_keypoint_system(source_workdir)
            network = source.build_network()
            load_for_inference(network, pathlib.Path(source_workdir))
            transfer_weights(network, model, source.skeleton.joints, system.skeleton.joints)

    return initialize


def draw_examples(
    model: keras.Model,
    batch: Batch,
    build_targets: Callable[[Batch], tuple[tf.Tensor, tf.Tensor]],
    normalization: Normalization,
    skeleton: Skeleton,
    num_examples: int = 4,
) -> dict[str, np.ndarray]:
    """Pictures of a training batch: what goes in with its labels, the target, the prediction."""
    batch = {name: values[:num_examples] for name, values in batch.items()}
    targets, weights = (values.numpy() for values in build_targets(batch))
    heatmaps = model(normalization(batch["crops"]), training=False).numpy()
    rows = zip(batch["crops"].numpy(), batch["keypoints"].numpy(), weights, targets, heatmaps, strict=True)
    pictures = [
        picture
        for crop, keypoints, weight, target, heatmap in rows
        for picture in (
            draw_pose(crop, keypoints, weight > 0, skeleton),
            overlay_heatmaps(crop, target * (weight > 0)),
            overlay_heatmaps(crop, heatmap),
        )
    ]
    return {"input_target_prediction": tile_pictures(pictures, columns=3)}
