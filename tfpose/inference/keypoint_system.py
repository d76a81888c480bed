"""The keypoint network with all that must fit to it: skeleton, crop, normalisation, decoding."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from tfpose import skeletons
from tfpose.crops import CropSettings, Normalization
from tfpose.inference.two_stage import KeypointSettings, SelectionSettings
from tfpose.json_files import read_json, write_json
from tfpose.models.pose_resnet import HEATMAP_STRIDE, build_pose_resnet
from tfpose.skeletons import Skeleton

SYSTEM_FILE = "keypoint_system.json"


@dataclasses.dataclass(frozen=True)
class KeypointSystem:
    """Second stage of the two-stage system; training, evaluation and export are given the same one.

    Attributes:
        skeleton: of the network.
        network: arguments of `build_pose_resnet` besides the number of joints.
        crop: how boxes become crops; its size is the network's input size.
        normalization: of crops.
        keypoints: flip test and decoding.
        selection: rescoring and suppression.
    """

    skeleton: Skeleton
    network: Mapping[str, Any]
    crop: CropSettings
    normalization: Normalization
    keypoints: KeypointSettings
    selection: SelectionSettings

    @property
    def heatmap_size(self) -> tuple[int, int]:
        height, width = self.crop.crop_size
        return height // HEATMAP_STRIDE, width // HEATMAP_STRIDE

    def to_dict(self) -> dict:
        """A JSON-ready description; `keypoint_system_from_dict` reads it back."""
        return {
            "skeleton": self.skeleton.to_dict(),
            **{
                name: dict(value) if name == "network" else dataclasses.asdict(value)
                for name, value in vars(self).items()
                if name != "skeleton"
            },
        }

    def build_network(self) -> keras.Model:
        """A network with fresh weights."""
        return build_pose_resnet(self.skeleton.num_joints, **self.network)


def build_keypoint_system(
    skeleton: Skeleton,
    network: Mapping[str, Any],
    crop: Mapping[str, Any],
    normalization: Mapping[str, Any],
    inference: Mapping[str, Any],
    selection: Mapping[str, Any],
) -> KeypointSystem:
    """Builds the system from the sections of a config file.

    Raises:
        ValueError: if a decoding does not fit the crop's convention.
    """
    settings = KeypointSettings(**inference)
    crop_settings = CropSettings(crop_size=tuple(network["input_size"]), **crop)
    if settings.decoding == "udp" and crop_settings.convention != "udp":
        raise ValueError(
            "inference.decoding=udp needs crop.convention=udp: the weights must have been trained with it, "
            f"got crop.convention={crop_settings.convention}"
        )
    return KeypointSystem(
        skeleton=skeleton,
        network=dict(network),
        crop=crop_settings,
        normalization=Normalization(**normalization),
        keypoints=settings,
        selection=SelectionSettings(**selection),
    )


def write_keypoint_system(workdir: str | pathlib.Path, system: KeypointSystem) -> None:
    """Leaves in a work folder what is needed to use its weights."""
    write_json(pathlib.Path(workdir) / SYSTEM_FILE, system.to_dict(), indent=2)


def read_keypoint_system(workdir: str | pathlib.Path) -> KeypointSystem:
    """The system that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: if the folder is not that of a run.
        ValueError: if its description is damaged.
    """
    path = pathlib.Path(workdir) / SYSTEM_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a training run")
    try:
        values = read_json(path)
        return KeypointSystem(
            skeleton=skeletons.skeleton_from_dict(values["skeleton"]),
            network={**values["network"], "input_size": tuple(values["network"]["input_size"])},
            crop=_from_dict(CropSettings, values["crop"]),
            normalization=_from_dict(Normalization, values["normalization"]),
            keypoints=_from_dict(KeypointSettings, values["keypoints"]),
            selection=_from_dict(SelectionSettings, values["selection"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the description of a keypoint network: {error!r}") from error


def _from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    # JSON has no tuples.
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def with_settings(system: KeypointSystem, inference: Mapping[str, Any], selection: Mapping[str, Any]) -> KeypointSystem:
    """The same network, its heatmaps read with other settings."""
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
    """The same network on crops that show so many image pixels more on every side of a box.

    Raises:
        ValueError: the margin is negative.
    """
    if margin_pixels < 0:
        raise ValueError(f"the margin of crops must be 0 pixels or more, got {margin_pixels}")
    return dataclasses.replace(system, crop=dataclasses.replace(system.crop, margin_pixels=margin_pixels))
