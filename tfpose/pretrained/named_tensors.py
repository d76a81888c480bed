"""Finds the named tensors of a network in a checkpoint file."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tfpose.messages import MOST_OF_A_VALUE, printable
from tfpose.pretrained.checkpoint_files import CheckpointFile, Tensor, read_checkpoint_file

# Keys under which files keep the tensors, outermost first.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "blobs")
# What Paddle adds to the tensors: its own names for them, and a list of those that it has split.
_PADDLE_NAMES = "StructuredToParameterName@@"
_PADDLE_SPLIT = "UnpackBigParamInfor@@"
_MOST_SHOWN = 3
# Files of a folder of Hugging Face: the tensors, and the settings of the network.
HUB_WEIGHTS_FILE = "model.safetensors"
HUB_CONFIG_FILE = "config.json"
_MOST_CONFIG_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The named tensors of a file.

    Attributes:
        path: Path of the file.
        container: Kind of the file in words, for messages, such as 'PyTorch zip file'.
        wrapper: Key under which the file keeps the tensors; '' if they are its whole content.
        tensors: Tensors by their names in the file. Their values are not read yet.
        extras: Rest of the file's content by key, such as 'epoch' and 'meta'. For model.safetensors also the text of
            the config.json beside it.
    """

    path: pathlib.Path
    container: str
    wrapper: str
    tensors: Mapping[str, Tensor]
    extras: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """The names of the tensors without PyTorch's prefix for networks on several GPUs."""
        return [re.sub(r"^(module\.)+", "", name) for name in self.tensors]

    def describe_tensors(self) -> str:
        """Describes the tensors in a few words, for messages about networks of an unknown kind."""
        if any(name.endswith("fc.weight") for name in self.tensors) and any("layer1.0." in n for n in self.tensors):
            return "an ImageNet classifier without heatmaps"
        return f"{len(self.tensors)} tensors such as {_shortened(self.tensors)}"


def read_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Reads a checkpoint file that holds named tensors, see `read_checkpoint_file`. Nothing in the file is executed.

    A folder of Hugging Face with model.safetensors and config.json stands for the first file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is damaged, is of another kind, asks for something to be executed, or holds no named
            tensors; the message is one line with the path.
    """
    if path.is_dir():
        path = path / HUB_WEIGHTS_FILE
        if not path.is_file():
            raise ValueError(f"{path.parent}: a folder must hold {HUB_WEIGHTS_FILE}, got none; or give a file")
    file = read_checkpoint_file(path)
    content = file.content
    if not isinstance(content, dict):
        raise ValueError(f"{path}: content must be named tensors, got a {type(content).__name__}")
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, dict) and any(map(_is_tensor, inner.values())):
            extras = {key: value for key, value in content.items() if key != wrapper}
            return Checkpoint(path, file.container, wrapper, _checked_tensors(file, inner), extras)
    if not any(map(_is_tensor, content.values())):
        raise ValueError(f"{path}: content must be named tensors, got none; it holds {_shortened(map(str, content))}")
    return Checkpoint(path, file.container, "", _checked_tensors(file, content), _read_hub_config(path))


def _read_hub_config(path: pathlib.Path) -> dict[str, str]:
    """Returns the text of the config.json beside a model.safetensors, by the name of the file."""
    config = path.with_name(HUB_CONFIG_FILE)
    if path.name != HUB_WEIGHTS_FILE or not config.is_file():
        return {}
    with open(config, encoding="utf-8", errors="replace") as stream:
        return {HUB_CONFIG_FILE: stream.read(_MOST_CONFIG_BYTES)}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _checked_tensors(file: CheckpointFile, tensors: Mapping[Any, Any]) -> dict[str, Tensor]:
    if _PADDLE_SPLIT in tensors:
        raise ValueError(f"{file.path}: tensors must be whole, got some of over a gigabyte that Paddle has split")
    tensors = {name: value for name, value in tensors.items() if name != _PADDLE_NAMES}
    for name, value in tensors.items():
        if not isinstance(name, str) or not _is_tensor(value):
            raise ValueError(f"{file.path}: {_shortened([str(name)])} must be a tensor, got a {type(value).__name__}")
    return tensors


def _shortened(names: Iterable[str]) -> str:
    return ", ".join(printable(name, MOST_OF_A_VALUE) for name in list(names)[:_MOST_SHOWN])
