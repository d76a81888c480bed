"""An HTML page of sections with cards, charts and tables: one file that shows everything without a network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfpose.json_files import write_text
from tfpose.metrics.report import Table
from tfpose.report.charts import format_change, format_metric
from tfpose.report.svg import Chart, printable

if TYPE_CHECKING:
    import jinja2

# Longer tables are folded away, with their total left in sight.
_MOST_OPEN_ROWS = 15
# Changes of up to so many percentage points get the paler backgrounds.
_CHANGE_LEVELS = (0.05, 1.0, 3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Card:
    """One figure, in large type.

    Attributes:
        label: its name.
        value: NaN where there is none.
        unit: shown after it.
        note: what it is, in a few words.
        change: from an earlier value, in the same unit; None if there is none.
    """

    label: str
    value: float
    unit: str = "%"
    note: str = ""
    change: float | None = None


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table on a page. Rows named `total` stay below the others when these are sorted.

    Attributes:
        table: figures with names.
        row_kind: what a row is about: heading of the names.
        is_change: show signs, and colors by sign.
        is_count: show whole numbers.
    """

    table: Table
    row_kind: str = "sequence"
    is_change: bool = False
    is_count: bool = False

    @property
    def rows(self) -> list[tuple[str, list[float]]]:
        """Those that can be sorted."""
        return [(name, values.tolist()) for name, values in self.table.rows if name != "total"]

    @property
    def totals(self) -> list[tuple[str, list[float]]]:
        """Those that stay at the end."""
        return [(name, values.tolist()) for name, values in self.table.rows if name == "total"]

    @property
    def is_long(self) -> bool:
        """Whether to fold it away."""
        return len(self.rows) > _MOST_OPEN_ROWS


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page, shown in this order: text, cards, charts, html, tables.

    Attributes:
        id: for links, distinct within the page; lower case letters, digits and hyphens.
        title: its heading, also in the list of contents.
        text: a paragraph.
        cards: figures in large type.
        charts: names distinct within the page.
        html: trusted, goes into the page as it is: escape what comes from files. Media as `data:` URLs; the page
            refuses to load anything else.
        tables: figures.
        is_part: of the section before it that is not one; it has a smaller heading, and no entry in the contents.
    """

    id: str
    title: str
    text: str = ""
    cards: Sequence[Card] = ()
    charts: Sequence[Chart] = ()
    html: str = ""
    tables: Sequence[ShownTable] = ()
    is_part: bool = False


def write_page(path: str | pathlib.Path, title: str, sections: Sequence[Section], provenance: Mapping) -> None:
    """Writes a page, whole or not at all, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: of the page, usually `*.html`; the folder must be there.
        title: of the page.
        sections: in this order.
        provenance: where the figures come from; nested mappings and lists are shown flat. A section of its own at the
            end of the page.

    Raises:
        FileNotFoundError: the folder of `path` is not there.
        OSError: the files cannot be written.
        ValueError: ids of sections or names of charts are not as they must be.
    """
    path = pathlib.Path(path)
    _check_names("section id", [section.id for section in sections], r"[a-z][a-z0-9-]*", ("main", "provenance"))
    charts = [chart for section in sections for chart in section.charts]
    _check_names("chart name", [chart.name for chart in charts], r"[a-z][a-z0-9_]*")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder of the page must exist, got none")
    page = render_page(title, sections, provenance)
    pictures = path.with_name(f"{path.stem}_pictures")
    try:
        if charts:
            pictures.mkdir(exist_ok=True)
        for chart in charts:
            write_text(pictures / f"{chart.name}.svg", chart.file_content())
        # Last, so that a page never stands beside pictures that are still to come.
        write_text(path, page)
    except OSError as error:
        raise OSError(f"{path}: the page and its pictures could not be written: {error}") from error


def render_page(title: str, sections: Sequence[Section], provenance: Mapping) -> str:
    """The HTML of a page; arguments as those of `write_page`."""
    from tfpose import __version__

    script, style = (_read_asset(name) for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .from_string(_read_asset("page.html"))
        .render(
            title=printable(title),
            sections=sections,
            provenance=[(printable(name), printable(value)) for name, value in _flat(provenance)],
            version=__version__,
            style=style,
            script=script,
            script_hash=f"sha256-{digest}",
        )
    )


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    functions = (printable, format_metric, format_change, format_count, exact_number, change_class)
    environment.filters |= {function.__name__: function for function in functions}
    return environment


def format_count(value: float) -> str:
    """A whole number; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.0f}"


def exact_number(value: float) -> str:
    """All digits, for sorting and for programs; empty where there is no figure."""
    return "" if math.isnan(value) else repr(value)


def change_class(value: float) -> str:
    """Class of page.css for a change: `better-1` to `better-4`, `worse-1` to `worse-4`; empty if it rounds to 0."""
    if math.isnan(value) or abs(value) < _CHANGE_LEVELS[0]:
        return ""
    level = sum(abs(value) >= least for least in _CHANGE_LEVELS)
    return f"{'better' if value > 0 else 'worse'}-{level}"


def _read_asset(name: str) -> str:
    return importlib.resources.files("tfpose.report").joinpath(name).read_text(encoding="utf-8")


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names joined by dots, and values in words."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, (list, tuple)) and not any(isinstance(value, (Mapping, list)) for value in content):
        yield name, ", ".join(map(str, content)) or "none"
    elif isinstance(content, (list, tuple)):
        for index, value in enumerate(content):
            yield from _flat(value, f"{name}.{index}")
    elif name:
        yield name, "none" if content is None or content == {} else str(content)


def _check_names(kind: str, names: Sequence[str], pattern: str, taken: Sequence[str] = ()) -> None:
    seen = set(taken)
    for name in names:
        if not re.fullmatch(pattern, name) or name in seen:
            raise ValueError(f"each {kind} of a page must match {pattern} and be its only one, got {name!r}")
        seen.add(name)
