"""Wrong values of a config are named by flag, rule and value before anything is built."""

from __future__ import annotations

import copy
import functools
import importlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from ml_collections import ConfigDict

from tfpose import systems
from tfpose.training.batches import check_devices

NAMES = ("two_stage_resnet18_synthetic", "single_network_synthetic", "keypoint_rcnn_synthetic")
WRONG: dict[type, list[Any]] = {
    int: [-1, True, "x", 1.5],
    float: [math.nan, "x"],
    bool: ["x", 2],
    str: [3],
    tuple: ["64x64", ("a", "b"), 64, (-1, -1)],
}


def build(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


def leaves(config: ConfigDict, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in config:
        if isinstance(config[name], ConfigDict):
            yield from leaves(config[name], (*prefix, name))
        else:
            yield (*prefix, name), config[name]


def with_value(config: ConfigDict, path: tuple[str, ...], value: Any) -> ConfigDict:
    """The config with a value of any type, as no flag could set it."""
    changed = copy.deepcopy(config)
    section = changed
    for part in path[:-1]:
        section = section[part]
    with section.ignore_type(), section.unlocked():
        section[path[-1]] = value
    return changed


JOINT_NAMES = ("upper_body_joints", "anchor_joints")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_a_wrong_kind_is_named_by_its_flag(name):
    config = build(name)
    systems.from_config(config)
    count = 0
    for path, value in leaves(config):
        # Some rules are about two values of a section and name both.
        flag = rf"^--config\.{'.'.join(path[:-1])}.*\b{path[-1]}\b"
        for wrong in WRONG.get(type(value), []):
            # Two words are names of joints, which only the skeleton knows.
            if path in (("system",), ("network", "name")) or (path[-1] in JOINT_NAMES and wrong == ("a", "b")):
                continue
            with pytest.raises(ValueError, match=flag) as caught:
                systems.from_config(with_value(config, path, wrong))
            assert " must " in str(caught.value)
            count += 1
    assert count > 100


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("batch_size", 0, "--config.batch_size must be at least 1, got 0"),
        (
            "augmentation.half_body_min_joints",
            0,
            "--config.augmentation.half_body_min_joints must be at least 1, got 0",
        ),
        (
            "augmentation.cutout_probability",
            1.5,
            "--config.augmentation.cutout_probability must lie in [0, 1], got 1.5",
        ),
        (
            "augmentation.upper_body_joints",
            ("nose", 3),
            "--config.augmentation.upper_body_joints must be a tuple, each text, got ('nose', 3)",
        ),
        ("batch_size", -4, "--config.batch_size must be at least 1, got -4"),
        ("optimization.accumulation_steps", 0, "--config.optimization.accumulation_steps must be at least 1, got 0"),
        (
            "network.input_size",
            "64x64",
            "--config.network.input_size must be (height, width), two whole numbers of at least 1, got '64x64'",
        ),
        ("network.input_size", (0, 64), "--config.network.input_size must be (height, width)"),
        ("network.depth", 19, "--config.network.depth must be one of 18, 34, 50, 101, 152, got 19"),
        ("strategy", "\x1b" * 90, "--config.strategy must be one of auto, one_device"),
        ("strategy", "tpu", "--config.strategy must be one of auto, one_device"),
        ("run.best_metric", "mAP", "--config.run.best_metric must be a metric such as AP, AP50, AR, "),
        ("run.total_steps", 0, "--config.run.total_steps must be at least 1, got 0"),
        ("optimization.learning_rate", -0.1, "--config.optimization.learning_rate must be at least 0, got -0.1"),
        (
            "optimization.learning_rate_drops",
            ((1,),),
            "--config.optimization.learning_rate_drops must be a tuple, each a tuple (a whole number, a finite "
            "number), got ((1,),)",
        ),
        (
            "optimization.gradient_clip_norm",
            math.inf,
            "--config.optimization.gradient_clip_norm must be a finite number or None, got inf",
        ),
        ("target.sigma_cells", 0.0, "--config.target.sigma_cells must be above 0, got 0.0"),
        ("evaluation.batch_size", 0, "--config.evaluation.batch_size must be at least 1, got 0"),
        ("inference.decoding", "Dark", "--config.inference.decoding must be one of peak, quarter, "),
        ("inference.blur_kernel", 4, "--config.inference.blur_kernel must be odd and at least 1, got 4"),
    ],
)
def test_the_rule_and_the_value_are_named(path, value, message):
    config = with_value(build("two_stage_resnet18_synthetic"), tuple(path.split(".")), value)
    with pytest.raises(ValueError) as caught:
        systems.from_config(config)
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [("anchor_sizes", (32.0, 0.0, 64.0), "above 0"), ("blocks_per_stage", (1, 0, 1, 1), "at least 1")],
)
def test_sizes_of_a_detector_are_positive(path, value, rule):
    config = with_value(build("keypoint_rcnn_synthetic"), ("network", path), value)
    with pytest.raises(ValueError, match=f"^--config.network.{path} must be {rule}, got "):
        systems.from_config(config)


def build_shared(batch_size, **optimization):
    config = with_value(build("two_stage_resnet18_synthetic"), ("batch_size",), batch_size)
    return functools.reduce(
        lambda changed, item: with_value(changed, ("optimization", item[0]), item[1]), optimization.items(), config
    )


def test_a_batch_must_divide_among_devices_and_parts():
    check_devices(build_shared(12, accumulation_steps=3), 2)
    with pytest.raises(ValueError, match="--config.batch_size must be a multiple of 2, the number of devices, got 3"):
        check_devices(build_shared(3), 2)
    with pytest.raises(ValueError, match="accumulation_steps must divide 4, the batch of a device, got 3"):
        check_devices(build_shared(8, accumulation_steps=3), 2)


@pytest.mark.parametrize(
    ("change", "flag"),
    [(("jit_compile", True), "jit_compile=False"), (("accumulation_steps", 2), "accumulation_steps=1")],
)
def test_synchronized_normalizations_are_refused_where_devices_cannot_talk(change, flag):
    config = build_shared(8, **dict([change]))
    synchronized = with_value(config, ("network", "synchronize_batch_norm"), True)
    with pytest.raises(ValueError, match=f"synchronize_batch_norm requires --config.optimization.{flag} on several"):
        check_devices(synchronized, 2)
    check_devices(config, 2)
    check_devices(synchronized, 1)


def test_a_detector_that_cannot_be_compiled_is_refused_before_the_start():
    config = with_value(build("keypoint_rcnn_synthetic"), ("optimization", "jit_compile"), True)
    with pytest.raises(ValueError, match=r"^--config.optimization.jit_compile must be False for a Keypoint R-CNN"):
        systems.from_config(config).plan_training(config, None, None)
