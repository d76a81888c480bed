"""A page about a split of a dataset: sizes, visibility, boxes, suspicious labels, pictures. It needs no network."""

from __future__ import annotations

import base64
import dataclasses
import html
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data_prep.label_checks import KINDS, Finding, check_labels, has_box, labeled_joints
from tfpose.boxes import areas
from tfpose.data.records import RecordTable
from tfpose.json_files import write_text
from tfpose.metrics.report import Table
from tfpose.picture_files import decode_upright
from tfpose.poses import Poses
from tfpose.report.page import Card, Section, ShownTable, render_page
from tfpose.report.svg import COLORS, NARROW, Chart, new_figure, printable, render_chart, set_round_ticks, shorten
from tfpose.visualization import draw_poses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Embedded pictures: longer side in pixels, JPEG quality, and bytes of all pictures together.
_LONGEST_SIDE, _JPEG_QUALITY = 640, 75
_MOST_BYTES = 12 << 20
# Square roots of the areas of boxes, in pixels.
_SIZE_EDGES = (0, 16, 32, 64, 96, 128, 192, 256, 384, 512)
# Heights of boxes divided by their widths.
_SHAPE_EDGES = (0, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4)
_MOST_PEOPLE = 10
_MOST_JOINTS = 40
_FOUND_COLOR, _OTHER_COLOR = (235, 60, 40), (235, 235, 235)


@dataclasses.dataclass
class _Pictures:
    """Draws pictures for the page until their bytes are used up."""

    table: RecordTable
    bytes_left: int

    def figure(self, image: int, found: Sequence[int], words: str) -> str:
        """Returns the HTML of a picture that grows when it is selected; empty if there is no room for it."""
        data = self._draw(image, found)
        if len(data) > self.bytes_left:
            return ""
        self.bytes_left -= len(data)
        name = html.escape(printable(str(self.table.images["file_name"][image])))
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        text = html.escape(printable(words))
        return (
            f'<details class="picture"><summary><img src="{url}" alt="{name}: {text}"></summary>'
            f"<p>{name}<br>{text}</p></details>\n"
        )

    def _draw(self, image: int, found: Sequence[int]) -> bytes:
        table, rows = self.table, self.table.people_of(image)
        picture = decode_upright(table.read_image_bytes(image), table.describe(image))
        scale = min(1.0, _LONGEST_SIDE / max(picture.shape[:2]))
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        people = slice(rows.start, rows.stop)
        is_labeled = (table.people["visibility"][people] > 0).astype(np.float64)
        poses = Poses(
            keypoints=(table.people["keypoints"][people].astype(np.float64) + 0.5) * scale - 0.5,
            joint_scores=is_labeled,
            scores=np.ones(len(rows)),
            boxes=table.people["box"][people].astype(np.float64) * scale,
            track_ids=np.full(len(rows), -1),
        )
        picture = draw_poses(picture, poses, table.skeleton, 0.5)
        for person, box in zip(rows, poses.boxes, strict=True):
            if np.isfinite(box).all():
                color = _FOUND_COLOR if person in found else _OTHER_COLOR
                low, high = np.clip(box, -1e4, 1e4).round().astype(int).reshape(2, 2).tolist()
                cv2.rectangle(picture, low, high, color, 2 if person in found else 1)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1].tobytes()


def write_dataset_page(path: pathlib.Path, table: RecordTable, split: str, most_pictures: int) -> list[Finding]:
    """Writes the page of a split, whole or not at all.

    Args:
        path: Path of the page; its folder must exist.
        table: Records of the split.
        split: Name of the split.
        most_pictures: Largest number of pictures of each kind: examples, and each kind of suspicious label.

    Returns:
        The suspicious labels.

    Raises:
        ValueError: A record or a picture is damaged.
        OSError: The page cannot be written.
    """
    findings = check_labels(table)
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}
    pictures = _Pictures(table, _MOST_BYTES)
    sections = [
        _summary(table, split, counts),
        _people_section(table),
        _joints_section(table),
        *_suspicious_sections(pictures, findings, counts, most_pictures),
        _examples(pictures, findings, most_pictures),
    ]
    provenance = {"folder": str(table.shards[0].parent), "split": split, "labels by": table.teacher or "people"}
    write_text(path, render_page(f"{table.shards[0].parent.parent.name}: split {split}", sections, provenance))
    return findings


