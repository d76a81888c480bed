"""The flag --config: a config file by its path, or one of the configs of the library by its name.

The file is Python, or the config.json that a run left in its work folder.
"""

from __future__ import annotations

import difflib
import itertools
import pathlib
import re
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import tfpose
from tfpose.file_names import local_name
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow

_MODULE = "tfpose_config"
# `tfpose.checkpoints.RUN_CONFIG_FILE`; flags are defined without the rest of the library.
_RUN_CONFIG = "config.json"


def define_config_flag(
    values: ProgramFlags,
    help_text: str,
    *,
    example: str = "two_stage_resnet50_coco",
    required: bool = False,
    is_that_of_run: bool = False,
) -> None:
    """Defines --config and the flags --config.NAME=VALUE that change its values.

    Args:
        values: The flags of the program.
        help_text: What the program does with the config.
        example: The name of a config that the program takes.
        required: Whether it must be given.
        is_that_of_run: Whether the default is the config of the run in --workdir.

    Raises:
        flags.Error: The command line gives a tuple of the config twice.
    """
    _refuse_repeated_tuples(values.arguments)
    if is_that_of_run:
        values.replace_arguments(_with_config_of_run(values.arguments))
    config_flags.DEFINE_config_file(
        "config",
        None,
        f"{help_text} A config is a Python file with the settings of the data, network and training. The value is the "
        f"path of the file, or the name of a config of tfpose such as {example}. Flags of the form "
        f"--config.NAME=VALUE{'' if is_that_of_run else ' after --config'} change values of the config, such as "
        "--config.batch_size=16.",
        flag_values=values,
        lock_config=True,
        sys_argv=["program", *values.arguments],
    )
    values["config"].parser = _ConfigParser()
    if required:
        flags.mark_flag_as_required("config", flag_values=values)


def _refuse_repeated_tuples(arguments: Sequence[str]) -> None:
    """Raises a `flags.Error` where a flag has two tuples, which ml_collections would join."""
    names = [match[1] for word in arguments if (match := re.match(r"--?(config\.[\w.]+)=\s*[(\[]", word))]
    for name in names:
        if names.count(name) > 1:
            raise flags.Error(f"--{name} must be given once, got {names.count(name)} values")


def _with_config_of_run(arguments: Sequence[str]) -> list[str]:
    """Puts the config of the run in --workdir in front, if the arguments change values of a config that they lack."""
    words = list(arguments)
    changes_values = any(re.match(r"--?config\.", word) for word in words)
    if not changes_values or any(re.match(r"--?config(=|$)", word) for word in words):
        return words
    workdirs = [match[1] for word in words if (match := re.match(r"--?workdir=(.*)", word))]
    workdirs += [value for word, value in itertools.pairwise(words) if re.fullmatch(r"--?workdir", word)]
    paths = [path for workdir in workdirs if (path := pathlib.Path(workdir) / _RUN_CONFIG).is_file()]
    return [*(f"--config={path}" for path in paths[-1:]), *words]


def config_source(values: ProgramFlags) -> tuple[str, Mapping[str, Any]]:
    """Returns the config file as it was given, and the values that --config.NAME=VALUE changed, by name."""
    flag = values["config"]
    return config_flags.get_config_filename(flag), config_flags.get_override_values(flag)


def configs_directory() -> pathlib.Path:
    """Returns the folder of the library's configs: in the installed package, or in the checkout of the sources."""
    package = pathlib.Path(tfpose.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """Returns the names of the library's configs, in alphabetical order."""
    return sorted(file.stem for file in configs_directory().glob("*.py") if file.stem != "__init__")


def find_config(text: str) -> pathlib.Path:
    """Finds the file of a config.

    Args:
        text: A path, or the name of a config of the library.

    Raises:
        ValueError: There is no such file, or no config of that name.
    """
    path = pathlib.Path(local_name(text))
    if path.is_file():
        return path
    is_name = path.name == text and path.suffix != ".py"
    directory = configs_directory()
    if is_name and (directory / f"{text}.py").is_file():
        return directory / f"{text}.py"
    names = config_names()
    close = difflib.get_close_matches(path.name.removesuffix(".py"), names, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    if is_name and not close:
        hint = f"; the names are {', '.join(names)}"
    raise ValueError(f"there is no {'config of this name' if is_name else 'such file'}{hint}")


class _FloatOrNone(flags.FloatParser):
    """Reads a number, or None for what a config can leave out, such as averaged weights."""

    def parse(self, argument: Any) -> Any:
        """Returns the number; None for 'None'."""
        return None if argument == "None" else super().parse(argument)


class _IntegerOrNone(flags.IntegerParser):
    """Reads a whole number, or None for what a config can leave out, such as a cosine schedule."""

    def parse(self, argument: Any) -> Any:
        """Returns the number; None for 'None'."""
        return None if argument == "None" else super().parse(argument)


config_flags.register_flag_parser_for_type(float, _FloatOrNone())
config_flags.register_flag_parser_for_type(int, _IntegerOrNone())


class _ConfigParser(flags.ArgumentParser[ConfigDict]):
    """Loads the config that a flag names."""

    def parse(self, argument: str) -> ConfigDict:
        """Imports TensorFlow, then returns the config as `load_config` does."""
        # A config imports what receives its values, and with it TensorFlow.
        start_tensorflow(use_devices=False)
        return load_config(argument)

    def flag_type(self) -> str:
        """Returns the kind of value, for absl."""
        return "config file"


def load_config(text: str) -> ConfigDict:
    """Calls `get_config` of the file or config that a text names; what follows a colon is the argument.

    Raises:
        ValueError: There is no such config, or it cannot be executed.
    """
    name, *parameters = [text] if text.endswith(_RUN_CONFIG) else text.split(":", 1)
    path = find_config(name)
    if path.name == _RUN_CONFIG:
        from tfpose.systems import config_of_run

        return config_of_run(path.parent)
    try:
        config = _load(path, parameters)
    except Exception as error:
        raise ValueError(_describe_defect(error, path)) from error
    config.lock()
    return config


def _load(path: pathlib.Path, parameters: list[str]) -> ConfigDict:
    if path.suffix != ".py":
        raise ValueError("is not a Python file")
    module = types.ModuleType(_MODULE)
    module.__file__ = str(path)
    # Dataclasses look up the module in which they are defined.
    sys.modules[_MODULE] = module
    # Not by an import, which takes the compiled file of an earlier content with the same size and time.
    exec(compile(path.read_bytes(), path, "exec"), vars(module))
    config = module.get_config(*parameters)
    if not isinstance(config, ConfigDict):
        raise TypeError(f"get_config() must return a ConfigDict, got {type(config).__name__}")
    return config


def _describe_defect(error: Exception, path: pathlib.Path) -> str:
    """Returns the error and the line of the config that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{place}"
