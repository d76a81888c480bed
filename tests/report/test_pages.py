"""The pages of PoseTrack figures: what is on them, whatever the figures and names."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from report.report_cases import Page, make_report

from tfpose.metrics.joints import JOINTS, JOINTS21
from tfpose.metrics.report import Table, comparison_table, report_tables
from tfpose.report import Card, Section, ShownTable, write_comparison, write_page, write_report
from tfpose.report.page import provenance_table
from tfpose.report.svg import round_ticks

PROVENANCE = {"version": "1.2.3", "options": {"metrics": ["ap", "mot"], "seed": None}, "inputs": []}
STRANGE_NAMES = (
    "<script>alert(1)</script>",
    'quote" onload="x',
    "$x_1$ & Ünïcode 動画 🎬",
    "new\nline\x00\udc80",
    "{{ 7 * 7 }}",
    'id="main" fill: #1d2530 <!-- <title> ',
    "a" * 300,
)


def write(folder: pathlib.Path, report=None, name: str = "page.html", **options) -> str:
    path = folder / name
    write_report(path, report or make_report(), title="Small", provenance=PROVENANCE, **options)
    return path.read_text()


@pytest.fixture(scope="module")
def report():
    return make_report()


@pytest.fixture(scope="module")
def pages(report, tmp_path_factory) -> dict[str, str]:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    path = folder / "comparison.html"
    write_comparison(path, report, make_report(noise=3.0), names=("A", "B"), provenance=PROVENANCE)
    return {"report": write(folder, report), "comparison": path.read_text()}


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_page_loads_nothing_and_says_so(pages, kind):
    page = Page(pages[kind])
    links = [*page.values("src"), *page.values("href"), *page.values("xlink:href"), *page.values("srcset")]
    assert links and all(link.startswith("#") for link in links)
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(page.tags)
    assert not re.search(r"@import|url\((?!#)", pages[kind])
    assert any(value.startswith("default-src 'none'") for value in page.values("content"))


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_ids_are_distinct_and_links_lead_to_them(pages, kind):
    page = Page(pages[kind])
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    targets = [*page.values("href"), *page.values("xlink:href"), *re.findall(r"url\((#[^)]+)\)", pages[kind])]
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_every_chart_is_described(pages, kind):
    page = Page(pages[kind])
    num_charts = page.tags.count("svg")
    assert num_charts >= 4
    assert page.values("role").count("img") == num_charts
    assert page.tags.count("desc") == num_charts


def test_tables_hold_the_figures_of_the_report(report, pages):
    page = Page(pages["report"])
    for table in report_tables(report):
        cells = page.table(table.title)
        for name, values in table.rows:
            assert [float(exact) for _, exact, _ in cells[name]] == values.tolist()
            assert [text.replace("−", "-") for text, _, _ in cells[name]] == [f"{value:.1f}" for value in values]


def test_joint_table_takes_each_joint_from_its_place_in_either_order(report, pages):
    page = Page(pages["report"])
    cells = page.table("Each joint (%)")
    columns = [text for text, _, _ in cells["joint"]]
    total = report.total
    for name in ("left_ankle", "head_top", "neck"):
        row = dict(zip(columns, (float(exact) for _, exact, _ in cells[name.replace("_", " ")]), strict=True))
        assert row["AP"] == total.average_precision.ap[JOINTS.index(name)]
        assert row["MOTA"] == total.tracking.mota[JOINTS.index(name)]
        assert row["HOTA"] == total.hota["HOTA"][JOINTS21.index(name)]
        assert row["PoseTrack21 AP"] == total.pose_map.ap[JOINTS21.index(name)]


def test_cards_show_the_totals(report, pages):
    page = Page(pages["report"])
    shown = [value for tag, name, value in page.attributes if (tag, name) == ("data", "value")]
    total = report.total
    tracking = [total.tracking.mota, total.tracking.motp, total.tracking.precision, total.tracking.recall]
    expected = [total.average_precision.ap, *tracking, total.hota["HOTA"], total.pose_map.ap]
    assert [float(value) for value in shown] == [values[-1] for values in expected]


def test_comparison_holds_the_changes_with_sign_and_color(report, tmp_path):
    second = make_report(noise=12.0)
    write_comparison(tmp_path / "c.html", report, second, names=("A", "B"), provenance={})
    page = Page((tmp_path / "c.html").read_text())
    cells = page.table("Change of MOTA (percentage points)")
    seen = set()
    for name, values in comparison_table(report, second, "mota").rows:
        assert [float(exact) for _, exact, _ in cells[name]] == values.tolist()
        for (text, _, kind), value in zip(cells[name], values, strict=True):
            direction = 0 if round(value, 1) == 0 else math.copysign(1, value)
            assert text[0] == {0: "0", 1: "+", -1: "−"}[direction]
            assert kind.partition("-")[0] == {0: "", 1: "better", -1: "worse"}[direction]
            seen.add(direction)
    assert -1 in seen


def test_swapped_comparison_has_the_opposite_signs(report, tmp_path):
    second = make_report(noise=3.0)
    rows = []
    for first, other in ((report, second), (second, report)):
        write_comparison(tmp_path / "c.html", first, other, names=("A", "B"), provenance={})
        page = Page((tmp_path / "c.html").read_text())
        rows.append([float(exact) for _, exact, _ in page.table("Change of AP (percentage points)")["total"]])
    assert rows[0] == [-value for value in rows[1]]
    assert any(rows[0])


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_names_are_text_wherever_they_are_shown(name, tmp_path):
    report = make_report(names=(name, "other"))
    page, plain = Page(write(tmp_path, report)), Page(write(tmp_path, make_report(names=("plain", "other"))))
    assert page.tags.count("script") == 1
    assert [a for a in page.attributes if a[1].startswith("on")] == []
    assert len(page.values("id")) == len(plain.values("id"))
    shown = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert shown in page.text("th")
    for path in (tmp_path / "page_pictures").iterdir():
        xml.etree.ElementTree.parse(path)


def test_titles_and_provenance_are_text_too(report, tmp_path):
    evil = "</title><script>alert(1)</script>"
    write_report(tmp_path / "r.html", report, title=evil, provenance={evil: {"deep": [evil, 1]}})
    write_comparison(tmp_path / "c.html", report, report, names=(evil, evil), provenance={})
    for name in ("r.html", "c.html"):
        page = Page((tmp_path / name).read_text())
        assert page.tags.count("script") == 1
        assert any(evil in text for text in page.text("h1"))
    assert f"{evil}, 1" in Page((tmp_path / "r.html").read_text()).text("td")


def test_provenance_is_shown_flat(pages):
    page = Page(pages["report"])
    rows = {row[0][0]: row[1][0] for row in page.tables[-1]["rows"]}
    assert rows == {"version": "1.2.3", "options.metrics": "ap, mot", "options.seed": "none", "inputs": "none"}


def test_provenance_has_systems_as_columns_and_shows_what_differs():
    table = provenance_table({"A": {"x": 1, "y": {"z": [2, 3]}}, "B": {"x": 1, "y": {"z": [4]}, "w": None}})
    assert table.columns == ("A", "B") and table.are_alike
    assert table.open_rows == [("y.z", ("2, 3", "4")), ("w", ("–", "none"))]
    assert table.folded_rows == [("x", ("1", "1"))]


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 100, 6, ["0", "20", "40", "60", "80", "100"]),
        (-113, 42, 6, ["−100", "−50", "0"]),
        (0, 0.00103, 6, ["0", "0.0005", "0.001"]),
        (0.1333, 0.4, 4, ["0.2", "0.3", "0.4"]),
        (7, 7, 6, ["7"]),
    ],
)
def test_ticks_are_round_numbers(low, high, most, labels):
    places, shown = round_ticks(low, high, most)
    assert shown == labels and len(shown) <= most
    np.testing.assert_allclose(places, [float(label.replace("−", "-")) for label in labels])


def test_figures_that_are_not_there_are_dashes(report, tmp_path):
    tracking = dataclasses.replace(report.total.tracking, mota=np.full(16, np.nan), motp=np.full(16, np.nan))

    def change(metrics):
        return dataclasses.replace(metrics, blocks={**metrics.blocks, "tracking": tracking})

    alone = report.sequences | {"second": change(report.sequences["second"])}
    text = write(tmp_path, dataclasses.replace(report, total=change(report.total), sequences=alone))
    page = Page(text)
    assert page.table("MOTA (%)")["total"][0][:2] == ["–", ""]
    assert page.table("MOTA (%)")["second"][7][:2] == ["–", ""]
    assert page.text("data").count("–") == 2
    assert not re.search(r">\s*[+−-]?nan\b", text)


def test_page_without_figures_per_sequence(tmp_path):
    page = Page(write(tmp_path, make_report(per_sequence=False)))
    assert "Sequences" not in page.text("h2")
    assert list(page.table("MOTA (%)")) == ["sequence", "total"]
    assert not (tmp_path / "page_pictures" / "mota_by_sequence.svg").exists()


@pytest.mark.parametrize(
    "metrics, cards, pictures",
    [
        (("ap",), ["mAP", "Precision", "Recall"], {"precision_recall", "joints", "ap_by_sequence"}),
        (("mot",), ["MOTA", "MOTP", "Precision", "Recall"], {"joints", "mota_by_sequence"}),
        (("hota",), ["HOTA", "PT21 mAP"], {"joints", "hota_by_sequence"}),
        (
            ("ap", "mot"),
            ["mAP", "MOTA", "MOTP", "Precision", "Recall"],
            {"precision_recall", "joints", "mota_by_sequence"},
        ),
    ],
)
def test_page_shows_what_was_asked_for(metrics, cards, pictures, tmp_path):
    report = make_report(metrics=metrics)
    page = Page(write(tmp_path, report))
    assert page.text("dt")[: len(cards)] == cards
    assert len(page.text("dt")) == len(cards)
    assert {path.stem for path in (tmp_path / "page_pictures").iterdir()} == pictures
    write_comparison(tmp_path / "c.html", report, report, names=("A", "B"), provenance={})
    assert Page((tmp_path / "c.html").read_text()).text("dt") == cards


def test_comparison_shows_what_both_have(report, tmp_path):
    write_comparison(tmp_path / "c.html", report, make_report(metrics=("ap",)), names=("A", "B"), provenance={})
    headings = [text.strip() for text in Page((tmp_path / "c.html").read_text()).text("h2")]
    assert headings == ["Summary", "Change of AP", "Joints", "Precision and recall", "Provenance"]


def test_comparison_without_anything_in_common_is_refused(tmp_path):
    first, second = make_report(metrics=("ap",)), make_report(metrics=("mot",))
    with pytest.raises(ValueError, match="must share AP or MOTA or HOTA, got AP and MOTA"):
        write_comparison(tmp_path / "c.html", first, second, names=("A", "B"), provenance={})
    assert list(tmp_path.iterdir()) == []


def test_comparison_of_other_sequences_is_refused(report, tmp_path):
    second = make_report(names=("first", "third"))
    with pytest.raises(ValueError, match="same sequences, got .*second.*third.* in only one of them"):
        write_comparison(tmp_path / "c.html", report, second, names=("A", "B"), provenance={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("charts_drawn_anew")
def test_same_figures_give_the_same_bytes(report, tmp_path):
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write(folder, report)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents.append([(path.relative_to(folder), path.read_bytes()) for path in files])
    assert len(contents[0]) == 4
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("charts_drawn_anew")
def test_settings_of_matplotlib_neither_matter_nor_change(report, tmp_path):
    import matplotlib

    expected = write(tmp_path, report)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert write(tmp_path, report) == expected
        assert matplotlib.rcParams["font.size"] == 30


def test_many_sequences_are_folded_away_and_can_be_sorted(tmp_path):
    names = tuple(f"{number:06d}_mpii_test" for number in range(50))
    text = write(tmp_path, make_report(names=names))
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert page.tags.count("details") == 4
    assert list(page.table("MOTA (%)"))[1:] == [*names, "total"]
    sortable = [tag for tag, name, _ in page.attributes if name == "aria-sort"]
    assert len(sortable) == page.tags.count("button") > 4 * 8
    # The chart shows the ten best and the ten worst, in two layouts.
    charted = [text for text in page.text("text") if text.endswith("_mpii_test")]
    assert len(charted) == 40 and len(set(charted)) == 20
    assert any("the 10 best and the 10 worst of 50" in text for text in page.text("figcaption"))


def test_own_tables_replace_the_papers(report, tmp_path):
    table = Table("Speed (frames/s)", ("median",), (("first", np.array([12.5])), ("total", np.array([-0.01]))))
    page = Page(write(tmp_path, report, tables=[table]))
    assert [cell[:2] for cell in page.table("Speed (frames/s)")["first"]] == [["12.5", "12.5"]]
    assert [cell[:2] for cell in page.table("Speed (frames/s)")["total"]] == [["0.0", "-0.01"]]
    assert "MOTA (%)" not in [table["title"] for table in page.tables]


def test_sections_can_be_put_together(tmp_path):
    table = ShownTable(Table("Numbers", ("x",), (("a", np.array([1.0])),)), row_kind="thing")
    sections = [
        Section("first", "First", "Text & more", cards=[Card("Speed", 3.0, "frames/s", change=-1.0)], tables=[table]),
        Section("gallery", "Gallery", html='<img alt="a dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'),
    ]
    write_page(tmp_path / "p.html", "Page", sections, {})
    page = Page((tmp_path / "p.html").read_text())
    assert page.text("h2") == ["First", "Gallery", "Provenance"]
    assert "Text & more" in page.text("p")
    assert "−1.0" in page.text("dd")
    assert page.values("alt") == ["a dot"]
    assert not (tmp_path / "p_pictures").exists()


@pytest.mark.parametrize("ids", [("a", "a"), ("main",), ("Not lower",), ("",)])
def test_section_ids_that_would_clash_are_refused(ids, tmp_path):
    with pytest.raises(ValueError, match="each section id of a page must match .* be its only one, got"):
        write_page(tmp_path / "p.html", "Page", [Section(name, "x") for name in ids], {})
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_gives_one_clear_line(report, tmp_path):
    path = tmp_path / "absent" / "page.html"
    with pytest.raises(FileNotFoundError, match="the folder of the page must exist, got none") as caught:
        write_report(path, report, title="x", provenance={})
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not path.parent.exists()


def test_what_cannot_be_written_leaves_the_earlier_page_whole(report, tmp_path, monkeypatch):
    before = write(tmp_path, report)
    pictures = {path: path.read_bytes() for path in (tmp_path / "page_pictures").iterdir()}

    def refuse(*paths):
        raise PermissionError(13, "Permission denied", str(paths[1]))

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="page.html: the page and its pictures could not be written: .*Permission") as e:
        write(tmp_path, make_report(noise=1.0))
    assert "\n" not in str(e.value)
    assert (tmp_path / "page.html").read_text() == before
    assert {path: path.read_bytes() for path in (tmp_path / "page_pictures").iterdir()} == pictures
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "page_pictures"}


def test_file_in_the_place_of_the_pictures_gives_one_clear_line(report, tmp_path):
    (tmp_path / "page_pictures").write_text("mine")
    with pytest.raises(OSError, match="could not be written: .*page_pictures"):
        write(tmp_path, report)
    assert not (tmp_path / "page.html").exists()
    assert (tmp_path / "page_pictures").read_text() == "mine"


def test_import_loads_neither_matplotlib_nor_jinja_nor_tensorflow():
    program = (
        "import sys, tfpose.report; print(sorted({'matplotlib', 'jinja2', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
