"""An HTML page of sections with cards, charts and tables, in one file that needs no network."""

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
from tfpose.metrics.intervals import Interval
from tfpose.metrics.report import Table
from tfpose.report.charts import format_change, format_metric
from tfpose.report.svg import Chart, printable

if TYPE_CHECKING:
    import jinja2

# Longer tables are folded; their total stays visible.
_MOST_OPEN_ROWS = 15
# More entries of the provenance are folded.
_MOST_OPEN_ENTRIES = 16
# Changes of at least so many percentage points get the next darker background.
_CHANGE_LEVELS = (0.05, 1.0, 3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Card:
    """One number in large type.

    Attributes:
        label: Name of the number.
        value: The number; NaN where there is none.
        unit: Unit that follows the number.
        note: A few words that explain the number.
        change: Gain over an earlier value, in the same unit; None if there is no earlier value.
        interval: Confidence interval of the number; None if there is none.
        is_count: Whether to show a whole number.
    """

    label: str
    value: float
    unit: str = "%"
    note: str = ""
    change: float | None = None
    interval: Interval | None = None
    is_count: bool = False


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table on a page. Sorting leaves rows named `total` below the others.

    Attributes:
        table: Numbers with names.
        row_kind: What a row is, such as "sequence"; the heading of the names.
        is_change: Whether to show signs, and colors by sign.
        is_count: Whether to show whole numbers.
        intervals: Confidence intervals of some numbers, by the names of their row and column.
    """

    table: Table
    row_kind: str = "sequence"
    is_change: bool = False
    is_count: bool = False
    intervals: Mapping[tuple[str, str], Interval] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> list[tuple[str, list[float]]]:
        """The rows that can be sorted."""
        return [(name, values.tolist()) for name, values in self.table.rows if name != "total"]

    @property
    def totals(self) -> list[tuple[str, list[float]]]:
        """The rows that stay at the end."""
        return [(name, values.tolist()) for name, values in self.table.rows if name == "total"]

    @property
    def is_long(self) -> bool:
        """Whether the page folds the table."""
        return len(self.rows) > _MOST_OPEN_ROWS


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page, shown in this order: text, cards, charts, html, tables.

    Attributes:
        id: Identity for links, distinct within the page: lower-case letters, digits and hyphens.
        title: Heading of the section and its entry in the table of contents.
        text: A paragraph of text.
        cards: Numbers in large type.
        charts: Charts whose names are distinct within the page.
        html: Trusted HTML, which goes into the page as it is, so text from files must be escaped. Media must be
            `data:` URLs; the page refuses to load anything else.
        tables: Tables of numbers.
        is_part: Whether this is a part of the last section that is no part; a part has a smaller heading and no entry
            in the table of contents.
        is_folded: Whether readers see only the title until they unfold the section. Only for parts.
    """

    id: str
    title: str
    text: str = ""
    cards: Sequence[Card] = ()
    charts: Sequence[Chart] = ()
    html: str = ""
    tables: Sequence[ShownTable] = ()
    is_part: bool = False
    is_folded: bool = False


@dataclasses.dataclass(frozen=True)
class ProvenanceTable:
    """Where the metrics of some systems come from; systems are columns.

    Attributes:
        columns: Names of the systems.
        open_rows: Name and values of the rows that readers see at once.
        folded_rows: Name and values of the other rows.
        are_alike: Whether the values of each folded row are the same for all systems.
    """

    columns: tuple[str, ...]
    open_rows: Sequence[tuple[str, tuple[str, ...]]]
    folded_rows: Sequence[tuple[str, tuple[str, ...]]]
    are_alike: bool = False


def write_page(
    path: str | pathlib.Path,
    title: str,
    sections: Sequence[Section],
    provenance: Mapping | ProvenanceTable,
    origin: str = "",
) -> None:
    """Writes a page, whole or not at all, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: Path of the page, usually `*.html`; its folder must exist.
        title: Title of the page.
        sections: The sections in this order.
        provenance: Where the metrics come from, for a section at the end of the page; nested mappings and lists are
            shown flat.
        origin: The command line and the date that the page comes from, for the last line of the page.

    Raises:
        FileNotFoundError: The folder of `path` does not exist.
        OSError: The files cannot be written.
        ValueError: Ids of sections or names of charts are not distinct or have other characters.
    """
    path = pathlib.Path(path)
    _check_names("section id", [section.id for section in sections], r"[a-z][a-z0-9-]*", ("main", "provenance"))
    charts = [chart for section in sections for chart in section.charts]
    _check_names("chart name", [chart.name for chart in charts], r"[a-z][a-z0-9_]*")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder of the page must exist, got none")
    page = render_page(title, sections, provenance, origin)
    pictures = path.with_name(f"{path.stem}_pictures")
    try:
        if charts:
            pictures.mkdir(exist_ok=True)
        for chart in charts:
            write_text(pictures / f"{chart.name}.svg", chart.file_content())
        # The page comes last, so that it never stands beside missing pictures.
        write_text(path, page)
    except OSError as error:
        raise OSError(f"{path}: the page and its pictures could not be written: {error}") from error


def check_page_name(flag: str, path: pathlib.Path) -> None:
    """Checks that a page replaces no file of another kind, such as the results that it shows.

    Raises:
        ValueError: The name does not end in .html or .htm; the message names the flag.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--{flag} must be a file that ends in .html, got {str(path)!r}")


def render_page(
    title: str, sections: Sequence[Section], provenance: Mapping | ProvenanceTable, origin: str = ""
) -> str:
    """Returns the HTML of a page; for the arguments see `write_page`."""
    from tfpose import __version__

    script, style = (_read_asset(name) for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .from_string(_read_asset("page.html"))
        .render(
            title=printable(title),
            sections=sections,
            provenance=provenance if isinstance(provenance, ProvenanceTable) else provenance_table({"": provenance}),
            origin=origin,
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
    functions = (printable, format_metric, format_change, format_interval, format_count, exact_number, change_class)
    environment.filters |= {function.__name__: function for function in functions}
    return environment


def provenance_table(provenances: Mapping[str, Mapping]) -> ProvenanceTable:
    """Joins the provenance of some systems.

    Of several systems the rows that differ are open, of one system the first rows.

    Args:
        provenances: Where the metrics of each system come from, by the name of the system.
    """
    columns = [dict(flatten(provenance)) for provenance in provenances.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, tuple(column.get(name, "–") for column in columns)) for name in names]
    is_open = [len(columns) == 1 or len(set(values)) > 1 for _, values in rows]
    shown = [row for row, is_shown in zip(rows, is_open, strict=True) if is_shown]
    rest = [row for row, is_shown in zip(rows, is_open, strict=True) if not is_shown]
    folded = [*shown[_MOST_OPEN_ENTRIES:], *rest]
    return ProvenanceTable(tuple(provenances), shown[:_MOST_OPEN_ENTRIES], folded, folded == rest and len(columns) > 1)


def format_interval(interval: Interval) -> str:
    """Returns the ends of an interval as `format_metric` writes them."""
    return f"{format_metric(interval.low)} to {format_metric(interval.high)}"


def format_count(value: float) -> str:
    """Returns a whole number, and a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.0f}"


