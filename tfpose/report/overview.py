"""The page of one or several evaluations: metrics, curves, tracks, frames and video, all from files."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Callable, Mapping

import numpy as np

from tfpose.metrics.posetrack_metrics import PoseTrackReport
from tfpose.metrics.report import Table, metric_tables
from tfpose.report.charts import joint_in_words
from tfpose.report.evaluation_file import Evaluation
from tfpose.report.media import gallery_section, video_section
from tfpose.report.page import Card, Section, ShownTable, write_page
from tfpose.report.scores import (
    TABLES_TEXT,
    curves_section,
    joint_section,
    sequence_section,
    summary_cards,
    summary_text,
)
from tfpose.report.timeline import tracks_section
from tfpose.report.training import training_section

_COCO_CARDS = {"AP": "mean over thresholds of similarity", "AP50": "at a similarity of 0.5", "AR": "average recall"}
_CORRECT_KEYPOINTS = {"pck": "PCK@0.2", "pckh": "PCKh@0.5"}
_CORRECT_KEYPOINTS_NOTES = {"pck": "joints within 0.2 torso diagonals", "pckh": "joints within half a head"}


def write_overview(path: str | pathlib.Path, title: str, evaluations: Mapping[str, Evaluation]) -> None:
    """Writes the page of some evaluations, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: Path of the page; its folder must exist.
        title: Title of the page.
        evaluations: The evaluations by their names for readers, at least one.

    Raises:
        FileNotFoundError: A picture or video is missing.
        ValueError: A picture or video is of another kind or too large, or there is no evaluation.
        OSError: The files cannot be written.
    """
    write_page(path, title, overview_sections(evaluations), _provenance(evaluations))


def name_of_results(directory: pathlib.Path) -> str:
    """Returns a name for the system whose results are in a folder: the folder's name in words."""
    return directory.resolve().name.replace("_", " ").strip() or "results"


def overview_sections(evaluations: Mapping[str, Evaluation]) -> list[Section]:
    """Returns the sections of `write_overview`, without those that have no content in any evaluation.

    Raises:
        ValueError: There is no evaluation.
    """
    if not evaluations:
        raise ValueError("a page must have at least one evaluation, got none")
    sections: list[Section] = []
    for build in _TOPICS:
        built = {name: build(evaluation) for name, evaluation in evaluations.items()}
        parts = {name: section for name, section in built.items() if section is not None}
        if parts:
            sections += list(parts.values()) if len(evaluations) == 1 else _as_parts(parts)
        if build is _summary_section:
            sections += _tables_sections(evaluations)
    return sections


def _as_parts(parts: Mapping[str, Section]) -> list[Section]:
    """Returns one section with a part for each evaluation; a text that all share is shown once."""
    first = next(iter(parts.values()))
    are_alike = len(parts) > 1 and len({section.text for section in parts.values()}) == 1
    head = Section(first.id, first.title, first.text if are_alike else "")
    slugs = _slugs(list(parts))
    return [
        head,
        *(
            dataclasses.replace(
                section,
                id=f"{section.id}-{slugs[name]}",
                title=name,
                text="" if are_alike else section.text,
                charts=[chart.with_prefix(slugs[name].replace("-", "_")) for chart in section.charts],
                is_part=True,
            )
            for name, section in parts.items()
        ),
    ]


def _slugs(names: list[str]) -> dict[str, str]:
    """Returns distinct lower-case words for ids; they are numbered, since names can be in any script."""
    words = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-") for name in names)
    return {name: f"s{number}-{word}".rstrip("-") for number, (name, word) in enumerate(zip(names, words, strict=True))}


def _summary_section(evaluation: Evaluation) -> Section:
    report = evaluation.report
    cards = [*(summary_cards(report.total) if report is not None else ()), *_picture_cards(evaluation)]
    text = summary_text(report) if report is not None else f"{evaluation.provenance.get('frames', 'All')} pictures."
    return Section("summary", "Summary", text, cards=cards)


def _picture_cards(evaluation: Evaluation) -> list[Card]:
    """Returns cards of COCO's AP and of PCK, where they are known."""
    cards = [
        Card(f"COCO {n}", evaluation.coco[n], note=note) for n, note in _COCO_CARDS.items() if n in evaluation.coco
    ]
    for name, measure in evaluation.correct_keypoints.items():
        note = _CORRECT_KEYPOINTS_NOTES.get(name, "")
        cards.append(Card(_CORRECT_KEYPOINTS.get(name, name), float(measure["total"]), note=note))
    return cards