def _summary(table: RecordTable, split: str, counts: Mapping[str, int]) -> Section:
    num_findings, is_labeled = sum(counts.values()), labeled_joints(table)
    videos = {name for name in table.images["sequence"] if name}
    text = f"Split {split}" + (f", {len(videos)} videos" if videos else "") + f", skeleton {table.skeleton.name} with "
    text += f"{table.skeleton.num_joints} joints. "
    text += "A suspicious label is a hint: look at the picture before you change the label."
    numbers = {
        "images": (table.num_images, ""),
        "people": (table.num_people, f"{int((table.people['is_crowd'] != 0).sum())} of them crowds"),
        "labeled joints": (int(is_labeled.sum()), "without those of crowds"),
        "suspicious labels": (num_findings, "see below" if num_findings else "none was found"),
    }
    cards = [Card(name, float(number), "", note, is_count=True) for name, (number, note) in numbers.items()]
    rows = tuple((kind, np.array([float(count)])) for kind, count in counts.items())
    shown = ShownTable(Table("Suspicious labels", ("count",), rows), row_kind="kind", is_count=True)
    return Section("summary", "Summary", text, cards=cards, tables=[shown])


def _people_section(table: RecordTable) -> Section:
    box = table.people["box"][has_box(table) & (table.people["is_crowd"] == 0)]
    per_image = np.minimum(np.diff(table.first_person), _MOST_PEOPLE)
    people = {
        f"{n}{' or more' if n == _MOST_PEOPLE else ''}": int((per_image == n).sum()) for n in range(_MOST_PEOPLE + 1)
    }
    panels = {
        "People by size (square root of the box area, pixels)": _histogram(np.sqrt(areas(box)), _SIZE_EDGES),
        "Boxes by shape (height / width)": _histogram((box[:, 3] - box[:, 1]) / (box[:, 2] - box[:, 0]), _SHAPE_EDGES),
        "Images by number of people": people,
    }
    return Section("people", "People and boxes", charts=[_bars_chart("people", "People and boxes", panels)])


def _histogram(values: np.ndarray, edges: Sequence[float]) -> dict[str, int]:
    counts, _ = np.histogram(values, [*edges, np.inf])
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    return dict(zip([*names, f"{edges[-1]:g} or more"], counts.tolist(), strict=True))


def _joints_section(table: RecordTable) -> Section:
    visibility = table.people["visibility"][table.people["is_crowd"] == 0]
    kinds = {"visible": 2, "hidden": 1, "not labeled": 0}
    counts = np.stack([(visibility == value).sum(axis=0) for value in kinds.values()], axis=1)
    names = [joint.replace("_", " ") for joint in table.skeleton.joints]
    rows = tuple((name, row.astype(float)) for name, row in zip(names, counts, strict=True))
    shown = ShownTable(Table("Joints (counts)", tuple(kinds), rows), row_kind="joint", is_count=True)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    chart = _visibility_chart(names[:_MOST_JOINTS], shares[:_MOST_JOINTS], list(kinds))
    return Section("joints", "Joints", charts=[chart], tables=[shown])


