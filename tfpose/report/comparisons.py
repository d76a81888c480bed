"""The open sections of a page: what systems, settings and training runs have in common and where they differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfpose.metrics.catalog import METRICS, SEQUENCE_CHART
from tfpose.metrics.posetrack_metrics import PoseTrackReport, main_columns
from tfpose.metrics.report import Table, group_means, metric_tables
from tfpose.report.evaluation_file import Evaluation, TrainingTables
from tfpose.report.page import Card, Section, ShownTable, flatten
from tfpose.report.scores import TABLES_TEXT, interval_text, summary_cards, summary_text
from tfpose.report.svg import Chart
from tfpose.report.system_charts import SYSTEM_STYLES, Score, groups_chart, scores_chart, sequences_chart
from tfpose.report.timeline import TRACK_COLUMNS, tracks_totals
from tfpose.report.training import describe_training, runs_chart, training_section

_COCO_CARDS = {"AP": "mean over thresholds of similarity", "AP50": "at a similarity of 0.5", "AR": "average recall"}
CORRECT_KEYPOINTS = {"pck": "PCK@0.2", "pckh": "PCKh@0.5"}
_CORRECT_KEYPOINTS_NOTES = {"pck": "joints within 0.2 torso diagonals", "pckh": "joints within half a head"}
# Entries of the provenance that say which network was used, or which poses were tracked.
_SOURCE_ENTRIES = ("weights", "poses")
# Entries that differ without being settings.
_NO_SETTINGS = ("boxes",)

Evaluations = Mapping[str, Evaluation]


def summary_section(evaluations: Evaluations) -> Section:
    """Builds the section of the main metrics: cards of one system, or a chart and a table of several."""
    reports = reports_of(evaluations)
    first = next(iter(evaluations.values()))
    text = summary_text(first.report) if first.report else f"{first.provenance.get('frames', 'All')} pictures."
    text = f"{text} {interval_text(reports)}".rstrip()
    cards = {name: _cards(evaluation) for name, evaluation in evaluations.items()}
    if len(evaluations) == 1:
        return Section("summary", "Summary", text, cards=next(iter(cards.values())))
    if _have_other_data(evaluations):
        text = "The systems were scored on different data, so their metrics are not comparable."
        text = f"{text} {interval_text(reports)}".rstrip()
    scores = {name: main_scores(evaluation) for name, evaluation in evaluations.items()}
    names = dict.fromkeys(label for of_system in scores.values() for label in of_system)
    charts = [scores_chart("systems", f"{', '.join(names)} of each system", scores)] if names else []
    return Section("summary", "Systems", text, charts=charts, tables=[_summary_table(cards)])


def reports_of(evaluations: Evaluations) -> dict[str, PoseTrackReport]:
    """Returns PoseTrack's metrics of the systems that have some."""
    return {name: evaluation.report for name, evaluation in evaluations.items() if evaluation.report is not None}


def _cards(evaluation: Evaluation) -> list[Card]:
    report = evaluation.report
    cards = list(summary_cards(report.total, report.intervals)) if report is not None else []
    cards += [
        Card(f"COCO {n}", evaluation.coco[n], note=note) for n, note in _COCO_CARDS.items() if n in evaluation.coco
    ]
    for name, measure in evaluation.correct_keypoints.items():
        note = _CORRECT_KEYPOINTS_NOTES.get(name, "")
        cards.append(Card(CORRECT_KEYPOINTS.get(name, name), float(measure["total"]), note=note))
    return cards


def _summary_table(cards: Mapping[str, Sequence[Card]]) -> ShownTable:
    columns = tuple(dict.fromkeys(card.label for of_system in cards.values() for card in of_system))
    values = {name: {card.label: card.value for card in of_system} for name, of_system in cards.items()}
    rows = tuple((name, np.array([v.get(column, np.nan) for column in columns])) for name, v in values.items())
    intervals = {(n, card.label): card.interval for n, c in cards.items() for card in c if card.interval is not None}
    return ShownTable(Table("Main metrics (%)", columns, rows), row_kind="system", intervals=intervals)


def main_scores(evaluation: Evaluation) -> dict[str, Score]:
    """Returns the metric of each group of PoseTrack's metrics, or COCO's AP of photos, with its interval."""
    report = evaluation.report
    if report is None:
        return {"COCO AP": Score(evaluation.coco["AP"])} if "AP" in evaluation.coco else {}
    return {
        found.column.card_label or label: Score(
            float(found.values[-1]), report.intervals.get(METRICS[found.group].main_block)
        )
        for label, found in main_columns(report.total).items()
    }


def settings_section(evaluations: Evaluations) -> Section | None:
    """Builds the section of results of one network, or one folder of poses, with different settings; None without."""
    groups: dict[tuple, list[str]] = {}
    for name, evaluation in evaluations.items():
        source = next((evaluation.provenance[e] for e in _SOURCE_ENTRIES if evaluation.provenance.get(e)), None)
        groups.setdefault((name,) if source is None else ("source", str(source)), []).append(name)
    scores: dict[str, dict[str, Score]] = {}
    for names in groups.values():
        if len(names) > 1:
            labels = _setting_labels({name: evaluations[name] for name in names})
            scores |= {labels[name]: main_scores(evaluations[name]) for name in names}
    if not any(scores.values()):
        return None
    text = "Results of the same network, or the same poses, with different settings. Each row names the settings that "
    text += "differ within its group; the table of the provenance holds their full names."
    return Section("settings", "Settings", text, charts=[scores_chart("settings", "Metrics of each setting", scores)])


