"""Checks the values of a config, by the names of their flags, before anything is built from them.

The types come from the receivers of the sections, and so do the rules of receivers that check themselves. The other
rules are in `_RULES`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from tfpose.messages import quote
from tfpose.metrics.coco import BOX_STATISTICS, STATISTICS
from tfpose.systems.config import COMMON_SECTIONS, ExperimentSettings, Section, list_fields
from tfpose.training.distribution import STRATEGY_NAMES
from tfpose.training.single_network import JOINT_AVERAGES
from tfpose.type_rules import Notation, type_rule

Values = Mapping[str, Any]

_PROPOSALS = ("proposals", "training_proposals")
# By rule: whether a number, or each number of a tuple, keeps it, and the values that must. None and values of other
# systems are passed over.
_RULES: dict[str, tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    "at least 1": (
        lambda number: number >= 1,
        (
            *("batch_size", "evaluation.batch_size", "examples.persons_per_image"),
            *("network.base_width", "network.deconv_filters", "network.width", "network.person_width"),
            "network.blocks_per_stage",
            *("network.keypoint_head_widths", "network.detections.max_detections"),
            *(f"network.{name}.{field}" for name in _PROPOSALS for field in ("max_per_level", "max_proposals")),
            *("sampling.num_anchors", "sampling.num_proposals", "loss.num_hard_joints", "optimization.cosine_steps"),
        ),
    ),
    "at least 0": (
        lambda number: number >= 0,
        (
            *("optimization.learning_rate", "optimization.warmup_steps", "optimization.warmup_factor"),
            *("sampling.num_positive_anchors", "sampling.num_positive_proposals", "examples.outside_joint_weight"),
            *("crop.margin_pixels", "loss.joint_map_weight", "network.heatmap_init_stddev"),
            *("augmentation.color_gain", "augmentation.rotation_degrees", "augmentation.shift"),
        ),
    ),
    # What NumPy and TensorFlow take as a seed.
    "in [0, 2**32 - 1]": (lambda number: 0 <= number < 2**32, ("seed",)),
    "above 0": (
        lambda number: number > 0,
        (
            *("target.sigma_cells", "target.cutoff_sigmas", "crop.margin_scale", "network.head_mask_sigma_cells"),
            *("network.anchor_sizes", "network.anchor_ratios"),
        ),
    ),
    "in [0, 1]": (
        lambda number: 0 <= number <= 1,
        (
            *("selection.oks_threshold", "network.detections.iou_threshold"),
            *(f"network.{name}.iou_threshold" for name in _PROPOSALS),
        ),
    ),
    # The first evaluation, which says which metrics the system has, may come hours later.
    "a metric such as AP, AP50, AR, box_AP, box_AR100, PCK or PCKh": (
        (*STATISTICS, *(f"box_{name}" for name in BOX_STATISTICS), "PCK", "PCKh").__contains__,
        ("run.best_metric",),
    ),
    "odd and at least 1": (lambda number: number >= 1 and number % 2 == 1, ("inference.blur_kernel",)),
    **{
        f"one of {', '.join(map(str, choices))}": (choices.__contains__, (name,))
        for name, choices in {
            "strategy": STRATEGY_NAMES,
            "target.centers": ("subcell", "rounded"),
            "loss.joint_average": JOINT_AVERAGES,
        }.items()
    },
}
_NOTATION = Notation(
    {
        int: ("a whole number", lambda value: type(value) is int),
        float: ("a finite number", lambda value: _is_number(value) and -math.inf < value < math.inf),
        bool: ("True or False", lambda value: isinstance(value, bool)),
        str: ("text", lambda value: isinstance(value, str)),
        types.NoneType: ("None", lambda value: value is None),
    },
    sequence="a tuple",
)
_MAY_BE_INFINITE = ("tracker",)
_INFINITE_NOTATION = dataclasses.replace(
    _NOTATION,
    scalars={**_NOTATION.scalars, float: ("a number", lambda number: _is_number(number) and number >= -math.inf)},
)
_SIZES = ("input_size", "padded_size")
_SIZE_RULE = "(height, width), two whole numbers of at least 1"


def check_config(config: Any, sections: Mapping[str, Section]) -> None:
    """Checks all values of a config.

    Args:
        config: Config of an experiment.
        sections: Sections of its system besides the common ones, by name.

    Raises:
        ValueError: A value has the wrong type or breaks a rule; the message names its flag, the rule and the value.
    """
    sections = {**COMMON_SECTIONS, **sections}
    _check_types("", Section(ExperimentSettings), {name: config[name] for name in list_fields(ExperimentSettings)})
    for name, section in sections.items():
        _check_types(f"{name}.", section, config[name].to_dict())
    _check_rules(config)
    for name, section in sections.items():
        for receiver in (section.receiver, *section.also):
            _check_by_receiver(name, receiver, config[name].to_dict())


def refuse(name: str, rule: str, value: Any) -> typing.NoReturn:
    """Raises the error of a value; `name` is that of its flag without --config."""
    raise ValueError(f"--config.{name} must be {rule}, got {quote(value)}")


def _check_types(place: str, section: Section, values: Values) -> None:
    for receiver in (section.receiver, *section.also):
        hints = typing.get_type_hints(receiver.__init__ if inspect.isclass(receiver) else receiver)
        for name, hint in hints.items():
            if name in values and name not in section.without:
                if dataclasses.is_dataclass(hint) and isinstance(hint, type):
                    _check_types(f"{place}{name}.", Section(hint), values[name])
                    continue
                notation = _INFINITE_NOTATION if place.startswith(_MAY_BE_INFINITE) else _NOTATION
                if rule := type_rule(hint, values[name], notation):
                    refuse(place + name, _SIZE_RULE if name in _SIZES else rule, values[name])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_rules(config: Any) -> None:
    for rule, (is_kept, names) in _RULES.items():
        for name in names:
            value = _find_value(config, name)
            items = value if isinstance(value, (tuple, list)) else (value,)
            if not all(item is None or is_kept(item) for item in items):
                refuse(name, rule, value)
    for name in ("network.input_size", "input.padded_size"):
        size = _find_value(config, name)
        if size is not None and min(size) < 1:
            refuse(name, _SIZE_RULE, size)


def _find_value(config: Any, name: str) -> Any:
    """Returns the value of a name with dots; None if the config has no such value."""
    value = config
    for part in name.split("."):
        if not isinstance(value, ConfigDict):
            return None
        value = value.get(part)
    return value


def _check_by_receiver(section: str, receiver: Callable[..., Any], values: Values) -> None:
    """Builds the receiver of a section, if the section is all it needs, because it may have rules of its own."""
    if not (inspect.isclass(receiver) and dataclasses.is_dataclass(receiver)):
        return
    own = {field.name: field for field in dataclasses.fields(receiver)}
    needed = {name for name, field in own.items() if field.default is field.default_factory is dataclasses.MISSING}
    if not needed <= set(values):
        return
    try:
        receiver(**{name: value for name, value in values.items() if name in own and not isinstance(value, dict)})
    except ValueError as error:
        found = re.search(r"(?:^|[ .])(\w+) (must .*)", str(error), re.DOTALL)
        if found and found[1] in own:
            raise ValueError(f"--config.{section}.{found[1]} {found[2]}") from error
        raise ValueError(f"--config.{section}: {error}") from error
