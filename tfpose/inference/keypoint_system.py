"""The keypoint network with all that must fit it: skeleton, crop, normalization, decoding."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from tfpose import skeletons
from tfpose.crops import CropSettings, Normalization
from tfpose.heatmaps import UNBIASED_DECODINGS
from tfpose.inference.keypoint_networks import DEFAULT_NETWORK, build_network, find_network
from tfpose.inference.two_stage import KeypointSettings, SelectionSettings
from tfpose.json_files import read_json, write_json
from tfpose.pretrained.public_checkpoints import suggest_names
from tfpose.skeletons import Skeleton
from tfpose.typed_json import build_typed, check_types, describing

KEYPOINT_SYSTEM_FILE = "keypoint_system.json"


@dataclasses.dataclass(frozen=True)
class KeypointSystem:
    """Second stage of the two-stage system; training, evaluation and export share one.

    Attributes:
        skeleton: Skeleton of the network.
        network: Name and settings of the network, see `keypoint_networks`.
        crop: How boxes become crops; the crop size is the network's input size.
        normalization: How crops become the network's input.
        keypoints: Flip test and decoding.
        selection: Rescoring and suppression of poses.
    """

    skeleton: Skeleton
    network: Mapping[str, Any]
    crop: CropSettings
    normalization: Normalization
    keypoints: KeypointSettings
    selection: SelectionSettings

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """The size (height, width) of the heatmaps in cells."""
        height, width = self.crop.crop_size
        stride = find_network(self.network).heatmap_stride
        return height // stride, width // stride

    def to_dict(self) -> dict:
        """Returns a JSON-ready description; `keypoint_system_from_dict` reads it back."""
        return {
            "skeleton": self.skeleton.to_dict(),
            **{
                name: dict(value) if name == "network" else dataclasses.asdict(value)
                for name, value in vars(self).items()
                if name != "skeleton"
            },
        }

    def build_network(self) -> keras.Model:
        """Returns a network with fresh weights."""
        return build_network(self.skeleton.num_joints, self.network)


def build_keypoint_system(
    skeleton: Skeleton,
    network: Mapping[str, Any],
    crop: Mapping[str, Any],
    normalization: Mapping[str, Any],
    inference: Mapping[str, Any],
    selection: Mapping[str, Any],
) -> KeypointSystem:
    """Builds the system from the sections of a config.

    Raises:
        ValueError: A network or one of its settings is unknown, or the decoding does not fit the crop's convention.
    """
    find_network(network)
    settings = KeypointSettings(**inference)
    crop_settings = CropSettings(crop_size=tuple(network["input_size"]), **crop)
    if settings.decoding in UNBIASED_DECODINGS and crop_settings.convention != "udp":
        raise ValueError(
            f"inference.decoding={settings.decoding} requires crop.convention=udp, with which the weights must have "
            f"been trained, got crop.convention={crop_settings.convention}"
        )
    return KeypointSystem(
        skeleton=skeleton,
        network={"name": DEFAULT_NETWORK, **network},
        crop=crop_settings,
        normalization=Normalization(**normalization),
        keypoints=settings,
        selection=SelectionSettings(**selection),
    )


def write_keypoint_system(workdir: str | pathlib.Path, system: KeypointSystem) -> None:
    """Writes the description of the system into a work folder, which makes its weights usable."""
    write_json(pathlib.Path(workdir) / KEYPOINT_SYSTEM_FILE, system.to_dict(), indent=2)


def read_keypoint_system(workdir: str | pathlib.Path) -> KeypointSystem:
    """Reads the system that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: The folder is not the work folder of a run.
        ValueError: Its description is damaged.
    """
    path = pathlib.Path(workdir) / KEYPOINT_SYSTEM_FILE
    if not path.is_file():
        hint = suggest_names(str(workdir))
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a training run{hint}")
    values = read_json(path)
    with describing(path, "the description of a keypoint network"):
        network = {"name": DEFAULT_NETWORK, **values["network"]}
        check_types(find_network(network).build, {k: v for k, v in network.items() if k != "name"}, "network")
        return KeypointSystem(
            skeleton=skeletons.skeleton_from_dict(values["skeleton"]),
            network={name: tuple(value) if isinstance(value, list) else value for name, value in network.items()},
            crop=build_typed(CropSettings, values["crop"], "crop"),
            normalization=build_typed(Normalization, values["normalization"], "normalization"),
            keypoints=build_typed(KeypointSettings, values["keypoints"], "keypoints"),
            selection=build_typed(SelectionSettings, values["selection"], "selection"),
        )


def with_settings(system: KeypointSystem, inference: Mapping[str, Any], selection: Mapping[str, Any]) -> KeypointSystem:
    """Returns the same network with other settings for reading its heatmaps."""
    values = system.to_dict()
    return build_keypoint_system(
        system.skeleton,
        system.network,
        {name: value for name, value in values["crop"].items() if name != "crop_size"},
        values["normalization"],
        inference,
        selection,
    )


def with_margin(system: KeypointSystem, margin_pixels: float) -> KeypointSystem:
    """Returns the same network with crops that reach `margin_pixels` image pixels beyond every side of a box.

    Raises:
        ValueError: The margin is negative.
    """
    if margin_pixels < 0:
        raise ValueError(f"the margin of crops must be at least 0 pixels, got {margin_pixels}")
    return dataclasses.replace(system, crop=dataclasses.replace(system.crop, margin_pixels=margin_pixels))
