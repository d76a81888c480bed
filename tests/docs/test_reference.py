"""The API reference of the documentation site names modules that exist, and every page stands in the menu."""

from __future__ import annotations

import re

import documentation_pages as pages

REFERENCE = sorted((pages.PROJECT / "docs" / "reference").glob("*.md"))
_DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def test_the_reference_names_modules_that_exist():
    names = [name for page in REFERENCE for name in _DIRECTIVE.findall(page.read_text())]
    assert len(names) > 20 and len(names) == len(set(names))
    for name in names:
        path = pages.PROJECT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), f"{name} does not exist"


def test_the_menu_of_the_site_names_every_page():
    menu = (pages.PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    for page in [*(pages.PROJECT / "docs").glob("*.md"), *REFERENCE]:
        name = page.relative_to(pages.PROJECT / "docs").as_posix()
        assert re.search(rf"[: -] {re.escape(name)}$", menu, re.MULTILINE), f"mkdocs.yml does not name {name}"


def test_pages_of_the_reference_are_in_its_table():
    table = (pages.PROJECT / "docs" / "reference" / "README.md").read_text()
    for page in REFERENCE:
        assert page.name == "README.md" or f"]({page.name})" in table
