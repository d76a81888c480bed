"""Networks with the golden weights, and small random ones."""

from __future__ import annotations

import functools
import importlib.util
import pathlib

import keras
import numpy as np
import tensorflow as tf
from freed_memory import free_memory

from tfpose.models.keypoint_rcnn.detection import detect_people, rescale_people
from tfpose.models.keypoint_rcnn.images import normalize_images, pad_images
from tfpose.models.keypoint_rcnn.network import KeypointRcnn, build_keypoint_rcnn
from tfpose.models.keypoint_rcnn.settings import (
    RESNET50,
    RESNEXT101_32X8D,
    DetectionSettings,
    KeypointRcnnSettings,
    ProposalSettings,
)
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.keypoint_rcnn_weights import load_detectron2_state_dict

SETTINGS = {"R50": RESNET50, "X101": RESNEXT101_32X8D}
_golden_networks: dict[str, KeypointRcnn] = {}
SMALL = KeypointRcnnSettings(
    blocks_per_stage=(1, 1, 1, 1),
    stem_width=8,
    inner_width=8,
    outer_width=16,
    num_groups=4,
    num_frozen_stages=0,
    pyramid_width=8,
    anchor_sizes=(8.0, 16.0, 32.0, 64.0, 128.0),
    box_head_width=16,
    keypoint_head_widths=(8, 8),
    num_joints=5,
    pixel_std=(57.0, 57.0, 57.0),
    shortest_edge=64,
    longest_edge=128,
    proposals=ProposalSettings(max_per_level=100, max_proposals=50),
    training_proposals=ProposalSettings(max_per_level=100, max_proposals=60),
    detections=DetectionSettings(score_threshold=0.1, max_detections=10),
)


def golden_folder(shared_dir: pathlib.Path) -> pathlib.Path:
    return shared_dir / "golden" / "keypoint_rcnn"


def golden_network(folder: pathlib.Path, model: str) -> KeypointRcnn:
    """The network "R50" or "X101"; tests must not change it."""
    if model not in _golden_networks:
        # One at a time, because both take 0.7 GB.
        forget_golden_networks()
        _golden_networks[model] = _build_golden_network(folder, model)
    return _golden_networks[model]


def forget_golden_networks() -> None:
    """Frees the memory of what `golden_network` returned."""
    _golden_networks.clear()
    trace_network.cache_clear()
    free_memory()


def _build_golden_network(folder: pathlib.Path, model: str) -> KeypointRcnn:
    spec = importlib.util.spec_from_file_location("make_state_dict", folder / "make_state_dict.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = build_unfilled(lambda: build_keypoint_rcnn(SETTINGS[model]))
    load_detectron2_state_dict(network, module.make_state_dict(model))
    free_memory()
    return network


@functools.lru_cache(maxsize=1)
def trace_network(network):
    """Functions for the trunk's stages and for people, traced once for both images."""
    trunk, blocks = network.trunk, network.settings.blocks_per_stage
    names = ["stem_pool", *(f"res{stage}_{count - 1}_relu" for stage, count in enumerate(blocks, start=2))]
    stages = keras.Model(trunk.input, [*(trunk.get_layer(name).output for name in names), *trunk.outputs])
    image, size = tf.TensorSpec([1, None, None, 3]), tf.TensorSpec([1, 2], tf.int32)

    @tf.function(input_signature=[image])
    def compute_stages(images):
        return stages(images, training=False)

    @tf.function(input_signature=[image, size, size])
    def find(images, sizes, original_sizes):
        return rescale_people(detect_people(network, images, sizes), sizes, original_sizes)

    return compute_stages, find


def golden_input(folder: pathlib.Path, name: str, settings: KeypointRcnnSettings) -> tuple[tf.Tensor, tf.Tensor]:
    """The prepared image "small_bgr", "full_bgr" or "train_bgr", and its size."""
    with np.load(folder / "images.npz") as images:
        image = images[name][..., ::-1].copy()
    return pad_images([normalize_images(tf.constant(image), settings)])


def small_network(settings: KeypointRcnnSettings = SMALL, seed: int = 0) -> KeypointRcnn:
    """Random weights that give a few overlapping people, with normalizations that are not trivial."""
    keras.utils.set_random_seed(seed)
    network = build_keypoint_rcnn(settings)
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.name in ("norm_scale", "norm_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("norm_mean", "norm_shift", "bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif any(name in variable.path for name in ("cls_score", "bbox_pred", "rpn", "score_lowres")):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return network


def random_images(batch: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """[B, H, W, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (batch, *size, 3), dtype=np.uint8)


def prioritize_first(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Takes the first boxes of each kind, as the golden values were made."""
    return tf.range(tf.cast(count, tf.float32))