def _setting_labels(evaluations: Evaluations) -> dict[str, str]:
    """Returns the name of each result and the settings in which it differs from the others."""
    flat = {name: dict(flatten(evaluation.provenance)) for name, evaluation in evaluations.items()}
    entries = dict.fromkeys(entry for values in flat.values() for entry in values)
    differing = [e for e in entries if e not in _NO_SETTINGS and len({v.get(e) for v in flat.values()}) > 1]
    words = {
        name: ", ".join(f"{entry.rpartition('.')[2]}={values[entry]}" for entry in differing if entry in values)
        for name, values in flat.items()
    }
    return {name: f"{name}: {text}" if text else name for name, text in words.items()}


def runs_section(evaluations: Evaluations) -> Section | None:
    """Builds the section of the training runs: the curves of one run, or one chart of several; None without runs."""
    runs = training_runs(evaluations)
    if not runs:
        return None
    if len(runs) == 1:
        return training_section(next(iter(runs.values())))
    drawn = dict(list(runs.items())[: len(SYSTEM_STYLES)])
    text = " ".join(f"{name}: {describe_training(tables)}" for name, tables in drawn.items())
    return Section("training", "Training", text + _left_out(runs, "runs"), charts=[runs_chart(drawn)])


def training_runs(evaluations: Evaluations) -> dict[str, TrainingTables]:
    """Returns the distinct training tables by the names of the systems that come from them."""
    names: dict[str, list[str]] = {}
    tables: dict[str, TrainingTables] = {}
    for name, evaluation in evaluations.items():
        if evaluation.training is not None:
            key = repr(evaluation.training)
            names.setdefault(key, []).append(name)
            tables[key] = evaluation.training
    return {", ".join(names[key]): found for key, found in tables.items()}


def _left_out(everything: Mapping, noun: str) -> str:
    most = len(SYSTEM_STYLES)
    return f" The chart shows the first {most} of {len(everything)} {noun}." if len(everything) > most else ""


def tables_section(evaluations: Evaluations) -> Section | None:
    """Builds the section of the tables of the papers, a row for each system."""
    rows = [(name, report.total) for name, report in reports_of(evaluations).items()]
    tables = [*metric_tables(rows), *_coco_tables(evaluations)]
    if not tables:
        return None
    text = TABLES_TEXT if rows else "COCO metrics, by object keypoint similarity."
    return Section("tables", "Tables", text, tables=[ShownTable(table, row_kind="system") for table in tables])


def _have_other_data(evaluations: Evaluations) -> bool:
    return len({_scored_data(evaluation) for evaluation in evaluations.values()}) > 1


def _scored_data(evaluation: Evaluation) -> tuple:
    """Returns what identifies the scored data, as far as it is known."""
    report = evaluation.report
    if report is None:
        return (evaluation.provenance.get("labels"), evaluation.provenance.get("frames"))
    return (*sorted(report.sequences), report.num_sequences, report.total.num_frames)


def _coco_tables(evaluations: Evaluations) -> list[Table]:
    known = {name: evaluation.coco for name, evaluation in evaluations.items() if evaluation.coco}
    columns = tuple(dict.fromkeys(itertools.chain.from_iterable(known.values())))
    rows = tuple((name, np.array([coco.get(column, np.nan) for column in columns])) for name, coco in known.items())
    return [Table("COCO keypoints (%)", columns, rows)] if rows else []


def joint_groups_chart(reports: Mapping[str, PoseTrackReport]) -> Chart:
    """Draws the main metrics of systems by joint group."""
    drawn = list(reports.items())[: len(SYSTEM_STYLES)]
    columns = {name: main_columns(report.total) for name, report in drawn}
    labels = dict.fromkeys(label for found in columns.values() for label in found)
    nothing = np.full(len(group_means(np.zeros(16))), np.nan)
    return groups_chart(
        {
            label: {name: group_means(f[label].values) if label in f else nothing for name, f in columns.items()}
            for label in labels
        }
    )


def systems_by_sequence(reports: Mapping[str, PoseTrackReport]) -> Section | None:
    """Builds the section of one metric by sequence for several systems; None without metrics by sequence."""
    known = {name: report for name, report in reports.items() if report.sequences}
    drawn = dict(list(known.items())[: len(SYSTEM_STYLES)])
    if not drawn:
        return None
    label = _sequence_metric(drawn.values())
    values = {
        name: {n: float(c[label].values[-1]) for n, m in report.sequences.items() if label in (c := main_columns(m))}
        for name, report in drawn.items()
    }
    column = next(main_columns(r.total)[label] for r in drawn.values() if label in main_columns(r.total))
    text = f"{label} of each sequence alone, in the order of the mean over the systems. Values below −100 are drawn at "
    text += f"−100. {METRICS[column.group].sequence_note}"
    chart = sequences_chart(label, values, column.column.higher_is_better)
    return Section("sequences", "Sequences", text.rstrip() + _left_out(known, "systems"), charts=[chart])


def _sequence_metric(reports: Iterable[PoseTrackReport]) -> str:
    """Returns the label of the metric that charts by sequence show."""
    found = {label: c.group for report in reports for label, c in main_columns(report.total).items()}
    return next((label for label, group in found.items() if group == SEQUENCE_CHART), next(iter(found)))


def tracks_totals_table(evaluations: Evaluations) -> ShownTable:
    """Returns the table of people, tracks and errors of each system that has identities."""
    rows = tuple(tracks_totals(name, e.matches) for name, e in evaluations.items() if e.matches)
    return ShownTable(Table("Tracks of all videos", TRACK_COLUMNS, rows), row_kind="system", is_count=True)
