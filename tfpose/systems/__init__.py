"""The systems of this library. This module is the only place that chooses one.

A new system is a module of the functions in `system.TrainedSystem` or `system.PoseSystem`, and an entry of `SYSTEMS`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from tfpose.checkpoints import RUN_CONFIG_FILE
from tfpose.pretrained.public_checkpoints import suggest_names
from tfpose.systems import keypoint_rcnn, picodet, single_network, two_stage
from tfpose.systems.config import complete_config
from tfpose.systems.run_config import read_run_config
from tfpose.systems.setting_checks import check_config
from tfpose.systems.system import Config, PoseSystem, TrainedSystem, TunableSystem

POSE_SYSTEMS: dict[str, PoseSystem] = {"two_stage": two_stage, "single_network": single_network}
TUNABLE_SYSTEMS: dict[str, TunableSystem] = {"single_network": single_network}
SYSTEMS: dict[str, TrainedSystem] = {**POSE_SYSTEMS, "keypoint_rcnn": keypoint_rcnn, "picodet": picodet}


def build_config(system: str, **values: Any) -> ml_collections.ConfigDict:
    """Builds the complete config of an experiment.

    Args:
        system: Name of the system.
        **values: Values that are in no section, and a mapping for each section; what is left out has the default of
            what receives it.

    Raises:
        ValueError: There is no such system, section or field, or a field without a default is missing.
    """
    return complete_config(_find(system, SYSTEMS).config_sections(values), {"system": system, **values})


def from_config(config: Config) -> TrainedSystem:
    """Returns the system of a config whose values keep all rules.

    Raises:
        ValueError: There is no such system, or a value of the config breaks a rule; names its flag.
    """
    system = _find(config.system, SYSTEMS)
    check_config(config, system.config_sections(config.to_dict()))
    return system


def config_of_run(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """Reads the config that a run was last trained with.

    Raises:
        FileNotFoundError: The folder holds no config.
        ValueError: The config is damaged.
    """
    config = read_run_config(workdir, build_config)
    if config is None:
        raise FileNotFoundError(f"{workdir / RUN_CONFIG_FILE}: not found; give --config with the config of the run")
    return config


def compare_with_run(config: Config, workdir: pathlib.Path, compare: Callable[..., str]) -> str:
    """Compares a config with that of the run in a work folder; returns a note, empty if there is nothing to say.

    Args:
        config: The config in use.
        workdir: Work folder of the run, with or without a config.
        compare: Function of `tfpose.systems.run_config` from both configs and the folder to the note.

    Raises:
        ValueError: The network is another one.
    """
    found = read_run_config(workdir, build_config)
    return "" if found is None else compare(config, found, workdir)


def tunable_from_config(config: Config) -> TunableSystem:
    """Returns the system of a config, whose thresholds can be searched.

    Raises:
        ValueError: There is no such system, or it has no thresholds to search.
    """
    from_config(config)
    if config.system not in TUNABLE_SYSTEMS:
        raise ValueError(
            f"--workdir must be a run of the single network for a search of its thresholds, got {config.system}; "
            "search the tracker on files of poses with --predictions"
        )
    return TUNABLE_SYSTEMS[config.system]


def forget_other_systems(config: Config, workdir: pathlib.Path) -> None:
    """Removes descriptions that runs of other systems left in a work folder, as one that failed before it saved.

    `from_workdir` would take the weights of this run for those of the other system.
    """
    for name, system in SYSTEMS.items():
        if name != config.system:
            (workdir / system.DESCRIPTION_FILE).unlink(missing_ok=True)


def from_workdir(workdir: pathlib.Path) -> PoseSystem:
    """Returns the system that left its description in a work folder.

    Raises:
        FileNotFoundError: The folder is not the work folder of a system that finds poses.
    """
    for system in POSE_SYSTEMS.values():
        if (workdir / system.DESCRIPTION_FILE).is_file():
            return system
    files = " or ".join(system.DESCRIPTION_FILE for system in POSE_SYSTEMS.values())
    raise FileNotFoundError(
        f"{workdir}: must be the work folder of a training run ({files}), got neither{suggest_names(str(workdir))}"
    )


def _find(name: str, systems: Mapping[str, Any]) -> Any:
    if name not in systems:
        raise ValueError(f"config.system must be one of {', '.join(systems)}, got {name!r}")
    return systems[name]
