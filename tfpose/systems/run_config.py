"""The config of a run, `config.json` in its work folder: what evaluation uses without flags and compares with flags."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from tfpose.checkpoints import RUN_CONFIG_FILE
from tfpose.json_files import read_json, write_json
from tfpose.messages import printable, quote
from tfpose.typed_json import describing

if TYPE_CHECKING:
    from tfpose.data.records import RecordTable

# What the variables of a checkpoint depend on.
_OF_THE_NETWORK = ("system", "network")
_OF_THE_OPTIMIZER = ("optimization.optimizer",)
# Averaged weights can neither begin nor end within a run.
_AVERAGE = "optimization.ema_decay"
# What evaluation does not use.
_OF_TRAINING = (
    *("batch_size", "seed", "strategy", "optimization", "run", "augmentation", "examples", "input", "target", "loss"),
    *("sampling", "initialize", "distillation", "data.train_split"),
)
_INFINITE = {"inf": math.inf, "-inf": -math.inf}
_MOST_SHOWN = 5


def write_run_config(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Writes the config of a run, with every value, into its work folder. Infinite numbers become text."""
    write_json(workdir / RUN_CONFIG_FILE, _to_json(config.to_dict()), indent=2)


def common_settings(config: ConfigDict) -> dict[str, str]:
    """Returns what all processes of one training must have in common, by name: the settings, but not the places.

    Data may lie in another folder on each machine.
    """
    settings = {name: repr(value) for name, value in _leaves(_to_json(config.to_dict()))}
    return {name: text for name, text in settings.items() if name not in ("data.directory", "strategy")}


def read_run_config(workdir: pathlib.Path, build: Callable[..., ConfigDict]) -> ConfigDict | None:
    """Reads the config of a run; returns None if the run has none.

    Args:
        workdir: Work folder of the run.
        build: Function `tfpose.systems.build_config`.

    Raises:
        ValueError: The file is damaged, or it has a value that this version does not know.
    """
    path = workdir / RUN_CONFIG_FILE
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("system"), str):
        raise ValueError(f"{path}: content must be an object with the name of a system, got another value")
    with describing(path, "the config of a run"):
        config = build(**_from_json(content))
    config.lock()
    return config


def check_continued(config: ConfigDict, found: ConfigDict, workdir: pathlib.Path) -> str:
    """Compares the config of a run with the one that is to continue it; returns a note, empty if they are equal.

    Raises:
        ValueError: The network or the optimizer is another one, or only one of the configs averages the weights.
    """
    changes = _differences(found, config)
    _refuse(
        changes,
        (*_OF_THE_NETWORK, *_OF_THE_OPTIMIZER, *[_AVERAGE] * (None in changes.get(_AVERAGE, ()))),
        workdir,
        "continue the run",
        "choose another --workdir for a new run",
    )
    note = _note(changes, workdir)
    if any(_is_below(name, ("initialize",)) for name in changes):
        note += "; initialize has no effect on a run that continues, choose another --workdir for a new run"
    return note


def check_joints(description: pathlib.Path, joints: Sequence[str]) -> None:
    """Checks that a run can continue with the joints of its data, which may have been converted again since.

    Weights have no names: those of a joint would go on as another joint in its place.

    Args:
        description: Description of the system in the work folder of the run, there or not.
        joints: Names of the joints of the data, in order.

    Raises:
        ValueError: The joints of the run are others, or in another order.
    """
    content = read_json(description) if description.is_file() else None
    skeleton = content.get("skeleton") if isinstance(content, dict) else None
    found = skeleton.get("joints") if isinstance(skeleton, dict) else None
    if isinstance(found, list) and found != list(joints):
        raise ValueError(
            f"{description}: the joints must be {printable(', '.join(joints))} in this order, as in the data, to "
            f"continue the run, got {printable(', '.join(map(str, found)))}; choose another --workdir for a new run"
        )


def digest_of_evaluation(config: ConfigDict, validation: RecordTable) -> str:
    """Returns a digest of what the metrics of a run depend on besides its network: data, and how outputs are read."""
    settings = {name: _to_json(config[name].to_dict()) for name in ("inference", "selection") if name in config}
    return hashlib.sha256(json.dumps([settings, validation.digest()], sort_keys=True).encode()).hexdigest()


def check_evaluated(config: ConfigDict, found: ConfigDict, workdir: pathlib.Path) -> str:
    """Compares the config of a run with the one that it is evaluated by; returns a note, empty if they agree.

    Raises:
        ValueError: The network is another one.
    """
    changes = _differences(found, config)
    _refuse(
        changes,
        _OF_THE_NETWORK,
        workdir,
        "use the weights of the run",
        "the settings of the run are used without --config",
    )
    return _note({name: pair for name, pair in changes.items() if not _is_below(name, _OF_TRAINING)}, workdir)


def _refuse(
    changes: Mapping[str, tuple[Any, Any]], names: tuple[str, ...], workdir: pathlib.Path, aim: str, hint: str
) -> None:
    for name, (before, now) in changes.items():
        if _is_below(name, names):
            raise ValueError(
                f"--config.{name} must be {_quote(before)} to {aim} in {workdir}, got {_quote(now)}; {hint}"
            )


def _note(changes: Mapping[str, tuple[Any, Any]], workdir: pathlib.Path) -> str:
    shown = [f"{name} {_quote(now)} (was {_quote(before)})" for name, (before, now) in changes.items()]
    if len(shown) > _MOST_SHOWN:
        shown = [*shown[:_MOST_SHOWN], f"and {len(shown) - _MOST_SHOWN} more"]
    return f"note: settings differ from those of the run in {workdir}: {', '.join(shown)}" if shown else ""


def _is_below(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _differences(before: ConfigDict, now: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Returns the old and the new value of each setting that differs, by its name with dots."""
    old, new = (dict(_leaves(_to_json(config.to_dict()))) for config in (before, now))
    names = [*new, *(name for name in old if name not in new)]
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _from_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    return _INFINITE.get(value, value) if isinstance(value, str) else value


def _quote(value: Any) -> str:
    return quote(tuple(value) if isinstance(value, list) else value)
