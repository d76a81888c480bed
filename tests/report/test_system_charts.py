"""Charts that compare several systems."""

import xml.etree.ElementTree

import pytest

from tfpose.report.system_charts import sequences_chart

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_all_markers_of_the_best_and_of_the_worst_sequences_are_inside_the_chart(layout):
    """The values of the best 10 of 40 lie far from those of the worst 10."""
    names = [f"{number:06d}_mpii_test" for number in range(40)]
    systems = {"first": dict(zip(names, range(40), strict=True)), "second": dict.fromkeys(names, 20.0)}
    chart = sequences_chart("MOTA", systems)
    root = xml.etree.ElementTree.fromstring(getattr(chart, layout))
    _, _, width, height = map(float, root.get("viewBox").split())
    places = [(float(use.get("x")), float(use.get("y"))) for use in root.iter(f"{SVG}use") if "x" in use.attrib]
    inside = [(x, y) for x, y in places if 0 <= x <= width and 0 <= y <= height]
    assert len(inside) == len(places) >= 2 * 20
    labels = [text for text in root.iter(f"{SVG}text") if "mpii" in "".join(text.itertext())]
    assert len(labels) == 20
    # A label ends at its place; no character is narrower than two points on average.
    assert all(float(label.get("x")) > 2 * len("".join(label.itertext())) for label in labels)
