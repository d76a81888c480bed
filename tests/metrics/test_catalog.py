"""The catalog of metrics, and a metric that is added to it from outside."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from report.report_cases import Page, make_pair

from tfpose.evaluation.tracker_search import Case, score_tracker
from tfpose.metrics.batches import SequenceBatch
from tfpose.metrics.catalog import METRICS, POSEVAL, Block, Column, MetricGroup, group_of, objectives
from tfpose.metrics.posetrack import PoseTrackOptions, evaluate_posetrack, evaluate_sequences
from tfpose.metrics.report import comparison_table, report_tables
from tfpose.posetrack import write_posetrack18
from tfpose.report import write_comparison, write_report
from tfpose.report.evaluation_file import Evaluation, read_evaluation, write_evaluation
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.tuning import search_grid


def count_missing(batch: SequenceBatch) -> list[np.ndarray]:
    """True and predicted joints of each sequence, [2, J]."""
    return [np.stack([s.true.has_joint.sum(axis=0), s.predicted.has_joint.sum(axis=0)]) for s in batch.sequences]


def summarize_missing(counts: Sequence[np.ndarray], *_: object) -> dict[str, np.ndarray]:
    """How many joints fewer are predicted than annotated, in percent."""
    true, predicted = np.sum(counts, axis=0)
    return {"Missing": 100 * (1 - np.append(predicted, predicted.sum()) / np.append(true, true.sum()))}


@pytest.fixture
def toy_metric() -> Iterator[None]:
    column = Column(
        "missing",
        operator.itemgetter("Missing"),
        label="Missing",
        joint_label="Missing",
        card_label="Missing joints",
        is_searched=True,
        higher_is_better=False,
    )
    block = Block("missing", "Missing (%)", count_missing, summarize_missing, dict, (column,))
    METRICS["toy"] = MetricGroup("missing joints", POSEVAL, (block,), "missing")
    yield
    del METRICS["toy"]


@pytest.fixture
def pairs() -> list:
    """Two videos; in the predictions of the second, the first person of each frame is the only one."""
    whole, halved = make_pair("000001_whole", 1), make_pair("000002_halved", 2)
    return [whole, (halved[0], _keep_first_person(halved[1]))]


def _keep_first_person(sequence):
    names = ("keypoints", "visibility", "joint_scores", "scores", "boxes", "head_boxes", "areas", "track_ids")
    names += ("annotation_ids", "has_points")
    frames = (dataclasses.replace(f, **{n: getattr(f, n)[:1] for n in names}) for f in sequence.frames)
    return dataclasses.replace(sequence, frames=tuple(frames))


def test_objectives_are_the_main_columns():
    assert objectives() == {"ap": "AP", "mota": "MOTA", "hota": "HOTA"}
    assert [group_of(name) for name in ("mota", "AP", "HOTA")] == ["mot", "ap", "hota"]
    with pytest.raises(ValueError, match="objective must be one of ap, mota, hota, got 'motp'"):
        group_of("motp")


def test_blocks_columns_and_labels_are_distinct():
    blocks = [block for group in METRICS.values() for block in group.blocks]
    assert len({block.name for block in blocks}) == len(blocks)
    shown = [column for block in blocks if not block.is_clean for column in block.columns]
    for name in ("joint_label", "label"):
        labels = [getattr(column, name) for column in shown if getattr(column, name)]
        assert len(set(labels)) == len(labels)


def test_every_group_has_a_main_column_that_a_search_reports():
    for group in METRICS.values():
        assert group.main.is_searched and group.main.label and group.main.joint_label


def test_an_added_metric_is_scored_in_files_and_in_memory(toy_metric, pairs, tmp_path):
    for true, predicted in pairs:
        write_posetrack18(tmp_path / "gt" / f"{true.name}_mpii.json", _named(true))
        write_posetrack18(tmp_path / "pred" / f"{true.name}_mpii.json", _named(predicted))
    options = PoseTrackOptions(("toy", "hota"))
    of_files = evaluate_posetrack(tmp_path / "gt", tmp_path / "pred", options, per_sequence=True)
    in_memory = evaluate_sequences(*zip(*pairs, strict=True), options, per_sequence=True)
    for report in (of_files, in_memory):
        assert report.to_dict()["posetrack"]["missing"] == [25.0] * 16
        assert report_tables(report)[-1].title == "Missing (%)"
        assert [values[-1] for _, values in report_tables(report)[-1].rows] == [0.0, 50.0, 25.0]


def _named(sequence):
    frames = (dataclasses.replace(f, file_name=f"images/000001_mpii_test/{f.index:06d}.jpg") for f in sequence.frames)
    return dataclasses.replace(sequence, frames=tuple(frames))


def test_an_added_metric_is_compared_with_fewer_as_better(toy_metric, pairs):
    options = PoseTrackOptions(("toy",))
    truth = [true for true, _ in pairs]
    worse = evaluate_sequences(truth, [predicted for _, predicted in pairs], options, per_sequence=True)
    better = evaluate_sequences(truth, truth, options, per_sequence=True)
    table = comparison_table(worse, better, "missing")
    assert table.title == "Missing, first minus second (percentage points)"
    assert [values[-1] for _, values in table.rows] == [0.0, 50.0, 25.0]


def test_an_added_metric_is_on_pages_and_comes_back_from_their_data(toy_metric, pairs, tmp_path):
    report = evaluate_sequences(*zip(*pairs, strict=True), PoseTrackOptions(("toy",)), per_sequence=True)
    write_report(tmp_path / "a.html", report, title="toy", provenance={})
    page = Page((tmp_path / "a.html").read_text())
    assert "Missing joints" in page.text("dt") and "Missing by sequence (%)" in page.text("figcaption")
    assert page.table("Each joint (%)")["nose"][0][0] == "25.0"
    description = next(text for text in page.text("desc") if "best sequence first" in text)
    assert "Best: 000001_whole with 0.0; worst: 000002_halved with 50.0" in description
    path = write_evaluation(Evaluation(tmp_path, {}, report))
    again = read_evaluation(path.parent).report
    np.testing.assert_array_equal(again.total.blocks["missing"]["Missing"], [25.0] * 16)
    truth = [true for true, _ in pairs]
    better = evaluate_sequences(truth, truth, PoseTrackOptions(("toy",)), per_sequence=True)
    write_comparison(tmp_path / "b.html", report, better, names=("old", "new"), provenance={})
    assert (
        Page((tmp_path / "b.html").read_text()).table("Change of Missing (percentage points)")["total"][-1][0]
        == "+25.0"
    )


def test_a_search_finds_the_fewest_of_an_added_metric(toy_metric, pairs):
    cases = [Case(*pair) for pair in pairs]

    def score(settings):
        return score_tracker(settings, cases, TrackerChoice(), "Missing")

    trials = search_grid(score, {"min_joint_score": [0.9, 0.0, 0.5]}, "Missing", higher_is_better=False)
    assert [trial.settings["min_joint_score"] for trial in trials] == [0.0, 0.5, 0.9]
    assert list(trials[0].scores) == ["Missing", "AP", "MOTA", "HOTA", "AssA"]
