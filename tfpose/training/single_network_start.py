"""First weights of the first half of the single network, from a keypoint network or from ImageNet."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import cast

import keras
import numpy as np

from tfpose.checkpoints import load_for_inference
from tfpose.crops import Normalization
from tfpose.importing.named_weights import find_workdir, require_kinds
from tfpose.inference.keypoint_networks import unseen_settings
from tfpose.inference.keypoint_system import KEYPOINT_SYSTEM_FILE, read_keypoint_system
from tfpose.inference.single_network_system import SingleNetworkSystem
from tfpose.models.heatmap_network import HEATMAP_LAYER
from tfpose.models.pose_resnet import Depth, build_pose_resnet
from tfpose.models.pose_unet import JOINT_LAYER, PoseUnet, PoseUnetSettings, normalize_images
from tfpose.models.unfilled import build_unfilled
from tfpose.pretrained.imagenet import load_imagenet_encoder
from tfpose.pretrained.transfer import check_same_settings, transfer_weights, unmatched_note

_STEM_CONVOLUTION = "stem_conv"
_STEM_NORMALIZATION = "stem_bn"


def build_initializer(
    system: SingleNetworkSystem, encoder: str = "", keypoint_workdir: str = ""
) -> Callable[[PoseUnet], None] | None:
    """Returns the function that gives a fresh network its first weights, or None for random weights as in the paper.

    Args:
        system: System that the network belongs to. Its `encoder_depth` must not be 0 if weights are loaded.
        encoder: 'imagenet' for the public encoder of Keras, or the file of an encoder; '' for none.
        keypoint_workdir: Work folder of a finished run, or name of a public checkpoint, of a keypoint network with the
            same encoder, whose weights are copied. Its heatmaps become joint maps, with joints matched by name; '' for
            none.

    Raises:
        ValueError: Both `encoder` and `keypoint_workdir` are given, or the network has no encoder.
    """
    if encoder and keypoint_workdir:
        raise ValueError(
            "initialize must set at most one of encoder and keypoint_workdir, got "
            f"encoder={encoder!r}, keypoint_workdir={keypoint_workdir!r}"
        )
    if not (encoder or keypoint_workdir):
        return None
    if not system.network.encoder_depth:
        name, value = ("encoder", encoder) if encoder else ("keypoint_workdir", keypoint_workdir)
        raise ValueError(f"initialize.{name} must be '' for a network with encoder_depth 0, got {value!r}")
    require_kinds(keypoint_workdir, "--config.initialize.keypoint_workdir", "")

    def initialize(model: PoseUnet) -> None:
        if encoder:
            load_imagenet_encoder(model.frame, encoder)
            adapt_to_normalization(model.frame, Normalization())
        else:
            joints = load_keypoint_network(model, system, pathlib.Path(find_workdir(keypoint_workdir)))
            if note := unmatched_note(keypoint_workdir, joints, system.skeleton.joints):
                print(note, file=sys.stderr)

    return initialize


def load_keypoint_network(model: PoseUnet, system: SingleNetworkSystem, workdir: pathlib.Path) -> tuple[str, ...]:
    """Copies the weights of a finished run of a keypoint network of the two-stage system; returns its joints.

    Raises:
        FileNotFoundError: The folder is not the work folder of such a run.
        ValueError: A weight has no counterpart of the same shape; the message names the weight.
    """
    source = read_keypoint_system(workdir)
    network = build_unfilled(source.build_network)
    load_for_inference(network, workdir)
    same = _build_keypoint_network(system.skeleton.num_joints, system.network)
    _copy_where_named(model.frame, same)
    try:
        transfer_weights(network, same, source.skeleton.joints, system.skeleton.joints)
    except ValueError as error:
        file = workdir / KEYPOINT_SYSTEM_FILE
        raise ValueError(f"{file}: the network must fit that of this config, got {error}") from error
    ours = {"stride_in": system.network.encoder_stride_in}
    check_same_settings(str(workdir), unseen_settings(source.network), ours, prefix="encoder_")
    _copy_where_named(same, model.frame)
    adapt_to_normalization(model.frame, source.normalization)
    return source.skeleton.joints


def adapt_to_normalization(frame: keras.Model, normalization: Normalization) -> None:
    """Changes the stem of a network that was trained with `normalization` so that it fits `normalize_images`.

    The outputs of the stem are the same, except in the outermost rows and columns, where the stem pads zeros.
    """
    probes = np.zeros((4, 1, 1, 3), np.uint8)
    probes[np.arange(3), 0, 0, np.arange(3)] = 255
    # The first three rows are full red, green and blue, the last row is black.
    ours, theirs = (
        np.asarray(normalize(probes), np.float64)[:, 0, 0] for normalize in (normalize_images, normalization)
    )
    slopes = np.linalg.solve(ours[:3] - ours[3], theirs[:3] - theirs[3])
    offset = theirs[3] - ours[3] @ slopes
    convolution, norm = frame.get_layer(_STEM_CONVOLUTION), frame.get_layer(_STEM_NORMALIZATION)
    kernel = np.asarray(keras.ops.convert_to_numpy(convolution.kernel), np.float64)
    convolution.kernel.assign(np.einsum("dc,hwco->hwdo", slopes, kernel))
    norm.moving_mean.assign(norm.moving_mean - np.einsum("hwco,c->o", kernel, offset).astype(np.float32))


def _build_keypoint_network(num_joints: int, settings: PoseUnetSettings) -> keras.Model:
    return build_pose_resnet(
        num_joints,
        cast(Depth, settings.encoder_depth),
        settings.input_size,
        settings.encoder_stride_in,
        settings.encoder_width,
        settings.width,
        settings.encoder_skip_connections,
        dtype="float32",
    )


def _copy_where_named(source: keras.Model, target: keras.Model) -> None:
    """Copies variables between a frame network and a keypoint network, in either direction, where names match."""
    values = {_keypoint_path(variable.path): variable for variable in source.variables}
    for variable in target.variables:
        if _keypoint_path(variable.path) in values:
            variable.assign(keras.ops.convert_to_numpy(values[_keypoint_path(variable.path)]))


def _keypoint_path(path: str) -> str:
    return path.replace(f"{JOINT_LAYER}/", f"{HEATMAP_LAYER}/")
