"""Hooks of the documentation site for MkDocs.

A hook warns of each public name on the reference pages without a docstring; `mkdocs build --strict` turns a warning
into an error. An extension shows the section `Example:` of a docstring as code.
"""

from __future__ import annotations

import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import griffe

_LOG = logging.getLogger("mkdocs.plugins.site_hooks")
_DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def on_pre_build(config: Any) -> None:
    """Checks every name after `:::` on the pages, and the public members of these names."""
    project = pathlib.Path(config["config_file_path"]).parent
    package = griffe.load("tfpose", search_paths=[project])
    for page in sorted(pathlib.Path(config["docs_dir"]).rglob("*.md")):
        for name in _DIRECTIVE.findall(page.read_text()):
            for missing in _undocumented(package[name.removeprefix("tfpose.")]):
                _LOG.warning("%s: %s must have a docstring", page.name, missing)


def _undocumented(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yields the paths of public modules, classes and functions without a docstring, from an object downwards."""
    if found.is_alias or found.is_attribute:
        return
    if not found.has_docstring:
        yield found.path
    if not found.is_function:
        for member in found.members.values():
            if not member.name.startswith("_"):
                yield from _undocumented(member)


class ExampleSections(griffe.Extension):
    """Names the section `Example:` of each docstring `Examples:`, the only name that griffe shows as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