def _tables_sections(evaluations: Mapping[str, Evaluation]) -> list[Section]:
    rows = [(name, e.report.total) for name, e in evaluations.items() if e.report is not None]
    tables = [*metric_tables(rows), *_coco_tables(evaluations)]
    shown = [ShownTable(table, row_kind="system") for table in tables]
    text = TABLES_TEXT if rows else "COCO metrics, by object keypoint similarity."
    if len({_scored_data(evaluation) for evaluation in evaluations.values()}) > 1:
        text += " The systems were scored on different data, so their metrics are not comparable."
    return [Section("tables", "Tables", text, tables=shown)] if shown else []


def _scored_data(evaluation: Evaluation) -> tuple:
    """Returns what identifies the scored data, as far as it is known."""
    report = evaluation.report
    if report is None:
        return (evaluation.provenance.get("labels"), evaluation.provenance.get("frames"))
    return (*sorted(report.sequences), report.num_sequences, report.total.num_frames)


def _coco_tables(evaluations: Mapping[str, Evaluation]) -> list[Table]:
    known = {name: evaluation.coco for name, evaluation in evaluations.items() if evaluation.coco}
    columns = tuple(dict.fromkeys(itertools.chain.from_iterable(known.values())))
    rows = tuple((name, np.array([coco.get(column, np.nan) for column in columns])) for name, coco in known.items())
    return [Table("COCO keypoints (%)", columns, rows)] if rows else []


def _training_section(evaluation: Evaluation) -> Section | None:
    return None if evaluation.training is None else training_section(evaluation.training)


def _curves_section(evaluation: Evaluation) -> Section | None:
    report = evaluation.report
    if report is None or report.total.average_precision is None or not evaluation.curves:
        return None
    return curves_section(report.total.average_precision, evaluation.curves)


def _joint_section(evaluation: Evaluation) -> Section | None:
    tables = _keypoint_tables(evaluation)
    if evaluation.report is None:
        return Section("joints", "Joints", tables=tables) if tables else None
    section = joint_section(evaluation.report.total)
    return dataclasses.replace(section, tables=[*section.tables, *tables])


def _keypoint_tables(evaluation: Evaluation) -> list[ShownTable]:
    """Returns a table of the PCK of each joint, if there is any."""
    measures = {_CORRECT_KEYPOINTS.get(name, name): m["joints"] for name, m in evaluation.correct_keypoints.items()}
    joints = tuple(dict.fromkeys(itertools.chain.from_iterable(measures.values())))
    rows = tuple((joint_in_words(j), np.array([m.get(j, np.nan) for m in measures.values()])) for j in joints)
    return [ShownTable(Table("Correct keypoints (%)", tuple(measures), rows), row_kind="joint")] if rows else []


def _sequence_section(evaluation: Evaluation) -> Section | None:
    report: PoseTrackReport | None = evaluation.report
    if report is None or not report.sequences:
        return None
    section = sequence_section(report)
    tables = metric_tables([*report.sequences.items(), ("total", report.total)])
    return dataclasses.replace(section, tables=[ShownTable(table) for table in tables])


def _tracks_section(evaluation: Evaluation) -> Section | None:
    return tracks_section(evaluation.matches) if evaluation.matches else None


def _frames_section(evaluation: Evaluation) -> Section | None:
    return gallery_section(evaluation) if evaluation.gallery else None


def _video_section(evaluation: Evaluation) -> Section | None:
    return None if evaluation.video is None else video_section(evaluation.directory, evaluation.video)


_TOPICS: tuple[Callable[[Evaluation], Section | None], ...] = (
    _summary_section,
    _training_section,
    _curves_section,
    _joint_section,
    _sequence_section,
    _tracks_section,
    _frames_section,
    _video_section,
)


def _provenance(evaluations: Mapping[str, Evaluation]) -> Mapping:
    if len(evaluations) == 1:
        return next(iter(evaluations.values())).provenance
    return {name: evaluation.provenance for name, evaluation in evaluations.items()}
