"""Loss, validation and pictures of the keypoint network, for `training.loop.train`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.checkpoints import load_for_inference
from tfpose.crops import CropSettings, Normalization
from tfpose.data.records import RecordTable
from tfpose.evaluation.person_scores import names_of_scores, score_people
from tfpose.evaluation.shares import ALONE, DeviceCopies, EvaluationShare
from tfpose.heatmaps import decode_heatmaps, encode_heatmaps
from tfpose.importing.named_weights import find_workdir, require_kinds
from tfpose.inference.keypoint_networks import find_network, unseen_settings
from tfpose.inference.keypoint_system import KeypointSystem, read_keypoint_system
from tfpose.inference.person_keypoints import build_keypoint_function, ground_truth_boxes, predict_people
from tfpose.losses import hard_joint_weights, heatmap_mse
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.transfer import check_same_settings, normalization_note, transfer_weights, unmatched_note
from tfpose.skeletons import Skeleton
from tfpose.training.batches import network_inputs
from tfpose.training.initial_weights import restore_statistics
from tfpose.training.step import Batch, ComputeLoss, Losses
from tfpose.visualization import draw_pose, overlay_heatmaps, tile_pictures

BuildTargets = Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]

# The training log counts a joint as correct if its error is at most this share of the longer side of the heatmap.
CLOSE_SHARE_OF_MAP = 0.05


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """Settings of the target heatmaps.

    Attributes:
        sigma_cells: Standard deviation of the Gaussian in heatmap cells. Honda et al., 2018, use 3.
        centers: Where the Gaussian is centered: 'subcell' on the keypoint, 'rounded' on the nearest cell.
        cutoff_sigmas: Half the side, in standard deviations, of the square around the keypoint outside which the target
            is 0. None cuts nothing off.
    """

    sigma_cells: float = 3.0
    centers: str = "subcell"
    cutoff_sigmas: float | None = None


def build_target_function(crop: CropSettings, heatmap_size: tuple[int, int], target: TargetSettings) -> BuildTargets:
    """Returns the function from a batch of crops to target heatmaps [B, h, w, J] and weights [B, J]."""
    heatmap_from_crop = geometry.heatmap_from_crop(crop.crop_size, heatmap_size, crop.convention)

    def build_targets(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        keypoints = geometry.transform_points(heatmap_from_crop, batch["keypoints"])
        return encode_heatmaps(keypoints, batch["weights"], heatmap_size, **dataclasses.asdict(target))

    return build_targets


def build_loss(
    build_targets: BuildTargets, normalization: Normalization, num_hard_joints: int | None = None
) -> ComputeLoss:
    """Returns the function that computes the masked mean squared error and the share of correct joints.

    The error is a sum over the labeled joints and the number of these joints.

    Args:
        build_targets: Function from `build_target_function`.
        normalization: How crops become inputs of the network.
        num_hard_joints: Number of joints per person, those with the largest errors, that count. None counts all.
    """

    def compute_loss(model: keras.Model, batch: Batch) -> Losses:
        targets, weights = build_targets(batch)
        heatmaps = model(network_inputs(batch["crops"], batch, normalization), training=True)
        losses, weights = label_errors(heatmaps, targets, weights, num_hard_joints)
        correct, counted = count_correct(heatmaps, targets, weights)
        return {"loss": (tf.reduce_sum(losses), tf.reduce_sum(weights))}, {"accuracy": (correct, counted)}

    return compute_loss


def label_errors(
    heatmaps: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, num_hard_joints: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the weighted mean squared error of each heatmap and the weights that count, both [B, J]."""
    losses = heatmap_mse(targets, heatmaps, weights)
    if num_hard_joints is None:
        return losses, weights
    kept = hard_joint_weights(losses, weights, num_hard_joints)
    return heatmap_mse(targets, heatmaps, kept), kept


