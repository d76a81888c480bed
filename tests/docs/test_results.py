"""The measured numbers of README.md, docs/ and the configs of the demo are those of docs/results.json."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import sys

import documentation_pages as pages
import pytest

sys.path.insert(0, str(pages.PROJECT / "benchmarks"))
import demo_scores
import results_file

RESULTS = results_file.read_results()
NUMBER = r"(?<![\w.,@-])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?"
COMMENT = rf"<!--\s+({results_file.KEY.pattern})\s+-->"
# 'median (smallest to largest)', 'smallest to largest' or 'median', then the key.
QUOTED = re.compile(
    rf"(?:({NUMBER})\s+\(({NUMBER})\s+to\s+({NUMBER})\)|({NUMBER})\s+to\s+({NUMBER})|({NUMBER})){COMMENT}"
)
# Scores and rates that a sentence gives; PoseTrack 2018 AP is none.
METRIC = r"(?:mAP|MOTA|HOTA|AP|PCK(?:@0\.2)?)"
UNIT = r"(?:mAP|MOTA|HOTA|AP\b|% PCK|points of|frames/s|images/s|samples/s|GFLOP/s)"
SENTENCE = re.compile(rf"\b{METRIC}(?: of)? {NUMBER}|(?!20\d\d ){NUMBER} {UNIT}")
# These pages list the scores of papers and publishers.
PUBLISHED = ("import_weights.md", "paper_to_code.md")
# What the docstrings of the configs say, where braces hold a key.
CONFIGS = {
    "two_stage_resnet18_synthetic": [
        "COCO AP {demo.two_stage.ap}, PCK@0.2 {demo.two_stage.pck}",
        "PoseTrack mAP {demo.two_stage.map}, MOTA {demo.two_stage.mota}",
    ],
    "single_network_synthetic": [
        "PoseTrack mAP {demo.single_network.map}, MOTA {demo.single_network.mota}",
        "mAP {single_network_synthetic.map} and MOTA {single_network_synthetic.mota}",
    ],
    "keypoint_rcnn_synthetic": [
        "box AP50 {keypoint_rcnn_synthetic.box_ap50} and AP {keypoint_rcnn_synthetic.box_ap} after "
        "{keypoint_rcnn_synthetic.minutes} minutes of processor time",
        "mAP of {keypoint_rcnn_synthetic.map} and a MOTA of {keypoint_rcnn_synthetic.mota}",
    ],
    "single_network_posetrack18_mini": [
        "mAP {single_network_posetrack18_mini.map} and MOTA {single_network_posetrack18_mini.mota}"
    ],
    "two_stage_resnet18_coco_mini": ["{two_stage_resnet18_coco_mini.ap} AP"],
    "two_stage_resnet18_lspet": ["{two_stage_resnet18_lspet.minutes} minutes", "{two_stage_resnet18_lspet.pck} %"],
}


def plain(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def without_quotes(text: str) -> str:
    return QUOTED.sub("", text)


def is_rounded(printed: str, value: float) -> bool:
    """Whether the printed number is the value, rounded to its digits."""
    digits = printed.replace(",", "")
    step = 10.0 ** -len(digits.partition(".")[2]) if "e" not in digits else 1e-6 * value
    return abs(float(digits) - value) <= (0.5 + 1e-6) * step


def wrong_quotes(text: str, results: dict[str, results_file.Measurement]) -> list[str]:
    """What is wrong with the numbers of a page that name a key."""
    wrong = []
    for match in QUOTED.finditer(text):
        *printed, key = match.groups()[:7]
        if key not in results:
            wrong.append(f"{match[0]}: no such key")
            continue
        values, median = results[key].values, results[key].median
        expected = (median, min(values), max(values), min(values), max(values), median)
        pairs = [(number, value) for number, value in zip(printed, expected, strict=True) if number]
        if not all(is_rounded(number, value) for number, value in pairs):
            wrong.append(f"{match[0]}: docs/results.json says {', '.join(f'{value:.4g}' for _, value in pairs)}")
    keys = re.findall(COMMENT, text)
    if len(keys) != len(QUOTED.findall(text)):
        wrong.append("a key stands behind something else than a number")
    return wrong


def cells_of_results(text: str) -> list[str]:
    """The cells of all tables but those of their first column, which says what was measured and how."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    is_head = [index + 1 < len(rows) and rows[index + 1].startswith("| ---") for index in range(len(rows))]
    rows = [row for row, head in zip(rows, is_head, strict=True) if not head and not row.startswith("| ---")]
    return [cell for row in rows for cell in row.strip("| ").split(" | ")[1:]]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_quoted_numbers_are_those_of_the_file(page):
    wrong = wrong_quotes(page.read_text(), RESULTS)
    assert not wrong, f"{page.name}: " + "\n".join(wrong)


def test_all_results_in_the_tables_name_their_entry():
    readme = (pages.PROJECT / "README.md").read_text().partition("\n## Results\n")[2].partition("\n## ")[0]
    page = (pages.PROJECT / "docs" / "results.md").read_text()
    cells = cells_of_results(plain(readme)) + cells_of_results(plain(page))
    assert len(cells) > 60
    wrong = [cell for cell in cells if re.search(NUMBER, without_quotes(cell))]
    assert not wrong, "numbers without a key of docs/results.json:\n" + "\n".join(wrong)


def test_scores_in_sentences_name_their_entry():
    assert all(map(SENTENCE.search, ("reaches 86.2 AP after", "a MOTA of 80.1", "PCK@0.2 60.9", "204 frames/s")))
    for page in pages.PAGES:
        if page.name not in PUBLISHED:
            found = SENTENCE.findall(without_quotes(plain(page.read_text())))
            assert not found, f"{page.name}: numbers without a key of docs/results.json: {found}"


