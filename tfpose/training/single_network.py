"""Targets, loss and pictures of the single heatmap network, for `training.loop.train`.

Payer et al., 2017, section 4. A batch of whole frames holds B images with up to N heads and P people of interest each;
coordinates are (x, y) in heatmap cells:

    images [B, H, W, 3], intensity_shifts [B], intensity_scales [B]
    heads [B, N, 2], head_weights [B, N], region_masks [B, h, w] (0 where people may be without annotation)
    person_heads [B, P, 2], person_weights [B, P], keypoints [B, P, J, 2], joint_weights [B, P, J]

Weight 0 marks padding and what is not annotated. A joint that the augmentation moved out of the image has weight 1: its
map must be empty.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from tfpose.frame_fit import HEATMAP_STRIDE
from tfpose.heatmaps import decode_heatmaps, encode_heatmaps
from tfpose.losses import joint_map_error, masked_map_error
from tfpose.models.pose_unet import PoseUnet, normalize_images
from tfpose.skeletons import Skeleton
from tfpose.visualization import draw_pose, overlay_heatmaps, tile_pictures

Tensor = Any  # of the Keras backend in use
Batch = Mapping[str, Tensor]
BuildTargets = Callable[[Batch], tuple[Tensor, Tensor]]
WeightedSum = tuple[Tensor, Tensor]

# A joint counts as right in the training log when its peak is off by no more than this many sigmas of its target.
CLOSE_SIGMAS = 2.0
# The intensity that the network sees as 0.
MIDDLE_GRAY = 128.0


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """Target heatmaps, see `heatmaps.encode_heatmaps`. Payer et al., 2017: Gaussians of 2 cells."""

    sigma_cells: float = 2.0
    centers: str = "subcell"
    cutoff_sigmas: float | None = None


def build_target_function(heatmap_size: tuple[int, int], target: TargetSettings) -> BuildTargets:
    """A function from a batch to the target maps of all heads [B, h, w, 1] and of the people [B, P, h, w, J].

    The Gaussians of all heads are merged by their maximum.
    """
    settings = dataclasses.asdict(target)

    def build_targets(batch: Batch) -> tuple[Tensor, Tensor]:
        heads, _ = encode_heatmaps(batch["heads"], batch["head_weights"], heatmap_size, **settings)
        weights = _joint_weights(batch)
        num_people, num_joints = weights.shape[1:]
        keypoints = ops.reshape(batch["keypoints"], (-1, num_joints, 2))
        joints, _ = encode_heatmaps(keypoints, ops.reshape(weights, (-1, num_joints)), heatmap_size, **settings)
        return (
            ops.max(heads, axis=-1, keepdims=True, initial=0.0),
            ops.reshape(joints, (-1, num_people, *heatmap_size, num_joints)),
        )

    return build_targets


def build_loss(
    build_targets: BuildTargets, target: TargetSettings, joint_map_weight: float = 0.0
) -> Callable[[PoseUnet, Batch], tuple[dict, dict]]:
    """The data terms and the decay as sum and weight each, and the share of right joints.

    - `heads`: summed over the images, their number;
    - `joints`: summed over the people of interest, their number, which with one in each image is the batch size;
    - `joint_maps`: with a `joint_map_weight`, this times the error of the first network's joint maps, which the paper
      trains through the product alone; summed over the images, their number;
    - `decay`: the kernels' regularisation times the number of images, this number.

    Args:
        build_targets: from `build_target_function`.
        target: its settings.
        joint_map_weight: 0 is the paper. This term counts the images whose heads are all of people of interest, as the
            targets show no others, and of these the joints that all of them have labelled.
    """
    if joint_map_weight < 0:
        raise ValueError(f"loss: joint_map_weight must be at least 0, got {joint_map_weight}")

    def compute_loss(model: PoseUnet, batch: Batch) -> tuple[dict[str, WeightedSum], dict[str, WeightedSum]]:
        head_targets, person_targets = build_targets(batch)
        maps = _predict(model, batch, training=True)
        joint_weights = _joint_weights(batch)
        head_errors = masked_map_error(head_targets, maps["head_maps"], batch["region_masks"])
        joint_errors = joint_map_error(*map(_merge_people, (person_targets, maps["person_maps"], joint_weights)))
        num_images = ops.sum(ops.ones_like(head_errors))
        num_people = ops.sum(ops.cast(batch["person_weights"], joint_errors.dtype))
        losses = {
            "heads": (ops.sum(head_errors), num_images),
            "joints": (ops.sum(joint_errors), num_people),
        }
        if joint_map_weight > 0:
            error = _all_joints_error(person_targets, maps["joint_maps"], joint_weights, batch)
            losses["joint_maps"] = (joint_map_weight * ops.sum(error), num_images)
        # Not model.losses: in the pass that only counts the weights, Keras finds no values for the variables there.
        decays = [v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None]
        if decays:
            # By the images, so that the parts of an accumulated batch and the replicas share it.
            losses["decay"] = (sum(decays) * num_images, num_images)
        correct = count_correct(maps["person_maps"], batch["keypoints"], joint_weights, target.sigma_cells)
        return losses, {"accuracy": correct}

    return compute_loss


def _all_joints_error(person_targets: Tensor, joint_maps: Tensor, joint_weights: Tensor, batch: Batch) -> Tensor:
    """[B, J], half the squared error of the first network's joint maps outside ignored regions."""
    masks = ops.convert_to_tensor(batch["region_masks"])[..., None]
    is_absent = ops.convert_to_tensor(batch["person_weights"])[..., None] <= 0
    is_labeled = ops.all(ops.logical_or(is_absent, joint_weights > 0), axis=1)
    is_complete = ops.sum(batch["head_weights"], axis=1) <= ops.sum(batch["person_weights"], axis=1)
    counted = ops.cast(ops.logical_and(is_labeled, is_complete[:, None]), "float32")
    return joint_map_error(ops.max(person_targets, axis=1) * masks, joint_maps * masks, counted)


