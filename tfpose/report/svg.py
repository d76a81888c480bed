"""Charts as SVG: one style, two widths (desktop and phone), and colors that follow the page's light or dark theme.

Text stays text, so that the reader's fonts show any script. The same numbers give the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import html
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Widths in inches. Charts are shown at this size at most, so that their text is about as large as the text of the page.
WIDE, NARROW = 10.0, 3.75
# Colors of the light theme, as in the files. In a page each becomes the variable `--chart-<name>` of page.css.
COLORS = {
    "ink": "#1d2530",
    "muted": "#5d6979",
    "grid": "#dde2e9",
    "paper": "#fefefe",
    "first": "#2667b5",
    "second": "#c2570c",
    "third": "#11776b",
    "fourth": "#8a3f9e",
    "fifth": "#8a6a00",
    "sixth": "#b03060",
    "better": "#1f66ad",
    "worse": "#bd4a14",
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tfpose",
    # A dollar sign in the name of a sequence does not begin a formula.
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
} | {
    name: COLORS[color]
    for color, names in {
        "ink": ("text.color", "axes.titlecolor", "axes.labelcolor", "legend.labelcolor"),
        "muted": ("xtick.color", "ytick.color", "axes.edgecolor"),
        "grid": ("grid.color",),
        "paper": ("figure.facecolor", "axes.facecolor", "savefig.facecolor"),
    }.items()
    for name in names
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart in two layouts.

    Attributes:
        name: Name of the file without its ending: lower-case letters, digits and underscores.
        title: Title for readers.
        description: Description for readers who cannot see the chart.
        wide: SVG element for large screens, paper and the file.
        narrow: SVG element for phones.
    """

    name: str
    title: str
    description: str
    wide: str
    narrow: str

    def file_content(self) -> str:
        """Returns the content of an SVG file."""
        return '<?xml version="1.0" encoding="utf-8"?>\n' + self.wide

    def inline(self, layout: str) -> str:
        """Returns the SVG element `wide` or `narrow` for a page, with the colors and fonts of the page."""
        names = {color: name for name, color in COLORS.items()}
        pattern = re.compile("|".join(names))
        themed = _in_tags(
            getattr(self, layout), lambda tag: pattern.sub(lambda m: f"var(--chart-{names[m.group()]})", tag)
        )
        return themed.replace("<svg ", f'<svg class="{layout}" ', 1)

    def with_prefix(self, prefix: str) -> Chart:
        """Returns the chart under a name with this prefix, for pages with several charts of a kind."""
        layouts = {layout: _with_prefix(getattr(self, layout), prefix) for layout in ("wide", "narrow")}
        return dataclasses.replace(self, name=f"{prefix}_{self.name}", **layouts)


def render_chart(name: str, title: str, description: str, draw: Callable[[float], Figure]) -> Chart:
    """Draws a chart in both layouts.

    Args:
        name: Name of the chart; see `Chart`.
        title: Title of the chart; see `Chart`.
        description: Description of the chart; see `Chart`.
        draw: Function of the width in inches that returns the figure.
    """
    layouts = {layout: _svg(draw, width, f"{name}-{layout}") for layout, width in (("wide", WIDE), ("narrow", NARROW))}
    head = f"<title>{html.escape(printable(title))}</title>\n<desc>{html.escape(printable(description))}</desc>"
    named = {layout: re.sub(r"(<svg [^>]*>)", lambda m: m[1] + head, svg, count=1) for layout, svg in layouts.items()}
    return Chart(name, title, description, **named)


def printable(text: str) -> str:
    r"""Returns the text without the characters that HTML and XML cannot hold (control characters, half surrogates).

    Example:
        >>> printable("a\x00b")
        'a\ufffdb'
    """
    return "".join(c if _is_printable(c) else "\ufffd" for c in text)


def _is_printable(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs") and ord(character) & 0xFFFE != 0xFFFE


def shorten(text: str, num_columns: int) -> str:
    """Returns the text, without its middle where it needs more than so many columns of narrow characters."""
    text = printable(text)
    if _num_columns(text) <= num_columns:
        return text
    tail = text[-1:]
    while _num_columns(text[-len(tail) - 1 :]) <= num_columns // 2:
        tail = text[-len(tail) - 1 :]
    head = ""
    while _num_columns(head + text[len(head)] + tail) < num_columns:
        head += text[len(head)]
    return f"{head}…{tail}"


def _num_columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches, for the function `draw` of `render_chart`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def round_step(least: float) -> float:
    """Returns the smallest of 1, 2 and 5 times a power of ten that is at least so large.

    Example:
        >>> round_step(0.03), round_step(13)
        (0.05, 20.0)
    """
    power = math.floor(math.log10(least))
    # A step that is a rounding error too small still counts.
    digit = next(digit for digit in (1, 2, 5, 10) if digit * 10.0**power >= least * (1 - 1e-9))
    return float(f"{digit}e{power}")


def round_ticks(low: float, high: float, most: int = 6) -> tuple[list[float], list[str]]:
    """Returns places of ticks that a person would choose, such as 0, 20, 40, and their labels.

    Args:
        low: Start of the axis, finite.
        high: End of the axis, finite.
        most: Largest number of ticks, at least 2.

    Example:
        >>> round_ticks(-0.4, 61.0)
        ([0.0, 20.0, 40.0, 60.0], ['0', '20', '40', '60'])
    """
    if not high > low:
        return [low], [f"{low:g}".replace("-", "−")]
    step = round_step((high - low) / (most - 1))
    numbers = np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    decimals = max(0, -math.floor(math.log10(step)))
    ticks = [round(float(number * step), decimals) for number in numbers]
    labels = (f"{tick:.{decimals}f}" for tick in ticks)
    trimmed = (label.rstrip("0").rstrip(".") if "." in label else label for label in labels)
    return ticks, [label.replace("-", "−") for label in trimmed]


def set_round_ticks(axes: Axes, which: Literal["x", "y"], most: int = 6) -> None:
    """Sets ticks as `round_ticks` does within the present limits of an axis."""
    axis, limits = (axes.xaxis, axes.get_xlim()) if which == "x" else (axes.yaxis, axes.get_ylim())
    ticks, labels = round_ticks(min(limits), max(limits), most)
    axis.set_ticks(ticks, labels)


@contextlib.contextmanager
def _chart_style() -> Iterator[None]:
    """Sets the style of the charts inside the `with` block, whatever the settings of the user are."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # The reader's browser has more fonts than Matplotlib, which places the text.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def _svg(draw: Callable[[float], Figure], width: float, prefix: str) -> str:
    file = io.StringIO()
    with _chart_style():
        draw(width).savefig(file, format="svg", metadata=_NO_METADATA)
    text = file.getvalue()
    text = re.sub(r"<!--.*?-->\n?", "", text[text.index("<svg ") :], flags=re.DOTALL)
    text = _in_tags(text, lambda tag: tag.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif"))
    role = '<svg role="img" '
    return _with_prefix(text, prefix).replace("<svg ", role, 1)


def _with_prefix(svg: str, prefix: str) -> str:
    """Makes ids distinct from those of other charts, and removes ids that nothing refers to."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))

    def rename(tag: str) -> str:
        tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", tag)
        return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", tag)

    return _in_tags(svg, rename)


def _in_tags(svg: str, change: Callable[[str], str]) -> str:
    """Applies a change to the tags alone, since text may look like a tag's content."""
    return re.sub(r"<[^>]*>", lambda match: change(match.group()), svg)
