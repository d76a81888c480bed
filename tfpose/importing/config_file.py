"""Writes the config file beside imported weights, which evaluates and fine-tunes them."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

from tfpose.heatmaps import UNBIASED_DECODINGS
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.skeletons import KNOWN_SKELETONS

# A file with this text may be replaced.
MARKER = "Written by python -m tfpose.pretrained"
# Height of crops from which both families train with Gaussians of 3 cells instead of 2.
_LARGE_INPUT = 384
# Height of crops below which PaddleDetection trains with Gaussians of 1 cell.
_PADDLE_INPUT = 256
_DATA = {
    "coco17": ("data/coco_keypoints", "train", "val"),
    "posetrack15": ("data/posetrack18", "train", "val"),
    "posetrack18": ("data/posetrack18", "train", "val"),
}
_OTHER_DATA = ("data/coco_keypoints", "train", "val")

_TEMPLATE = '''"""{title}

{summary}

    tfpose evaluate --config={config} --workdir={workdir} --output_dir=results --boxes=DETECTIONS
    tfpose train --config={config} --workdir=runs/fine_tuned

{marker}; the settings of data, training and fine-tuning are yours to change.
"""

import ml_collections

from tfpose.systems import build_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of the experiment."""
    return build_config(
        system={system},
        skeleton={skeleton},
        data={data},
        network={network},
        crop={crop},
        normalization={normalization},
        augmentation={augmentation},
        target={target},
        initialize={{"source_workdir": {workdir_value}}},
        batch_size={batch_size},
        optimization={optimization},
        run={run},
        inference={inference},
        selection={selection},
    )
'''


def format_config(system: KeypointSystem, title: str, summary: str, config: pathlib.Path, workdir: pathlib.Path) -> str:
    """Returns the text of the config file.

    Args:
        system: System of the weights.
        title: First line of the config's docstring.
        summary: Description of the weights and of their source, for the docstring.
        config: Path of the config, for the commands in the docstring.
        workdir: Work folder with the weights.
    """
    values = config_values(system)
    return _TEMPLATE.format(
        title=_harmless(title),
        summary=_harmless(summary),
        marker=MARKER,
        config=_harmless(os.fspath(config)),
        workdir=_harmless(os.fspath(workdir)),
        workdir_value=_literal(os.fspath(workdir)),
        **{name: _literal(value) for name, value in values.items()},
    )


def config_values(system: KeypointSystem) -> dict[str, Any]:
    """Returns all values of the config but the source of its first weights, by name and section."""
    values = system.to_dict()
    known = KNOWN_SKELETONS.get(system.skeleton.joints) == system.skeleton
    name = system.skeleton.name if known else ""
    directory, train_split, validation_split = _DATA.get(name, _OTHER_DATA)
    return {
        "system": "two_stage",
        "skeleton": name,
        "data": {"directory": directory, "train_split": train_split, "validation_split": validation_split},
        "network": dict(values["network"]),
        "crop": {name: value for name, value in values["crop"].items() if name != "crop_size"},
        "normalization": values["normalization"],
        "augmentation": {
            "mirror_probability": 0.5 if system.skeleton.left_right_pairs else 0.0,
            "rotation_degrees": 40.0,
            "rotation_probability": 0.6,
            "scale_range": (0.7, 1.3),
        },
        "target": _target_settings(system),
        "batch_size": 64,
        "optimization": {"learning_rate": 1e-4},
        "run": {
            "total_steps": 1000,
            "log_every": 20,
            "checkpoint_every": 250,
            "evaluate_every": 250,
            "best_metric": "AP",
            "pictures_every": 250,
        },
        "inference": values["keypoints"],
        "selection": values["selection"],
    }


def _target_settings(system: KeypointSystem) -> dict[str, Any]:
    """Returns the settings of the target heatmaps that the weights were trained with."""
    height = system.crop.crop_size[0]
    sigma = 3.0 if height >= _LARGE_INPUT else 2.0
    if system.crop.convention == "paddle" and height < _PADDLE_INPUT:
        sigma = 1.0
    centers, cutoff = {
        "dark": ("subcell", None),
        **dict.fromkeys(UNBIASED_DECODINGS, ("subcell", 3.0)),
    }.get(system.keypoints.decoding, ("rounded", 3.0))
    return {"sigma_cells": sigma, "centers": centers, "cutoff_sigmas": cutoff}


def _literal(value: Any) -> str:
    """Returns a value as Python source, text between double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(name)}: {_literal(part)}" for name, part in value.items()) + "}"
    # JSON and Python share the escapes of text.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _harmless(text: str) -> str:
    """Replaces the characters of a text that could end the docstring around it."""
    return re.sub(r"[^\w\s.,;:()/+=@%'-]", "_", text)


def check_replaceable(path: pathlib.Path) -> None:
    """Checks that a file does not exist, or was written by this program.

    Raises:
        FileExistsError: The file was written by others; the message names it.
    """
    if path.exists() and MARKER not in path.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{path}: exists and was not written by this program; choose another --output")
