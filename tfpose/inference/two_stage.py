"""Second stage of the two-stage system: from crops of people to their keypoints in the image.

`predict_keypoints` is the one inference function of evaluation, prediction and the SavedModel. Honda et al., 2018;
Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", 2018.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from tfpose import geometry
from tfpose.boxes import areas
from tfpose.crops import CropSettings, Normalization
from tfpose.heatmaps import DECODINGS, average_flipped, decode_heatmaps
from tfpose.inference.suppression import suppress_poses
from tfpose.poses import Poses
from tfpose.skeletons import Skeleton

Array = Any


@dataclasses.dataclass(frozen=True)
class KeypointSettings:
    """The settings for computing and reading heatmaps.

    Attributes:
        use_flip_test: Average the heatmaps with those of the mirrored crop.
        shift_one_cell: Move the mirrored heatmaps one cell to the right first, see `heatmaps.mirror_heatmaps`.
        decoding: 'peak', 'quarter', 'dark', 'udp' or 'udp_hub', see `heatmaps.decode_heatmaps`.
        blur_kernel: Size in cells of the blur of 'dark', 'udp' and 'udp_hub'.

    Raises:
        ValueError: There is no such decoding.
    """

    use_flip_test: bool = True
    shift_one_cell: bool = True
    decoding: str = "quarter"
    blur_kernel: int = 11

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise ValueError(f"decoding must be one of {', '.join(DECODINGS)}, got {self.decoding!r}")


@dataclasses.dataclass(frozen=True)
class SelectionSettings:
    """The thresholds for keeping the poses of an image.

    Attributes:
        joint_threshold: Joints with a lower score do not count for the score of their person (Xiao et al.: 0.2).
        oks_threshold: Of two poses with a higher similarity (OKS) the weaker one is left out (Xiao et al.: 0.9).
    """

    joint_threshold: float = 0.2
    oks_threshold: float = 0.9


def predict_heatmaps(
    network: Callable[[Array], Array],
    crops: Array,
    normalization: Normalization,
    flip_order: np.ndarray,
    settings: KeypointSettings,
) -> Array:
    """Returns heatmaps [B, h, w, J] of crops [B, H, W, 3] uint8."""
    images = normalization(crops)
    if not settings.use_flip_test:
        return network(images)
    both = network(ops.concatenate([images, ops.flip(images, axis=2)], axis=0))
    heatmaps, mirrored = ops.split(both, 2, axis=0)
    return average_flipped(heatmaps, mirrored, flip_order, settings.shift_one_cell)


def predict_keypoints(
    network: Callable[[Array], Array],
    crops: Array,
    crop_from_image: Array,
    crop: CropSettings,
    normalization: Normalization,
    flip_order: np.ndarray,
    settings: KeypointSettings,
) -> tuple[Array, Array]:
    """Finds the joints of each crop's person.

    Args:
        network: Function from images [B, H, W, 3] float32 to heatmaps [B, h, w, J].
        crops: [B, H, W, 3] uint8 RGB.
        crop_from_image: Matrices from image pixels to crop pixels, [B, 2, 3].
        crop: How the crops were cut.
        normalization: How crops become the network's input.
        flip_order: Joint that takes the place of each joint in a mirrored image, [J].
        settings: Flip test and decoding.

    Returns:
        Keypoints [B, J, 2] in image pixels and their scores [B, J], which are the heights of the peaks.
    """
    heatmaps = predict_heatmaps(network, crops, normalization, flip_order, settings)
    keypoints, scores = decode_heatmaps(heatmaps, settings.decoding, settings.blur_kernel)
    heatmap_from_crop = geometry.heatmap_from_crop(crop.crop_size, heatmaps.shape[1:3], crop.convention)
    dtype = crop_from_image.dtype
    heatmap_from_image = geometry.compose(ops.cast(heatmap_from_crop, dtype), crop_from_image)
    image_from_heatmap = geometry.invert(heatmap_from_image)
    return geometry.transform_points(image_from_heatmap, ops.cast(keypoints, dtype)), scores


def rescore_poses(box_scores: Array, joint_scores: Array, threshold: float) -> Array:
    """Scores people: the score of the box times the mean score of the joints above the threshold.

    As in the public code of Xiao et al., 2018, and in mmpose.

    Args:
        box_scores: [P] or one number.
        joint_scores: [P, J].
        threshold: Joints count if their score is larger.

    Returns:
        [P]; 0 for people without such a joint.
    """
    is_good = ops.cast(joint_scores > threshold, joint_scores.dtype)
    return box_scores * ops.sum(joint_scores * is_good, axis=-1) / ops.maximum(ops.sum(is_good, axis=-1), 1)


def select_poses(
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    boxes: np.ndarray,
    box_scores: np.ndarray,
    skeleton: Skeleton,
    settings: SelectionSettings,
) -> Poses:
    """Returns the poses of one image after rescoring and suppression of near copies.

    Args:
        keypoints: [P, J, 2] in image pixels.
        joint_scores: [P, J].
        boxes: [P, 4] xyxy in image pixels.
        box_scores: [P].
        skeleton: Skeleton of the keypoints, for its OKS constants.
        settings: Thresholds.

    Returns:
        Poses, strongest first, with the scores of `rescore_poses`.
    """
    scores = np.asarray(rescore_poses(box_scores, joint_scores, settings.joint_threshold))
    kept = suppress_poses(keypoints, scores, areas(boxes), skeleton.sigmas, settings.oks_threshold)
    return Poses(
        keypoints=keypoints,
        joint_scores=joint_scores,
        scores=scores,
        boxes=boxes,
        track_ids=np.full(len(boxes), -1),
    ).select(kept)
