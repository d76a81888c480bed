"""Every name in docs/paper_to_code.md exists, and every value of a config is the one written there."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pathlib
import re
from typing import Any

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "paper_to_code.md"
WHERE_COLUMN = 2
_CODE = re.compile(r"`([^`]+)`")
_CONFIG_VALUE = re.compile(r"(?P<config>\w+): (?P<key>[\w.]+) = (?P<value>.+)")
_NAME = re.compile(r"(?P<name>tfpose(\.\w+)+)( = (?P<value>.+))?")
_MISSING = object()


def table_rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if row[0] not in ("section", "---")]


def references() -> list[str]:
    found = [text for row in table_rows() for text in _CODE.findall(row[WHERE_COLUMN])]
    return sorted(set(found))


def look_up(name: str) -> Any:
    """The module, attribute or field of a dotted name; `_MISSING` where there is none."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = find_member(found, part)
        return found
    return _MISSING


def find_member(owner: Any, name: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else {}
    return getattr(owner, name, fields.get(name, _MISSING)) if owner is not _MISSING else _MISSING


def config_value(config: str, key: str) -> Any:
    value = importlib.import_module(f"configs.{config}").get_config()
    for part in key.split("."):
        value = value[part]
    return value.to_dict() if hasattr(value, "to_dict") else value


def test_tables_have_four_columns_and_are_not_empty():
    rows = table_rows()
    assert len(rows) > 80
    assert {len(row) for row in rows} == {4}, [row for row in rows if len(row) != 4]
    assert all(cell for row in rows for cell in row)


@pytest.mark.parametrize("reference", references())
def test_what_the_page_names_is_there(reference):
    if match := _CONFIG_VALUE.fullmatch(reference):
        assert config_value(match["config"], match["key"]) == ast.literal_eval(match["value"])
    elif match := _NAME.fullmatch(reference):
        found = look_up(match["name"])
        assert found is not _MISSING, f"{match['name']} does not exist"
        assert match["value"] is None or found == ast.literal_eval(match["value"])
    else:
        assert "/" in reference and (PROJECT / reference).is_file(), f"{reference} is neither a name nor a file"


def test_what_the_other_columns_name_is_there():
    """Dotted names in the last column too."""
    for row in table_rows():
        for text in _CODE.findall(row[3]):
            if match := _NAME.fullmatch(text):
                assert look_up(match["name"]) is not _MISSING, text


def test_numbers_of_the_papers_are_in_their_text(shared_dir):
    """What the table quotes as a number stands in the papers."""
    papers = "".join(path.read_text() for path in sorted((shared_dir / "papers").glob("*.txt")))
    plain = re.sub(r"[\\,{}$ ]", "", papers)
    for row in table_rows():
        if row[0] == "-":
            continue
        for number in re.findall(r"\d[\d.]*\d|\d", row[1].replace(",", "").replace("Table 1", "")):
            assert number in plain, f"{number} of {row[1]!r} stands in neither paper"
