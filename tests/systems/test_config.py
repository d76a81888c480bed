"""Every config has exactly the fields of what receives them, and every field can be set by flag."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections
import pytest

from tfpose import systems
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.importing.config_file import format_config
from tfpose.inference.frame_peaks import SingleNetworkSettings
from tfpose.inference.keypoint_system import build_keypoint_system
from tfpose.skeletons import COCO17
from tfpose.systems.config import COMMON_SECTIONS, complete_config
from tfpose.tracking.choice import TrackerChoice, choice_from_settings
from tfpose.training.optimization import OptimizationSettings
from tfpose.training.session import RunSettings

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("[a-z]*.py"))
NEW_VALUES: dict[type, Any] = {int: 7, float: 0.25, str: "word", tuple: (3, 5)}
SMALLEST = {
    "data": {"directory": "data"},
    "batch_size": 2,
    "optimization": {"learning_rate": 0.1},
    "run": {"total_steps": 1},
}


def read_config(path: pathlib.Path, *overrides: str) -> ml_collections.ConfigDict:
    """The config of a file, as a program reads it from its command line."""
    arguments = [f"--config={path}", *overrides]
    values = ProgramFlags(arguments)
    define_config_flag(values, "The experiment.")
    values(["program", *arguments])
    return values.config


def leaves(config: ml_collections.ConfigDict, prefix: str = "config") -> Iterator[tuple[str, type, Any]]:
    """Name, type and value of every field."""
    for name in config:
        if isinstance(config[name], ml_collections.ConfigDict):
            yield from leaves(config[name], f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", config.get_type(name), config[name]


def imported_config(directory: pathlib.Path) -> pathlib.Path:
    """The config that an import of public weights writes."""
    system = build_keypoint_system(
        COCO17,
        {"depth": 50, "input_size": (256, 192)},
        {"margin_scale": 1.25},
        {},
        {"decoding": "dark"},
        {},
    )
    path = directory / "imported.py"
    path.write_text(format_config(system, "Imported.", "A summary.", path, directory / "imported"))
    return path


@pytest.fixture(params=[path.stem for path in CONFIGS] + ["imported"])
def config_path(request, tmp_path) -> pathlib.Path:
    if request.param == "imported":
        return imported_config(tmp_path)
    return next(path for path in CONFIGS if path.stem == request.param)


def test_every_field_can_be_set_by_flag(config_path):
    wanted = {}
    for name, kind, value in leaves(read_config(config_path)):
        if name != "config.system":
            wanted[name] = not value if kind is bool else NEW_VALUES[kind]
    changed = read_config(config_path, *(f"--{name}={value}" for name, value in wanted.items()))
    assert {name: value for name, _, value in leaves(changed) if name in wanted} == wanted


def test_sections_have_exactly_the_fields_of_their_receivers(config_path):
    config = read_config(config_path)
    sections = {**COMMON_SECTIONS, **systems.from_config(config).config_sections(config.to_dict())}
    values = {"batch_size", "system", "seed", "skeleton", "strategy"}
    assert set(config) == set(sections) | values
    OptimizationSettings(**config.optimization)
    RunSettings(seed=config.seed, **config.run)
    # Complete already: nothing is added.
    values = config.to_dict()
    assert complete_config(systems.from_config(config).config_sections(values), values).to_dict() == values


def test_names_that_configs_of_the_papers_refused_are_taken():
    path = next(path for path in CONFIGS if path.stem == "two_stage_resnet50_coco")
    config = read_config(
        path,
        "--config.network.synchronize_batch_norm=True",
        "--config.network.skip_connections=True",
        "--config.optimization.optimizer=muon",
        "--config.optimization.weight_decay=0.0",
        "--config.optimization.cosine_steps=1000",
    )
    assert config.network.synchronize_batch_norm and config.optimization.optimizer == "muon"
    assert config.optimization.cosine_steps == 1000


def test_paper_of_the_single_network_is_one_file():
    config = read_config(next(path for path in CONFIGS if path.stem == "single_network_posetrack17"))
    assert (config.tracker.max_joint_distance_pixels, config.tracker.max_age_frames) == (200.0, 10)
    assert choice_from_settings(config.tracker) == TrackerChoice("payer2017")
    assert SingleNetworkSettings(**config.inference).head_threshold == 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"netwrok": {}}, "config: unknown section or value 'netwrok'; did you mean 'network'"),
        ({"crop": {"margin": 3}}, "config.crop: unknown field 'margin'; did you mean 'margin_"),
        ({"network": {"name": "pose_xyz"}}, "network.name must be one of .*pose_resnet.*, got 'pose_xyz'"),
        ({"network": {"name": "pose_resnet", "deep": 3}}, "settings of pose_resnet must be some of .*, got 'deep'"),
        ({"run": {}}, "config.run.total_steps must be given, because it has no default"),
    ],
)
def test_wrong_configs_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        systems.build_config("two_stage", **{**SMALLEST, **values})


def test_unknown_system_is_named():
    with pytest.raises(ValueError, match="config.system must be one of two_stage, single_network, .*got 'one_stage'"):
        systems.build_config("one_stage", **SMALLEST)


def test_whole_numbers_become_floats_where_floats_are_wanted():
    config = systems.build_config("two_stage", **SMALLEST, crop={"margin_pixels": 60})
    assert type(config.crop.margin_pixels) is float