def count_correct(heatmaps: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts the labeled joints whose predicted peak is near that of the target, and all labeled joints."""
    predicted, _ = decode_heatmaps(heatmaps, "peak")
    true, _ = decode_heatmaps(targets, "peak")
    limit = CLOSE_SHARE_OF_MAP * max(heatmaps.shape[1:3])
    is_counted = weights > 0
    is_close = tf.norm(predicted - true, axis=-1) <= limit
    is_correct = tf.logical_and(is_counted, is_close)
    return tf.reduce_sum(tf.cast(is_correct, tf.float32)), tf.reduce_sum(tf.cast(is_counted, tf.float32))


class Validation:
    """Scores the network on the ground-truth boxes of a split: COCO's AP, and PCK@0.2 if the skeleton has a torso.

    The network is evaluated in float32 whatever it is trained in, as eval_main.py evaluates its weights. `metrics` are
    the names of the metrics.

    Args:
        table: Records of the split. Annotations of a different skeleton are matched by joint name.
        system: System that the network belongs to.
        batch_size: Number of crops that the network processes at once.
    """

    def __init__(self, table: RecordTable, system: KeypointSystem, batch_size: int) -> None:
        self.table, self.system, self.batch_size = table, system, batch_size
        self.people = ground_truth_boxes(table)
        self.metrics = names_of_scores(table, self.people, system.skeleton)
        self._copies = DeviceCopies(self._compile)

    def __call__(self, model: keras.Model, step: int = 0, share: EvaluationShare = ALONE) -> dict[str, float]:
        """Returns the metrics in percent by name. All devices and workers find a share of the keypoints."""
        functions = self._copies.update(model, self.system.build_network, share.devices)

        def find(device: int, part: slice) -> tuple[np.ndarray, np.ndarray]:
            people = self.people.select(np.arange(part.start, part.stop))
            keypoints, scores = predict_people(functions[device], self.table, people, self.system, self.batch_size)
            # An empty part has other types.
            return keypoints.astype(np.float64), scores.astype(np.float32)

        keypoints, scores = share.run(len(self.people), self.batch_size, find)
        return score_people(self.table, self.people, keypoints, scores, self.system)

    def _compile(self, network: keras.Model) -> Callable[[np.ndarray, np.ndarray], tuple[tf.Tensor, tf.Tensor]]:
        return build_keypoint_function(functools.partial(network, training=False), self.system)


def build_initializer(
    system: KeypointSystem,
    sample_inputs: Callable[[], Iterable[tf.Tensor]],
    encoder: str = "",
    source_workdir: str = "",
    from_scratch: bool = False,
) -> Callable[[keras.Model], None]:
    """Returns the function that gives a fresh network its first weights.

    Args:
        system: System that the network belongs to.
        sample_inputs: Function that returns batches [B, H, W, 3] of inputs of the network in training. It is called for
            a source whose batch normalizations hold no statistics.
        encoder: 'imagenet' for the public encoder of Keras, or the file of an encoder; '' for none.
        source_workdir: Work folder of a finished run, or name of a public checkpoint, whose weights are copied, with
            joints matched by name; '' for none.
        from_scratch: Whether the network keeps its random weights.

    Raises:
        ValueError: Not exactly one of `encoder`, `source_workdir` and `from_scratch` is given, or the network has no
            public encoder weights.
    """
    asked = [bool(encoder), bool(source_workdir), from_scratch]
    if sum(asked) != 1:
        raise ValueError(
            "initialize must set exactly one of encoder, source_workdir and from_scratch, got "
            f"encoder={encoder!r}, source_workdir={source_workdir!r}, from_scratch={from_scratch}; training from "
            "scratch takes far longer and needs --config.initialize.encoder='' --config.initialize.from_scratch=True"
        )
    require_kinds(source_workdir, "--config.initialize.source_workdir", "")
    load_encoder = find_network(system.network).load_encoder
    if encoder and load_encoder is None:
        raise ValueError(
            f"initialize.encoder must be '' for network {system.network['name']}, which has no public encoder weights, "
            f"got {encoder!r}"
        )

    def initialize(model: keras.Model) -> None:
        if encoder and load_encoder is not None:
            load_encoder(model, encoder)
        elif source_workdir:
            workdir = pathlib.Path(find_workdir(source_workdir))
            source = read_keypoint_system(workdir)
            network = build_unfilled(source.build_network)
            load_for_inference(network, workdir)
            joints = source.skeleton.joints, system.skeleton.joints
            check_same_settings(source_workdir, unseen_settings(source.network), unseen_settings(system.network))
            try:
                transfer_weights(network, model, *joints)
            except ValueError as error:
                raise ValueError(f"{source_workdir}: the network must fit that of this config, got {error}") from error
            for note in (
                unmatched_note(source_workdir, *joints),
                normalization_note(source_workdir, source.normalization, system.normalization),
            ):
                if note:
                    print(note, file=sys.stderr)
            restore_statistics(model, source_workdir, sample_inputs)

    return initialize


def draw_examples(
    model: keras.Model,
    batch: Batch,
    build_targets: BuildTargets,
    normalization: Normalization,
    skeleton: Skeleton,
    num_examples: int = 4,
) -> dict[str, np.ndarray]:
    """Draws examples of a training batch: the crop with its labels, the target heatmaps, the predicted heatmaps."""
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
