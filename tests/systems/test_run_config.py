"""The config that a run leaves in its work folder."""

from __future__ import annotations

import importlib
import json

import pytest
from small_system import small_table

from tfpose import systems
from tfpose.checkpoints import RUN_CONFIG_FILE
from tfpose.systems.run_config import (
    check_continued,
    check_evaluated,
    check_joints,
    common_settings,
    digest_of_evaluation,
    write_run_config,
)


def build(name: str = "single_network_synthetic"):
    return importlib.import_module(f"configs.{name}").get_config()


@pytest.mark.parametrize(
    "name", ["two_stage_resnet18_synthetic", "single_network_synthetic", "keypoint_rcnn_synthetic"]
)
def test_every_value_comes_back(name, tmp_path):
    config = build(name)
    config.batch_size = 5
    write_run_config(config, tmp_path)
    assert systems.config_of_run(tmp_path).to_dict() == config.to_dict()
    json.loads((tmp_path / RUN_CONFIG_FILE).read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_descriptions_of_other_systems_go(tmp_path):
    for name in ("keypoint_system.json", "single_network_system.json", "picodet.json", "notes.json"):
        (tmp_path / name).write_text("{}")
    systems.forget_other_systems(build(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"single_network_system.json", "notes.json"}
    assert systems.from_workdir(tmp_path) is systems.SYSTEMS["single_network"]


def test_a_run_without_a_config_asks_for_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json: not found; give --config"):
        systems.config_of_run(tmp_path)
    assert systems.compare_with_run(build(), tmp_path, check_evaluated) == ""


@pytest.mark.parametrize("text", ["[]", "{", '{"system": "single_network", "run": 3}', '{"system": "x"}', "[" * 99_999])
def test_a_damaged_config_is_one_line(text, tmp_path):
    (tmp_path / RUN_CONFIG_FILE).write_text(text)
    with pytest.raises(ValueError, match=f"{RUN_CONFIG_FILE}") as caught:
        systems.config_of_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_digest_of_evaluation_tells_other_data_and_other_settings(tmp_path):
    config, table = build(), small_table(tmp_path / "a")
    digest = digest_of_evaluation(config, table)
    assert digest == digest_of_evaluation(build(), small_table(tmp_path / "b"))
    assert digest != digest_of_evaluation(config, small_table(tmp_path / "c", num_images=3))
    config.optimization.learning_rate = 0.5
    assert digest == digest_of_evaluation(config, table)
    config.inference.joint_threshold = 0.123
    assert digest != digest_of_evaluation(config, table)


def test_a_run_that_continues_says_that_it_does_not_start_from_other_weights(tmp_path):
    write_run_config(build(), tmp_path)
    config = build()
    config.initialize.keypoint_workdir = "runs/keypoints"
    note = systems.compare_with_run(config, tmp_path, check_continued)
    assert "initialize.keypoint_workdir 'runs/keypoints' (was ''); initialize has no effect on a run that cont" in note


def test_processes_have_the_settings_in_common_but_not_the_folder_of_the_data():
    config = build()
    common = common_settings(config)
    with config.unlocked():
        config.data.directory = "other"
    assert common_settings(config) == common
    config.optimization.learning_rate = 0.5
    changed = {name for name, text in common_settings(config).items() if common[name] != text}
    assert changed == {"optimization.learning_rate"}


def test_other_joints_do_not_continue(tmp_path):
    description = tmp_path / "keypoint_system.json"
    check_joints(description, ("nose", "tail"))
    description.write_text('{"skeleton": {"joints": ["nose", "tail"]}}')
    check_joints(description, ("nose", "tail"))
    with pytest.raises(
        ValueError, match="keypoint_system.json: the joints must be tail, nose in this order, .* got nose, tail;"
    ):
        check_joints(description, ("tail", "nose"))
    description.write_text('{"skeleton": [1]}')
    check_joints(description, ("nose", "tail"))


def test_another_network_is_refused_and_other_settings_are_named(tmp_path):
    write_run_config(build(), tmp_path)
    config = build()
    config.batch_size, config.inference.joint_threshold = 4, 0.5
    before, now = config.inference.joint_threshold, build().inference.joint_threshold
    note = f"note: settings differ from those of the run in {tmp_path}: "
    changed = f"inference.joint_threshold {before} (was {now})"
    assert systems.compare_with_run(config, tmp_path, check_continued) == f"{note}batch_size 4 (was 8), {changed}"
    assert systems.compare_with_run(config, tmp_path, check_evaluated) == note + changed
    config.optimization.optimizer = "adam"
    assert systems.compare_with_run(config, tmp_path, check_evaluated) == note + changed
    with pytest.raises(ValueError, match="--config.optimization.optimizer must be 'muon' to continue the run in "):
        systems.compare_with_run(config, tmp_path, check_continued)
    config.optimization.optimizer = build().optimization.optimizer
    config.optimization.ema_decay = 0.5
    assert "optimization.ema_decay 0.5" in systems.compare_with_run(config, tmp_path, check_continued)
    config.optimization.ema_decay = None
    with pytest.raises(
        ValueError, match="--config.optimization.ema_decay must be 0.* to continue the run in .*, got None"
    ):
        systems.compare_with_run(config, tmp_path, check_continued)
    config.network.width = 8
    with pytest.raises(ValueError, match="--config.network.width must be 64 to use the weights of the run .*, got 8"):
        systems.compare_with_run(config, tmp_path, check_evaluated)