def exact_number(value: float) -> str:
    """Returns all digits of a number, for sorting and for programs; empty for NaN."""
    return "" if math.isnan(value) else repr(value)


def change_class(value: float) -> str:
    """Returns the class of page.css for a change: `better-1` ... `better-4`, `worse-1` ... `worse-4`; empty near 0."""
    if math.isnan(value) or abs(value) < _CHANGE_LEVELS[0]:
        return ""
    level = sum(abs(value) >= least for least in _CHANGE_LEVELS)
    return f"{'better' if value > 0 else 'worse'}-{level}"


def _read_asset(name: str) -> str:
    return importlib.resources.files("tfpose.report").joinpath(name).read_text(encoding="utf-8")


def flatten(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yields the entries of nested mappings and lists: names joined by dots, and values as text."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, (list, tuple)) and not any(isinstance(value, (Mapping, list)) for value in content):
        yield name, ", ".join(map(str, content)) or "none"
    elif isinstance(content, (list, tuple)):
        for index, value in enumerate(content):
            yield from flatten(value, f"{name}.{index}")
    elif name:
        yield name, "none" if content is None or content == {} else str(content)


def _check_names(kind: str, names: Sequence[str], pattern: str, taken: Sequence[str] = ()) -> None:
    seen = set(taken)
    for name in names:
        if not re.fullmatch(pattern, name) or name in seen:
            raise ValueError(f"each {kind} of a page must match {pattern} and be its only one, got {name!r}")
        seen.add(name)
