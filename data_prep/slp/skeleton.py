"""Reads the skeleton of a SLEAP file, whose JSON holds Python objects in the notation of jsonpickle.

Nothing is unpickled: the few forms that SLEAP writes are read as data.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from tfpose.messages import quote
from tfpose.skeletons import Skeleton, left_right_pairs_by_name, skeleton_from_names

# Types of the links of a skeleton.
_EDGE, _SYMMETRY = 1, 2


def read_skeleton(
    path: pathlib.Path,
    metadata: dict,
    index: int,
    left_right_pairs: Sequence[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Skeleton:
    """Reads a skeleton: the names of its nodes, its edges and its symmetric nodes.

    Args:
        path: Path of the SLEAP file, for messages.
        metadata: JSON of the group `metadata`.
        index: Position of the skeleton in the file.
        left_right_pairs: Pairs of joint names; None takes the symmetric nodes of the file, or else pairs the names
            that differ only in the side.
        sigmas: OKS constants; None takes those of the COCO joints with similar names.

    Raises:
        ValueError: The skeleton is missing or not valid; the message names the file and the field.
    """
    skeletons = metadata.get("skeletons")
    entry = skeletons[index] if isinstance(skeletons, list) and index < len(skeletons) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("nodes"), list):
        raise ValueError(f"{path}: skeleton {index} must be an object with 'nodes' and 'links', got {quote(entry)}")
    reader = _LinkReader(path, index, _node_names(path, metadata))
    links = entry.get("links", [])
    if not isinstance(links, list):
        raise ValueError(f"{path}: skeleton {index}: 'links' must be a list, got {quote(links)}")
    found = [reader.read(link) for link in links]
    joints = [reader.node(node.get("id") if isinstance(node, dict) else node) for node in entry["nodes"]]
    limbs = [pair for kind, pair in found if kind == _EDGE]
    pairs = left_right_pairs
    if pairs is None:
        # A pair may be there in both directions.
        symmetric = list({frozenset(pair): pair for kind, pair in found if kind == _SYMMETRY}.values())
        pairs = [_left_first(pair) for pair in symmetric] or None
    graph = entry.get("graph")
    name = graph.get("name") if isinstance(graph, dict) else None
    try:
        return skeleton_from_names(str(name or path.stem), joints, limbs, pairs, sigmas)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _node_names(path: pathlib.Path, metadata: dict) -> list[str]:
    nodes = metadata.get("nodes")
    if not isinstance(nodes, list):
        raise ValueError(f"{path}: 'nodes' in the metadata must be a list of objects with a name, got {quote(nodes)}")
    names: list[str] = []
    for position, node in enumerate(nodes):
        name = node.get("name") if isinstance(node, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError(f"{path}: node {position} in the metadata must have a name, got {quote(node)}")
        names.append(name)
    return names


def _left_first(pair: tuple[str, str]) -> tuple[str, str]:
    """Orders a pair of symmetric nodes by the side in their names; as it is if the names do not tell the side."""
    return next(iter(left_right_pairs_by_name(pair)), pair)


class _LinkReader:
    """Reads links between nodes. jsonpickle writes an object once; later it writes `py/id`, the place of its first."""

    def __init__(self, path: pathlib.Path, index: int, names: Sequence[str]) -> None:
        self._where = f"{path}: skeleton {index}"
        self._names = names
        self._objects: list[str | int] = []
        self._types: list[int] = []

    def read(self, link: Any) -> tuple[int, tuple[str, str]]:
        """Returns the type of a link and the names of its two nodes."""
        if not isinstance(link, dict):
            raise ValueError(f"{self._where}: 'links' must hold objects, got {quote(link)}")
        # Objects are counted in the order of the file, which is that of the sorted fields.
        source, target = self.node(link.get("source")), self.node(link.get("target"))
        kind = self._type(link.get("type"))
        if kind not in (_EDGE, _SYMMETRY) or source == target:
            raise ValueError(
                f"{self._where}: a link must be of type {_EDGE} or {_SYMMETRY} and join two nodes, got {quote(link)}"
            )
        return kind, (source, target)

    def node(self, value: Any) -> str:
        """Returns the name of a node: by its position in the list of all nodes, as an object, or as a reference."""
        if type(value) is int and 0 <= value < len(self._names):
            return self._names[value]
        if isinstance(value, dict) and "py/object" in value:
            state = value.get("py/state", value)
            fields = state.get("py/tuple") if isinstance(state, dict) else None
            name = fields[0] if isinstance(fields, list) and fields else value.get("name")
            if isinstance(state, dict) and not isinstance(name, str):
                name = state.get("name")
            if isinstance(name, str) and name:
                self._objects.append(name)
                return name
        found = self._referenced(value)
        if isinstance(found, str):
            return found
        raise ValueError(
            f"{self._where}: a node must be one of the {len(self._names)} nodes in the metadata, got {quote(value)}"
        )

    def _type(self, value: Any) -> int | None:
        if value is None:
            return _EDGE
        if isinstance(value, dict) and "py/reduce" in value:
            try:
                kind = value["py/reduce"][1]["py/tuple"][0]
            except (TypeError, LookupError):
                kind = None
            if type(kind) is int:
                self._objects.append(kind)
                self._types.append(kind)
                return kind
        found = self._referenced(value)
        if isinstance(found, int):
            return found
        # Some files count the types on their own.
        number = value.get("py/id") if isinstance(value, dict) else None
        is_known = type(number) is int and 1 <= number <= len(self._types)
        return self._types[number - 1] if is_known and number is not None else None

    def _referenced(self, value: Any) -> str | int | None:
        number = value.get("py/id") if isinstance(value, dict) else None
        is_known = type(number) is int and 1 <= number <= len(self._objects)
        return self._objects[number - 1] if is_known and number is not None else None
