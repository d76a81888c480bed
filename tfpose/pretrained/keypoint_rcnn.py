"""Builds a Keypoint R-CNN from a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import RESNET50, RESNET101, RESNEXT101_32X8D, KeypointRcnnSettings
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.checkpoint_files import Tensor, read_arrays
from tfpose.pretrained.detectron import (
    KeypointRcnnVariant,
    check_anchors,
    check_pixels,
    convert_blobs,
    detectron2_name,
    infer_variant,
    select_blobs,
    select_weights,
)
from tfpose.pretrained.keypoint_rcnn_weights import load_detectron2_state_dict
from tfpose.pretrained.named_tensors import Checkpoint

# Settings by depth, number of groups, and width of a group.
_SETTINGS: Mapping[tuple[int, int, int], KeypointRcnnSettings] = {
    (50, 1, 64): RESNET50,
    (101, 1, 64): RESNET101,
    (101, 32, 8): RESNEXT101_32X8D,
}


def read_keypoint_rcnn(checkpoint: Checkpoint, is_legacy: bool) -> tuple[KeypointRcnn, KeypointRcnnVariant]:
    """Builds the network of a checkpoint with its weights, and returns its variant too.

    Args:
        checkpoint: Checkpoint of Detectron2 or of the original Detectron.
        is_legacy: Whether it is one of the original Detectron.

    Raises:
        ValueError: A tensor is missing, superfluous, damaged or has a wrong shape, or the variant is unknown; the
            message names it.
    """
    path = checkpoint.path
    try:
        tensors = select_blobs(checkpoint.tensors) if is_legacy else select_weights(checkpoint.tensors)
        variant = infer_variant(_shapes(tensors, is_legacy), is_legacy)
        settings = _settings_of(variant)
        check_pixels(variant, checkpoint.tensors)
        check_anchors(settings.anchor_sizes, settings.anchor_ratios, checkpoint.tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    arrays = read_arrays(path, tensors)
    network = build_unfilled(lambda: build_keypoint_rcnn(settings))
    try:
        load_detectron2_state_dict(network, convert_blobs(arrays) if is_legacy else arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return network, variant


def _shapes(tensors: Mapping[str, Tensor], is_legacy: bool) -> dict[str, tuple[int, ...]]:
    names = {name: detectron2_name(name) or name if is_legacy else name for name in tensors}
    return {names[name]: tensor.shape for name, tensor in tensors.items()}


def _settings_of(variant: KeypointRcnnVariant) -> KeypointRcnnSettings:
    known = _SETTINGS.get((variant.depth, variant.num_groups, variant.width_per_group))
    if known is None:
        raise ValueError(f"network must be R-50-FPN, R-101-FPN or X-101-32x8d-FPN, got {variant.name}")
    return dataclasses.replace(
        known,
        stride_in=variant.stride_in,
        pixel_mean=variant.pixel_mean,
        pixel_std=variant.pixel_std,
        conventions="detectron" if variant.is_legacy else "detectron2",
    )
