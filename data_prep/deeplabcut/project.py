"""Reads config.yaml of a DeepLabCut project, as far as labels depend on it."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from typing import Any

import yaml

from tfpose.messages import quote

_NAME = "config.yaml"
# Of a file of a few kilobytes.
_MOST_BYTES = 1 << 22
_LIST = "a list of names"


@dataclasses.dataclass(frozen=True)
class Project:
    """The description of a DeepLabCut project.

    Attributes:
        path: Path of config.yaml; None if there is none.
        name: Name of the task.
        scorer: Name of the person who labeled; empty if it is not known.
        bodyparts: Names of the body parts of each animal; empty if they are not known.
        limbs: Pairs of body parts that a line joins.
        videos: Names of the videos without folder and ending, whose labels belong to the project.
        has_identities: Whether the name of an animal is its identity, and not just a place in the table.
    """

    path: pathlib.Path | None = None
    name: str = "animal"
    scorer: str = ""
    bodyparts: tuple[str, ...] = ()
    limbs: tuple[tuple[str, str], ...] = ()
    videos: tuple[str, ...] = ()
    has_identities: bool = False


def read_project(folder: pathlib.Path) -> Project:
    """Reads config.yaml in a folder; without this file nothing is known of the project.

    Raises:
        ValueError: The file is not valid; the message names the field, the rule and the value.
    """
    path = folder / _NAME
    if not path.is_file():
        return Project()
    content = _read_yaml(path)
    is_multi = content.get("multianimalproject") is True
    bodyparts = _names(path, content, "multianimalbodyparts" if is_multi else "bodyparts")
    limbs = content.get("skeleton") or []
    if not isinstance(limbs, list):
        raise ValueError(f"{path}: 'skeleton' must be a list of lists of names, got {quote(limbs)}")
    for limb in limbs:
        if not isinstance(limb, list) or not all(isinstance(part, (str, int)) for part in limb):
            raise ValueError(f"{path}: 'skeleton' must be a list of lists of names, got {quote(limb)}")
    videos = content.get("video_sets") or {}
    if not isinstance(videos, dict):
        raise ValueError(f"{path}: 'video_sets' must hold videos, got {quote(videos)}")
    # An entry may be a chain of body parts.
    pairs = [(str(a), str(b)) for limb in limbs for a, b in itertools.pairwise(limb)]
    return Project(
        path=path,
        name=str(content.get("Task") or Project.name),
        scorer=str(content.get("scorer") or ""),
        bodyparts=bodyparts,
        limbs=tuple(dict.fromkeys((a, b) for a, b in pairs if a != b and {a, b} <= set(bodyparts))),
        videos=tuple(pathlib.PurePosixPath(str(video).replace("\\", "/")).stem for video in videos),
        has_identities=is_multi and content.get("identity") is True,
    )


def _read_yaml(path: pathlib.Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: must have at most {_MOST_BYTES >> 20} MiB, got {path.stat().st_size:,} bytes")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be a text file in UTF-8, got something else at byte {error.start}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: must be YAML, got something else: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold the fields of a project, got {quote(content)}")
    return content


def _names(path: pathlib.Path, content: dict[str, Any], field: str) -> tuple[str, ...]:
    names = content.get(field) or []
    if not isinstance(names, list) or not all(isinstance(name, (str, int)) and str(name) for name in names):
        raise ValueError(f"{path}: {field!r} must be {_LIST}, got {quote(names)}")
    texts = tuple(map(str, names))
    if len(set(texts)) != len(texts):
        raise ValueError(f"{path}: {field!r} must be distinct names, got {quote(names)}")
    return texts