@pytest.mark.parametrize("name", CONFIGS)
def test_docstrings_of_configs_quote_the_file(name):
    said = " ".join(ast.get_docstring(ast.parse((pages.PROJECT / "configs" / f"{name}.py").read_text())).split())

    def quote(match: re.Match) -> str:
        values = RESULTS[match[1]].values
        form = "{:.0f}" if match[1].endswith(".minutes") else "{:.1f}"
        middle, low, high = (form.format(value) for value in (RESULTS[match[1]].median, min(values), max(values)))
        return {1: middle, 2: f"{low} to {high}"}.get(len(values), f"{middle} ({low} to {high})")

    for template in CONFIGS[name]:
        expected = re.sub(r"\{([\w.]+)\}", quote, template)
        assert expected in said, f"the docstring does not say {expected!r}"


def test_every_entry_is_quoted_and_its_script_writes_it():
    text = "".join(page.read_text() for page in pages.PAGES) + json.dumps(CONFIGS)
    unused = [key for key in RESULTS if f" {key} " not in text and f"{{{key}}}" not in text]
    assert not unused, f"docs/results.json holds what no page quotes: {unused}"
    for key, measurement in RESULTS.items():
        script = re.search(r"benchmarks/\w+\.py", measurement.command)
        if script:
            assert "record(" in (pages.PROJECT / script[0]).read_text() and key.startswith(
                f"{pathlib.Path(script[0]).stem}."
            )


def test_tolerances_are_those_of_the_tests():
    tests = {
        "exactness.posetrack_scores": r"wanted, rtol=0, atol=(\S+),",
        "exactness.imported_heatmaps": r"^TOLERANCE = (\S+)$",
    }
    for key, pattern in tests.items():
        path = pages.PROJECT / RESULTS[key].command.removeprefix("pytest ")
        assert float(re.search(pattern, path.read_text(), re.MULTILINE)[1]) == RESULTS[key].median


def test_the_file_is_sorted_with_a_line_for_each_entry(tmp_path):
    results_file.write_results(RESULTS, tmp_path / "results.json")
    assert (tmp_path / "results.json").read_text() == results_file.RESULTS_FILE.read_text()
    assert results_file.RESULTS_FILE.read_text().count("\n") == len(RESULTS) + 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("91.25<!-- a.b -->", 0),
        ("91.2 (89.9 to 92.1)<!-- a.b --> and 89.9 to\n92.1<!-- a.b --> and 91<!-- a.b -->", 0),
        ("91.3<!-- a.b -->", 1),
        ("91.2 (89.8 to 92.1)<!-- a.b -->", 1),
        ("90 to 91<!-- a.b -->", 1),
        ("92<!-- a.b -->", 1),
        ("91.2<!-- a.c -->", 1),
        ("ninety<!-- a.b -->", 1),
    ],
)
def test_wrong_numbers_would_be_seen(text, count):
    values = (92.1, 89.9, 91.249)
    measurement = results_file.Measurement(values, "%", "2026-11-29", "two CPU cores", "make demo")
    assert len(wrong_quotes(text, {"a.b": measurement})) == count


def test_numbers_without_a_key_would_be_seen():
    table = "| data | config | result |\n| --- | --- | --- |\n| 120 | `resnet18` | mAP 91.2<!-- a.b -->, AP50 95.2 |\n"
    (config, result) = cells_of_results(plain(table))
    assert not re.search(NUMBER, config) and re.findall(NUMBER, without_quotes(result)) == ["95.2"]


def test_recording_replaces_its_own_entries(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    monkeypatch.setattr(results_file.os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    monkeypatch.setattr(sys, "argv", [str(pages.PROJECT / "benchmarks" / "x.py"), "--record", "--models", "R50"])
    results_file.record({"x.b": ([1.0], "s"), "x.a": ([2.0], "s")}, path=path)
    results_file.record({"x.b": ([0.123456, 3], "frames/s")}, note="two rounds", path=path)
    found = results_file.read_results(path)
    assert list(found) == ["x.a", "x.b"] and found["x.a"].values == (2.0,)
    assert found["x.b"].values == (0.1235, 3.0) and found["x.b"].note == "two rounds"
    assert found["x.b"].command == "python benchmarks/x.py --models R50" and "CPU cores" in found["x.b"].machine
    before = path.read_bytes()
    for key, values, unit in (("x", [1.0], "s"), ("x.b", [], "s"), ("x.b", [float("nan")], "s"), ("x.b", [1.0], "")):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            results_file.record({key: (values, unit)}, path=path)
    monkeypatch.setattr(results_file.os, "getloadavg", lambda: (results_file.os.cpu_count() + 1.5, 0.5, 0.5))
    with pytest.raises(SystemExit, match="not recorded: the load average must be at most"):
        results_file.record({"x.b": ([1.0], "s")}, path=path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_scores_of_a_demo_are_read_from_its_metrics(tmp_path):
    metrics = {"coco": {"AP": 86.2}, "pck": {"total": 96.0}, "posetrack": {"ap": [90.0, 91.6], "mota": [70.0, 80.1]}}
    path = tmp_path / "results" / "two_stage" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(metrics))
    assert demo_scores.read_scores(tmp_path, "two_stage") == {"ap": 86.2, "pck": 96.0, "map": 91.6, "mota": 80.1}
    path.write_text("{}")
    with pytest.raises(ValueError, match="metrics.json: 'posetrack' must be there"):
        demo_scores.read_scores(tmp_path, "two_stage")


@pytest.mark.parametrize("key", RESULTS)
def test_configs_in_commands_exist(key):
    for config in re.findall(r"--config[= ](?:configs/)?(\w+)", RESULTS[key].command):
        assert (pages.PROJECT / "configs" / f"{config}.py").is_file()
