"""The single heatmap network with all that must fit to it: skeleton, fit of the frames, thresholds."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfpose import skeletons
from tfpose.data.heads import anchor_indices, mirrored_anchor_joints
from tfpose.frame_fit import FrameFit
from tfpose.inference.float32_networks import build_in_float32
from tfpose.inference.frame_peaks import SingleNetworkSettings
from tfpose.inference.mirrored_networks import MirroredNetworks
from tfpose.json_files import optional_entry, read_json, write_json
from tfpose.messages import quote
from tfpose.models.pose_unet import PoseUnet, PoseUnetSettings, build_pose_unet
from tfpose.models.simplification import simplify_network
from tfpose.models.unfilled import build_unfilled
from tfpose.skeletons import Skeleton
from tfpose.typed_json import build_typed, describing

SINGLE_NETWORK_FILE = "single_network_system.json"
# Settings that matter in training only; the weights do not depend on them.
_TRAINING_ONLY = ("synchronize_batch_norm", "heatmap_init_stddev", "filter_init_bias", "l2")


@dataclasses.dataclass(frozen=True)
class SingleNetworkSystem:
    """The single network; training, evaluation and export share one.

    Attributes:
        skeleton: Skeleton of the network.
        network: Size of the network.
        inference: Thresholds, and how many people go through the network at once.
        anchor_joints: Joints that the network takes for the head, see `data.whole_frames.ExampleSettings`.

    Raises:
        ValueError: The skeleton lacks an anchor joint, or the flip test would find other anchors than the network.
    """

    skeleton: Skeleton
    network: PoseUnetSettings
    inference: SingleNetworkSettings
    anchor_joints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        anchor_indices(self.skeleton, self.anchor_joints)
        mirrored = mirrored_anchor_joints(self.skeleton, self.anchor_joints)
        if self.inference.use_flip_test and set(mirrored) != set(self.anchor_joints):
            raise ValueError(
                "use_flip_test requires anchor_joints that a mirrored image shows in the same place, such as both "
                f"joints of a pair, got {quote(self.anchor_joints)}"
            )

    @property
    def fit(self) -> FrameFit:
        """The map from frames to the network's input.

        Raises:
            ValueError: The network takes inputs of any size.
        """
        height, width = self.network.input_size
        if height is None or width is None:
            raise ValueError(f"network.input_size must be (height, width), got {self.network.input_size}")
        return FrameFit((height, width), self.network.size_multiple)

    def to_dict(self) -> dict:
        """Returns a JSON-ready description; `read_single_network_system` reads it back."""
        return {
            "skeleton": self.skeleton.to_dict(),
            "network": dataclasses.asdict(self.network),
            "inference": dataclasses.asdict(self.inference),
            **optional_entry("anchor_joints", list(self.anchor_joints), bool(self.anchor_joints)),
        }

    def build_network(self) -> PoseUnet:
        """Returns a network with fresh weights."""
        return build_pose_unet(self.skeleton.num_joints, self.network)


def build_single_network_system(
    skeleton: Skeleton, network: Mapping[str, Any], inference: Mapping[str, Any], anchor_joints: Sequence[str] = ()
) -> SingleNetworkSystem:
    """Builds the system from the sections of a config, and the anchor joints of its section `examples`.

    Inference uses the head mask of training.

    Raises:
        ValueError: A setting is unknown or out of range.
    """
    settings = build_typed(PoseUnetSettings, network, "network")
    masked = {**inference, "head_mask_sigma_cells": settings.head_mask_sigma_cells}
    thresholds = build_typed(SingleNetworkSettings, masked, "inference")
    return SingleNetworkSystem(skeleton, settings, thresholds, tuple(anchor_joints))


def write_single_network_system(workdir: str | pathlib.Path, system: SingleNetworkSystem) -> None:
    """Writes the description of the system into a work folder, which makes its weights usable."""
    write_json(pathlib.Path(workdir) / SINGLE_NETWORK_FILE, system.to_dict(), indent=2)


def read_single_network_system(workdir: str | pathlib.Path) -> SingleNetworkSystem:
    """Reads the system that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: The folder is not the work folder of a run of the single network.
        ValueError: Its description is damaged.
    """
    path = pathlib.Path(workdir) / SINGLE_NETWORK_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a training run of the single network")
    values = read_json(path)
    with describing(path, "the description of a single network"):
        skeleton = skeletons.skeleton_from_dict(values["skeleton"])
        anchors = values.get("anchor_joints", [])
        if not isinstance(anchors, list) or not all(isinstance(joint, str) for joint in anchors):
            raise ValueError(f"'anchor_joints' must be a list of names, got {quote(anchors)}")
        return build_single_network_system(skeleton, values["network"], values["inference"], anchors)


def with_inference(system: SingleNetworkSystem, inference: Mapping[str, Any]) -> SingleNetworkSystem:
    """Returns the same network with other settings for reading its maps."""
    network = dataclasses.asdict(system.network)
    return build_single_network_system(system.skeleton, network, inference, system.anchor_joints)


def check_network(system: SingleNetworkSystem, network: Mapping[str, Any], workdir: str | pathlib.Path) -> None:
    """Checks that a config describes the network of a work folder.

    Raises:
        ValueError: They differ; the message names the first setting that does.
    """
    wanted, found = (
        _effective(values) for values in (build_typed(PoseUnetSettings, network, "network"), system.network)
    )
    for name, value in found.items():
        if wanted[name] != value:
            raise ValueError(
                f"config.network.{name} must be {value!r}, as for the weights in {workdir}, got {wanted[name]!r}"
            )


def _effective(settings: PoseUnetSettings) -> dict[str, Any]:
    """Returns the settings that the weights and their use depend on, with defaults filled in."""
    values = dataclasses.asdict(settings) | {
        "input_size": tuple(settings.input_size),
        "person_width": settings.width_of_person,
        "stem_widths": settings.widths_of_stem,
    }
    return {name: value for name, value in values.items() if name not in _TRAINING_ONLY}


def build_inference_network(network: PoseUnet, system: SingleNetworkSystem, dtype: str = "float32") -> PoseUnet:
    """Builds the network with batch normalization merged into its convolutions.

    Args:
        network: Network as trained, under any precision; later training does not change the result.
        system: System of the network.
        dtype: "float32" or "bfloat16", in which it computes.
    """
    plain = build_in_float32(lambda: build_unfilled(system.build_network))
    plain.set_weights(network.get_weights())
    frame, person = (simplify_network(part, dtype) for part in (plain.frame, plain.person))
    return PoseUnet(frame, person, system.network.head_mask_sigma_cells)


def build_inference_parts(network: PoseUnet, system: SingleNetworkSystem) -> tuple[Callable, Callable]:
    """Returns the two parts of a network as `inference.single_network` calls them, with or without the flip test."""
    parts = MirroredNetworks(network, system.skeleton.flip_order) if system.inference.use_flip_test else network
    return parts.find_joints, parts.filter_joints
