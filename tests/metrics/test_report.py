"""Tables of figures; the official strings are compared in test_posetrack_metrics.py."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from tfpose.metrics.joints import JOINTS
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_sequences
from tfpose.metrics.report import (
    GROUP_NAMES,
    RENDERERS,
    Table,
    comparison_table,
    group_means,
    render_csv,
    render_latex,
    render_markdown,
    render_text,
    report_tables,
)

TABLE = Table("MOTA (%)", ("Head", "Total"), (("a_b", np.array([12.34, np.nan])), ("total", np.array([-750.37, 9.0]))))


def test_groups_are_means_that_do_not_skip_nan():
    values = np.append(np.arange(15.0), 99)
    values[JOINTS.index("left_wrist")] = np.nan
    groups = dict(zip(GROUP_NAMES, group_means(values), strict=True))
    assert groups["Head"] == (12 + 13 + 14) / 3
    assert groups["Hip"] == 2.5
    assert np.isnan(groups["Wri"])
    assert groups["Total"] == 99


def test_text_is_aligned():
    lines = render_text(TABLE).splitlines()
    assert lines == ["MOTA (%)", "         Head  Total", "a_b      12.3      -", "total  -750.4    9.0"]


def test_markdown_has_a_rule_below_the_head():
    assert render_markdown(TABLE).splitlines()[2:] == [
        "|  | Head | Total |",
        "| --- | ---: | ---: |",
        "| a_b | 12.3 | - |",
        "| total | -750.4 | 9.0 |",
    ]


def test_latex_escapes_names():
    text = render_latex(TABLE)
    assert "a\\_b & 12.3 & - \\\\" in text
    assert text.count("&") == 6


def test_csv_keeps_all_digits_and_leaves_nan_empty():
    rows = list(csv.reader(io.StringIO(render_csv(TABLE))))
    assert rows == [["MOTA (%)", "Head", "Total"], ["a_b", "12.34", ""], ["total", "-750.37", "9.0"]]


def test_a_report_has_a_table_per_measure_and_a_row_per_sequence(make_sequences):
    pairs = [make_sequences(seed, name=f"00000{seed}_mpii") for seed in (1, 2)]
    truth, predictions = zip(*pairs, strict=True)
    options = PoseTrackOptions(("ap", "mot", "hota"), has_clean_metrics=True)
    report = evaluate_sequences(truth, predictions, options, per_sequence=True)
    tables = report_tables(report)
    measures = [table.title.split()[0].rstrip(",") for table in tables]
    assert measures == ["AP", "MOTA", "MOTA", "PoseTrack21", "HOTA", "HOTA"]
    for table in tables:
        assert [name for name, _ in table.rows] == ["000001_mpii", "000002_mpii", "total"]
        assert all(len(values) == len(table.columns) for _, values in table.rows)
        assert all(render(table) for render in RENDERERS.values())
    only_ap = evaluate_sequences(truth, predictions, PoseTrackOptions(("ap",)))
    assert [table.title for table in report_tables(only_ap)] == ["AP (%)"]


def test_comparison_is_the_second_minus_the_first(make_sequences):
    truth, worse = make_sequences(3, noise=9)
    _, better = make_sequences(3, noise=2)
    options = PoseTrackOptions(("ap", "mot", "hota"))
    first, second = (evaluate_sequences([truth], [p], options, per_sequence=True) for p in (worse, better))
    for metric in ("ap", "mota", "hota"):
        table = comparison_table(first, second, metric)
        assert [name for name, _ in table.rows] == [truth.name, "total"]
        assert table.rows[-1][1][-1] > 0
        backward = comparison_table(second, first, metric)
        np.testing.assert_array_equal(backward.rows[0][1], -table.rows[0][1])
    with pytest.raises(ValueError, match="metric to compare must be one of ap, mota, hota and computed, got 'motp'"):
        comparison_table(first, second, "motp")
    other, prediction = make_sequences(4, name="000009_mpii")
    third = evaluate_sequences([other], [prediction], options, per_sequence=True)
    with pytest.raises(ValueError, match="must be about the same sequences"):
        comparison_table(first, third)