def count_correct(
    person_maps: Tensor, keypoints: Tensor, joint_weights: Tensor, sigma_cells: float
) -> tuple[Tensor, Tensor]:
    """How many labelled joints inside the map have its peak near them, and how many there are.

    Args:
        person_maps: [B, P, h, w, J].
        keypoints: [B, P, J, 2], (x, y) in heatmap cells.
        joint_weights: [B, P, J].
        sigma_cells: of the targets.
    """
    height, width = person_maps.shape[2:4]
    peaks, _ = decode_heatmaps(_merge_people(person_maps), "peak")
    keypoints, weights = _merge_people(keypoints), _merge_people(joint_weights)
    limits = ops.convert_to_tensor([width - 0.5, height - 0.5], dtype="float32")
    is_inside = ops.all(ops.logical_and(keypoints >= -0.5, keypoints < limits), axis=-1)
    is_counted = ops.logical_and(weights > 0, is_inside)
    squared_distances = ops.sum(ops.square(peaks - ops.cast(keypoints, "float32")), axis=-1)
    is_correct = ops.logical_and(is_counted, squared_distances <= (CLOSE_SIGMAS * sigma_cells) ** 2)
    return ops.sum(ops.cast(is_correct, "float32")), ops.sum(ops.cast(is_counted, "float32"))


def draw_examples(
    model: PoseUnet, batch: Batch, build_targets: BuildTargets, skeleton: Skeleton, num_examples: int = 4
) -> dict[str, np.ndarray]:
    """Pictures of a training batch, a row for the first person of interest of each image.

    Columns: the labels; the target of the heads and the predicted one; the joints of all people; the filter; their
    product, the joints of this person; and its target. A joint map and its filter may both be negative where the
    product is positive, so these two show magnitudes.
    """
    batch = {name: values[:num_examples] for name, values in batch.items()}
    targets = build_targets(batch)
    maps = _predict(model, batch, training=False)
    head_targets, person_targets = (ops.convert_to_numpy(values) for values in targets)
    maps = {name: ops.convert_to_numpy(values) for name, values in maps.items()}
    images = np.clip(ops.convert_to_numpy(batch["images"]), 0, 255).astype(np.uint8)
    keypoints = ops.convert_to_numpy(batch["keypoints"])[:, 0] * HEATMAP_STRIDE
    weights = ops.convert_to_numpy(_joint_weights(batch))[:, 0]
    pictures = []
    for row, image in enumerate(images):
        shown = (
            head_targets[row],
            maps["head_maps"][row],
            np.abs(maps["joint_maps"][row]),
            np.abs(maps["filter_maps"][row, 0]),
            maps["person_maps"][row, 0],
            person_targets[row, 0] * (weights[row] > 0),
        )
        pictures.append(draw_pose(image, keypoints[row], weights[row] > 0, skeleton))
        pictures.extend(overlay_heatmaps(image, heatmaps) for heatmaps in shown)
    name = "labels_headtarget_heads_joints_filter_product_target"
    return {name: tile_pictures(pictures, columns=7)}


def draw_targets(batch: Batch, build_targets: BuildTargets, skeleton: Skeleton) -> list[np.ndarray]:
    """Pictures [H, W, 3] of the examples of a batch, with a row for each person of interest.

    Columns: the augmented frame with the labels; the target of all heads; the target of this person's joints.
    """
    head_targets, person_targets = (ops.convert_to_numpy(values) for values in build_targets(batch))
    intensities = normalize_images(batch["images"], batch["intensity_shifts"], batch["intensity_scales"])
    images = np.clip((ops.convert_to_numpy(intensities) + 1) * MIDDLE_GRAY, 0, 255).astype(np.uint8)
    weights = ops.convert_to_numpy(_joint_weights(batch))
    pictures = []
    for row, image in enumerate(images):
        rows = []
        for person in np.flatnonzero(np.asarray(batch["person_weights"])[row] > 0):
            keypoints = np.asarray(batch["keypoints"])[row, person] * HEATMAP_STRIDE
            is_shown = weights[row, person] > 0
            rows += [
                draw_pose(image, keypoints, is_shown, skeleton),
                overlay_heatmaps(image, head_targets[row]),
                overlay_heatmaps(image, person_targets[row, person] * is_shown),
            ]
        pictures.append(tile_pictures(rows or [image], columns=3))
    return pictures


def _predict(model: PoseUnet, batch: Batch, training: bool) -> dict[str, Tensor]:
    images = normalize_images(batch["images"], batch["intensity_shifts"], batch["intensity_scales"])
    # A slot without a person must find no head, whatever stands in it.
    is_person = ops.convert_to_tensor(batch["person_weights"])[..., None] > 0
    heads = ops.where(is_person, batch["person_heads"], math.nan)
    return model(images, heads, training=training)


def _joint_weights(batch: Batch) -> Tensor:
    """[B, P, J], 0 for a slot without a person."""
    return batch["joint_weights"] * ops.convert_to_tensor(batch["person_weights"])[..., None]


def _merge_people(values: Tensor) -> Tensor:
    """[B, P, ...] to [B * P, ...]."""
    return ops.reshape(values, (-1, *values.shape[2:]))
