"""The networks that the two-stage system can use for its second stage, by name.

A new network is a `build_<network>` function in a file of its own under `tfpose/models`, and an entry of `NETWORKS`.
A config then names it as `network.name`; the other settings of the section `network` are the arguments of its function.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfpose.models.pose_hrnet import POSE_HRNET_STRIDE, build_pose_hrnet
from tfpose.models.pose_resnet import POSE_RESNET_STRIDE, build_pose_resnet
from tfpose.models.pose_vit import POSE_VIT_STRIDE, build_pose_vit
from tfpose.models.tinypose import TINYPOSE_STRIDE, build_tinypose
from tfpose.pretrained.imagenet import load_imagenet_encoder
from tfpose.pretrained.pose_vit import load_vit_encoder

# Arguments of a build function that no config sets.
NOT_SETTINGS = ("num_joints", "dtype", "name")
DEFAULT_NETWORK = "pose_resnet"


@dataclasses.dataclass(frozen=True)
class KeypointNetwork:
    """A kind of network from normalized crops to one heatmap per joint.

    Attributes:
        build: Function from the number of joints J and the settings, which include `input_size` (height, width) in
            pixels, to a model from images [B, H, W, 3] to heatmaps [B, H/s, W/s, J]. Every layer is named, the last
            one `heatmaps`.
        heatmap_stride: Pixels of a crop per heatmap cell, s.
        load_encoder: Function that loads public encoder weights into a model: from the model and 'imagenet' or the path
            of a file. None for a network without such weights.
        unseen_settings: Settings that no shape of a weight tells, but that weights must be used with as trained.
    """

    build: Callable[..., keras.Model]
    heatmap_stride: int
    load_encoder: Callable[[keras.Model, str], None] | None = None
    unseen_settings: tuple[str, ...] = ()


NETWORKS: dict[str, KeypointNetwork] = {
    "pose_resnet": KeypointNetwork(build_pose_resnet, POSE_RESNET_STRIDE, load_imagenet_encoder, ("stride_in",)),
    "pose_hrnet": KeypointNetwork(build_pose_hrnet, POSE_HRNET_STRIDE),
    "tinypose": KeypointNetwork(build_tinypose, TINYPOSE_STRIDE),
    "pose_vit": KeypointNetwork(build_pose_vit, POSE_VIT_STRIDE, load_vit_encoder, ("num_heads",)),
}


def find_network(settings: Mapping[str, Any]) -> KeypointNetwork:
    """Returns the kind of network that the section `network` of a config names; checks the names of its settings.

    Args:
        settings: Section `network`: `name`, and arguments of the network's function.

    Raises:
        ValueError: There is no such network, or it has no such setting.
    """
    name = settings.get("name", DEFAULT_NETWORK)
    if name not in NETWORKS:
        raise ValueError(f"network.name must be one of {', '.join(NETWORKS)}, got {name!r}")
    kind = NETWORKS[name]
    parameters = inspect.signature(kind.build).parameters
    known = [parameter for parameter in parameters if parameter not in NOT_SETTINGS]
    for setting in settings:
        if setting != "name" and setting not in known:
            raise ValueError(f"network: the settings of {name} must be some of {', '.join(known)}, got {setting!r}")
    for setting in known:
        if parameters[setting].annotation is inspect.Parameter.empty:
            raise ValueError(f"network: the settings of {name} must have types in its function, got {setting!r}")
    return kind


def unseen_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values, by name, of the settings in a section `network` that no shape of a weight tells."""
    kind = find_network(settings)
    defaults = inspect.signature(kind.build).parameters
    return {name: settings.get(name, defaults[name].default) for name in kind.unseen_settings}


def build_network(num_joints: int, settings: Mapping[str, Any]) -> keras.Model:
    """Builds a network with fresh weights from the section `network` of a config.

    Raises:
        ValueError: The network breaks a rule of docs/extend.md, or see `find_network`.
    """
    kind = find_network(settings)
    model = kind.build(num_joints, **{name: value for name, value in settings.items() if name != "name"})
    if broken := _broken_rule(model, kind.heatmap_stride, num_joints):
        raise ValueError(f"network.name={settings.get('name', DEFAULT_NETWORK)}: {broken}")
    return model


def _broken_rule(model: Any, heatmap_stride: int, num_joints: int) -> str:
    """Returns the rule of docs/extend.md that a network breaks, and how; empty for none."""
    if not isinstance(model, keras.Model):
        return f"the function must return a Keras model, got {type(model).__name__}"
    sides = (side and side // heatmap_stride for side in model.input_shape[1:3])
    expected, found = (None, *sides, num_joints), model.output_shape
    if found != expected:
        return f"the output must be heatmaps {expected}, a cell for {heatmap_stride} pixels, got {found}"
    if model.output.dtype not in ("float32", "float64"):
        return f"the heatmaps must be float32, got {model.output.dtype}"
    return ""
