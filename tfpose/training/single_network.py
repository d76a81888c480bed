"""Targets, loss and pictures of the single heatmap network, for `training.loop.train`.

The method is that of Payer et al., 2017, section 4. A batch of whole frames holds B images, with up to N heads and P
people of interest in each image. Coordinates are (x, y) in heatmap cells. The arrays of a batch are:

    images [B, H, W, 3], intensity_shifts [B], intensity_scales [B]
    heads [B, N, 2], head_weights [B, N], region_masks [B, h, w] (0 where people may lack annotations)
    person_heads [B, P, 2], person_weights [B, P], keypoints [B, P, J, 2], joint_weights [B, P, J]

Padding and joints without annotation have weight 0. A joint that the augmentation moved out of the image has weight 1,
because its map must be empty.
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
from tfpose.training.step import ComputeLoss, Losses
from tfpose.visualization import (
    add_side_legend,
    draw_named_pose,
    draw_pose,
    enlarge,
    naming_factor,
    overlay_heatmaps,
    tile_pictures,
)

Tensor = Any  # A tensor of the Keras backend in use.
Batch = Mapping[str, Tensor]
BuildTargets = Callable[[Batch], tuple[Tensor, Tensor]]

JOINT_AVERAGES = ("images", "people")
# The training log counts a joint as correct if its peak is at most this many sigmas of the target off.
CLOSE_SIGMAS = 2.0
# The intensity that the network sees as 0.
MIDDLE_GRAY = 128.0


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """Settings of the target heatmaps.

    Attributes:
        sigma_cells: Standard deviation of the Gaussian in heatmap cells. Payer et al., 2017, use 2.
        centers: Where the Gaussian is centered: 'subcell' on the keypoint, 'rounded' on the nearest cell.
        cutoff_sigmas: Half the side, in standard deviations, of the square around the keypoint outside which the target
            is 0. None cuts nothing off.
    """

    sigma_cells: float = 2.0
    centers: str = "subcell"
    cutoff_sigmas: float | None = None


def build_target_function(heatmap_size: tuple[int, int], target: TargetSettings) -> BuildTargets:
    """Returns the function from a batch to the target maps of all heads and of the people of interest.

    The target of all heads [B, h, w, 1] is the maximum of the Gaussians of the heads. The targets of the people are
    [B, P, h, w, J].
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
    build_targets: BuildTargets,
    target: TargetSettings,
    joint_map_weight: float = 0.0,
    joint_average: str = "images",
) -> ComputeLoss:
    """Returns the function that computes the loss terms and the share of correct joints.

    Each loss term is a pair of a sum and a weight:

    - `heads`: error of the head maps, summed over the images; weight: number of images.
    - `joints`: error of the joints, for each image the mean over its people of interest, summed over the images;
      weight: number of images. An image without a person counts with an error of 0. The paper has one person of
      interest per image, drawn at random; the mean over several is the expected value of its error.
    - `joint_maps`, only with a `joint_map_weight`: error of the joint maps of the first network times this weight,
      summed over the images; weight: number of images. The paper trains these maps only through the product with the
      filter.
    - `decay`: regularization of the kernels times the number of images; weight: number of images.

    Args:
        build_targets: Function from `build_target_function`.
        target: Settings that `build_targets` was built with.
        joint_map_weight: Factor of the term `joint_maps`. The paper uses 0. The term counts only images in which every
            head belongs to a person of interest, because the targets show only these people, and in these images
            only joints that are labeled for every such person.
        joint_average: What the term `joints` averages over: "images" as the paper, or "people", which sums the errors
            of all people of interest and divides by the number of these people, so that images without a person do not
            make the term smaller.

    Raises:
        ValueError: A setting is out of range.
    """
    if joint_map_weight < 0:
        raise ValueError(f"loss.joint_map_weight must be at least 0, got {joint_map_weight}")
    if joint_average not in JOINT_AVERAGES:
        raise ValueError(f"loss.joint_average must be one of {', '.join(JOINT_AVERAGES)}, got {joint_average!r}")

    def compute_loss(model: PoseUnet, batch: Batch) -> Losses:
        head_targets, person_targets = build_targets(batch)
        maps = _predict(model, batch, training=True)
        joint_weights = _joint_weights(batch)
        head_errors = masked_map_error(head_targets, maps["head_maps"], batch["region_masks"])
        joint_errors = joint_map_error(*map(_merge_people, (person_targets, maps["person_maps"], joint_weights)))
        num_images = ops.sum(ops.ones_like(head_errors))
        losses = {
            "heads": (ops.sum(head_errors), num_images),
            "joints": _average_joints(joint_errors, batch["person_weights"], joint_average),
        }
        if joint_map_weight > 0:
            error = _all_joints_error(person_targets, maps["joint_maps"], joint_weights, batch)
            losses["joint_maps"] = (joint_map_weight * ops.sum(error), num_images)
        # model.losses cannot be used: in the pass that only sums the weights, Keras finds no values for its variables.
        decays = [v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None]
        if decays:
            # The number of images shares the decay among the parts of an accumulated batch and the replicas.
            losses["decay"] = (sum(decays) * num_images, num_images)
        correct = count_correct(maps["person_maps"], batch["keypoints"], joint_weights, target.sigma_cells)
        return losses, {"accuracy": correct}

    return compute_loss