def _bars_chart(name: str, title: str, panels: Mapping[str, Mapping[str, int]]) -> Chart:
    def draw(width: float) -> Figure:
        is_narrow = width <= NARROW
        rows = [len(bars) for bars in panels.values()]
        height = sum(rows) if is_narrow else max(rows)
        figure = new_figure(width, 0.22 * height + (1.8 if is_narrow else 0.6))
        grid = figure.subplots(*((len(panels), 1) if is_narrow else (1, len(panels))), squeeze=False)
        for axes, (panel, bars) in zip(grid.flat, panels.items(), strict=True):
            axes.barh(range(len(bars)), list(bars.values()), height=0.7, color=COLORS["first"])
            axes.set_title(panel.split(" (")[0])
            axes.set_xlabel(panel.partition(" (")[2].rstrip(")"))
            _name_rows(axes, list(bars))
            axes.set_xlim(0, 1.05 * max([1, *bars.values()]))
            set_round_ticks(axes, "x", 4)
        return figure

    words = (
        f"{panel}: {', '.join(f'{bar} {count}' for bar, count in bars.items())}." for panel, bars in panels.items()
    )
    return render_chart(name, title, " ".join(words), draw)


def _visibility_chart(names: Sequence[str], shares: np.ndarray, kinds: Sequence[str]) -> Chart:
    """Draws a stacked bar of the shares [J, K] in percent for each joint."""

    def draw(width: float) -> Figure:
        figure = new_figure(width, 0.22 * len(names) + 0.9)
        axes = figure.subplots()
        left = np.zeros(len(names))
        for kind, column, color in zip(kinds, shares.T, ("first", "second", "grid"), strict=True):
            axes.barh(range(len(names)), column, left=left, height=0.7, color=COLORS[color], label=kind)
            left += column
        _name_rows(axes, names)
        axes.set_xlim(0, 100)
        set_round_ticks(axes, "x")
        axes.set_xlabel("share of the people (%)")
        figure.legend(loc="outside upper left", ncols=3)
        return figure

    return render_chart("visibility", "Visibility of the joints", "The counts are in the table.", draw)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shorten(name, 18) for name in names], color=COLORS["ink"])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")


def _suspicious_sections(
    pictures: _Pictures, findings: Sequence[Finding], counts: Mapping[str, int], most_pictures: int
) -> list[Section]:
    if not findings:
        return [Section("suspicious", "Suspicious labels", "No suspicious label was found.")]
    text = "Suspicious people have a red box. Select a picture to enlarge it."
    sections = [Section("suspicious", "Suspicious labels", text)]
    for number, kind in enumerate(kind for kind in KINDS if counts[kind]):
        found = [finding for finding in findings if finding.kind == kind]
        places = [(f.image, f.people, f.details) for f in _spread(found, most_pictures)]
        sections.append(_gallery(pictures, f"suspicious-{number}", f"{kind}: {len(found)}", places, len(found)))
    return sections


def _examples(pictures: _Pictures, findings: Sequence[Finding], most_pictures: int) -> Section:
    suspicious = {finding.image for finding in findings}
    labeled = np.flatnonzero(np.diff(pictures.table.first_person) > 0).tolist()
    images = [image for image in labeled if image not in suspicious]
    places = [(image, (), "no suspicious label") for image in _spread(images, most_pictures)]
    section = _gallery(pictures, "examples", "Examples", places, len(images))
    return dataclasses.replace(section, is_part=False)


def _spread(items: Sequence, most: int) -> list:
    """Returns at most so many items, evenly spread over all."""
    if len(items) <= most:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _gallery(
    pictures: _Pictures, name: str, title: str, places: Sequence[tuple[int, Sequence[int], str]], count: int
) -> Section:
    figures = [pictures.figure(*place) for place in places]
    shown = [figure for figure in figures if figure]
    left_out = count - len(shown)
    text = f"{len(shown)} of {count} are shown; {left_out} are left out." if left_out else ""
    if len(shown) < len(figures):
        text += f" The pictures of a page have at most {_MOST_BYTES >> 20} MiB."
    return Section(name, title, text, html=f'<div class="pictures">\n{"".join(shown)}</div>', is_part=True)