def _average_joints(errors: Tensor, person_weights: Tensor, average: str) -> tuple[Tensor, Tensor]:
    """Returns the sum and the weight of the errors [B * P, J] of people whose weights [B, P] are 0 or 1."""
    is_person = ops.cast(person_weights, errors.dtype)
    people = ops.sum(is_person, axis=1)
    if average == "people":
        return ops.sum(errors), ops.sum(people)
    per_image = ops.sum(ops.reshape(ops.sum(errors, axis=1), ops.shape(is_person)), axis=1)
    return ops.sum(per_image / ops.maximum(people, 1)), ops.sum(ops.ones_like(people))


def _all_joints_error(person_targets: Tensor, joint_maps: Tensor, joint_weights: Tensor, batch: Batch) -> Tensor:
    """Returns half the squared error of the first network's joint maps outside ignored regions, [B, J]."""
    masks = ops.convert_to_tensor(batch["region_masks"])[..., None]
    is_absent = ops.convert_to_tensor(batch["person_weights"])[..., None] <= 0
    is_labeled = ops.all(ops.logical_or(is_absent, joint_weights > 0), axis=1)
    is_complete = ops.sum(batch["head_weights"], axis=1) <= ops.sum(batch["person_weights"], axis=1)
    counted = ops.cast(ops.logical_and(is_labeled, is_complete[:, None]), "float32")
    return joint_map_error(ops.max(person_targets, axis=1) * masks, joint_maps * masks, counted)


def count_correct(
    person_maps: Tensor, keypoints: Tensor, joint_weights: Tensor, sigma_cells: float
) -> tuple[Tensor, Tensor]:
    """Counts the labeled joints inside the map whose predicted peak is near them, and all labeled joints inside it.

    Args:
        person_maps: Predicted maps [B, P, h, w, J].
        keypoints: True keypoints [B, P, J, 2] as (x, y) in heatmap cells.
        joint_weights: Weights [B, P, J], 0 for a joint without label.
        sigma_cells: Standard deviation of the targets in heatmap cells.
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
    """Draws a training batch: one row per image, for the first person of interest of the image.

    The columns show the labels, the target of the heads, the predicted heads, the joint maps of all people, the filter,
    the product of joint maps and filter (the joints of this person), and the target of the product. A joint map and its
    filter may both be negative where the product is positive, so their columns show absolute values.
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
    """Draws one picture [H, W, 3] per example of a batch, with one row per person of interest.

    The columns show the augmented frame with the labels, the target of all heads, and the target of the person's
    joints.
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
            targets = (head_targets[row], person_targets[row, person] * is_shown)
            rows += [
                draw_named_pose(image, keypoints, is_shown, skeleton),
                *(enlarge(overlay_heatmaps(image, target), naming_factor(image)) for target in targets),
            ]
        pictures.append(add_side_legend(tile_pictures(rows or [image], columns=3)))
    return pictures


def _predict(model: PoseUnet, batch: Batch, training: bool) -> dict[str, Tensor]:
    images = normalize_images(batch["images"], batch["intensity_shifts"], batch["intensity_scales"])
    # A slot without a person must have no head, whatever numbers the slot holds.
    is_person = ops.convert_to_tensor(batch["person_weights"])[..., None] > 0
    heads = ops.where(is_person, batch["person_heads"], math.nan)
    return model(images, heads, training=training)


def _joint_weights(batch: Batch) -> Tensor:
    """Returns the weights of the joints [B, P, J], which are 0 for a slot without a person."""
    return batch["joint_weights"] * ops.convert_to_tensor(batch["person_weights"])[..., None]


def _merge_people(values: Tensor) -> Tensor:
    """Reshapes [B, P, ...] to [B * P, ...]."""
    return ops.reshape(values, (-1, *values.shape[2:]))
