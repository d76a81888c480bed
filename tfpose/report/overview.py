"""The page of one or several evaluations: a comparison of all, then folded details of each, all from files."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice

import numpy as np

from tfpose.metrics.report import Table, metric_tables
from tfpose.report.charts import joint_in_words
from tfpose.report.comparisons import (
    CORRECT_KEYPOINTS,
    Evaluations,
    joint_groups_chart,
    reports_of,
    runs_section,
    settings_section,
    summary_section,
    systems_by_sequence,
    tables_section,
    tracks_totals_table,
    training_runs,
)
from tfpose.report.evaluation_file import Evaluation
from tfpose.report.media import first_frames, gallery_part, split_gallery, video_grid
from tfpose.report.page import ProvenanceTable, Section, ShownTable, provenance_table, write_page
from tfpose.report.scores import curves_section, joint_section, sequence_section
from tfpose.report.timeline import tracks_section
from tfpose.report.training import training_chart

# Pictures and videos of further systems are folded.
_MOST_OPEN_SYSTEMS = 2
_VIDEO_TEXT = (
    "Predicted people, colored by track, with ids. A WebM video: a browser that cannot play it shows one frame."
)


def write_overview(
    path: str | pathlib.Path, title: str, evaluations: Mapping[str, Evaluation], origin: str = ""
) -> None:
    """Writes the page of some evaluations, and its charts as SVG files into `<stem>_pictures` beside it.

    Args:
        path: Path of the page; its folder must exist.
        title: Title of the page.
        evaluations: The evaluations by their names for readers, at least one.
        origin: The command line and the date that the page comes from, for its last line.

    Raises:
        FileNotFoundError: A picture or video is missing.
        ValueError: A picture or video is of another kind or too large, or there is no evaluation.
        OSError: The files cannot be written.
    """
    write_page(path, title, overview_sections(evaluations), _provenance(evaluations), origin)


def name_of_results(directory: pathlib.Path) -> str:
    """Returns a name for the system whose results are in a folder: the folder's name in words."""
    return directory.resolve().name.replace("_", " ").strip() or "results"


def names_of_results(directories: Sequence[pathlib.Path]) -> list[str]:
    """Returns distinct names for the systems whose results are in folders, with the folders above where names repeat.

    A folder that is given twice has one name twice.
    """
    names = [name_of_results(directory) for directory in directories]
    places = [directory.resolve() for directory in directories]
    for depth in range(2, max((len(place.parts) for place in places), default=0)):
        repeated = {name for name in names if names.count(name) > 1}
        longer = ["/".join(part.replace("_", " ").strip() for part in place.parts[1:][-depth:]) for place in places]
        names = [new if name in repeated else name for name, new in zip(names, longer, strict=True)]
    return names


def overview_sections(evaluations: Evaluations) -> list[Section]:
    """Returns the sections of `write_overview`, without those that have no content in any evaluation.

    Raises:
        ValueError: There is no evaluation.
    """
    if not evaluations:
        raise ValueError("a page must have at least one evaluation, got none")
    sections: list[Section] = []
    for build_head, build_details in _TOPICS:
        head = build_head(evaluations)
        if head is not None:
            found = {name: build_details(name, evaluations) for name in evaluations}
            details = {name: section for name, section in found.items() if section is not None}
            sections += [head, *_folded(head, details, is_alone=len(evaluations) == 1)]
    return sections


def _folded(head: Section, details: Mapping[str, Section], is_alone: bool) -> list[Section]:
    """Returns a folded part for each evaluation."""
    slugs = _slugs(list(details))
    return [
        dataclasses.replace(
            section,
            id=f"{head.id}-{slugs[name]}",
            title=f"{head.title}: details" if is_alone else f"{head.title}: details of {name}",
            charts=[chart.with_prefix(slugs[name].replace("-", "_")) for chart in section.charts],
            is_part=True,
            is_folded=True,
        )
        for name, section in details.items()
    ]


def _slugs(names: list[str]) -> dict[str, str]:
    """Returns distinct lower-case words for ids; they are numbered, since names can be in any script."""
    words = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-") for name in names)
    return {name: f"s{number}-{word}".rstrip("-") for number, (name, word) in enumerate(zip(names, words, strict=True))}


def _nothing(name: str, evaluations: Evaluations) -> None:
    del name, evaluations


def _training_details(name: str, evaluations: Evaluations) -> Section | None:
    """Returns the curves of a run by itself, with the learning rate, where the head shows several runs."""
    tables = evaluations[name].training
    if tables is None or len(training_runs(evaluations)) < 2:
        return None
    return Section("training", "Training", charts=[training_chart(tables)])


def _joints_head(evaluations: Evaluations) -> Section | None:
    reports = reports_of(evaluations)
    if not reports:
        keypoints = any(evaluation.correct_keypoints for evaluation in evaluations.values())
        return Section("joints", "Joints") if keypoints else None
    if len(evaluations) > 1:
        return Section("joints", "Joints", charts=[joint_groups_chart(reports)])
    section = joint_section(next(iter(reports.values())).total)
    return dataclasses.replace(section, tables=())


def _joints_details(name: str, evaluations: Evaluations) -> Section | None:
    evaluation = evaluations[name]
    report, tables = evaluation.report, _keypoint_tables(evaluation)
    if report is None:
        return Section("joints", "Joints", tables=tables) if tables else None
    section = joint_section(report.total)
    # The only system has its chart above.
    charts = section.charts if len(evaluations) > 1 else []
    text = ""
    if report.total.average_precision is not None and evaluation.curves:
        curves = curves_section(report.total.average_precision, evaluation.curves)
        charts, text = [*charts, *curves.charts], curves.text
    return dataclasses.replace(section, text=text, charts=charts, tables=[*section.tables, *tables])


def _keypoint_tables(evaluation: Evaluation) -> list[ShownTable]:
    """Returns a table of the PCK of each joint, if there is any."""
    measures = {CORRECT_KEYPOINTS.get(name, name): m["joints"] for name, m in evaluation.correct_keypoints.items()}
    joints = tuple(dict.fromkeys(chain.from_iterable(measures.values())))
    rows = tuple((joint_in_words(j), np.array([m.get(j, np.nan) for m in measures.values()])) for j in joints)
    return [ShownTable(Table("Correct keypoints (%)", tuple(measures), rows), row_kind="joint")] if rows else []


def _sequences_head(evaluations: Evaluations) -> Section | None:
    reports = reports_of(evaluations)
    if len(reports) > 1:
        return systems_by_sequence(reports)
    known = [report for report in reports.values() if report.sequences]
    return sequence_section(known[0]) if known else None


def _sequences_details(name: str, evaluations: Evaluations) -> Section | None:
    report = evaluations[name].report
    if report is None or not report.sequences:
        return None
    tables = metric_tables([*report.sequences.items(), ("total", report.total)])
    return Section("sequences", "Sequences", tables=[ShownTable(table) for table in tables])


def _tracks_head(evaluations: Evaluations) -> Section | None:
    if not any(evaluation.matches for evaluation in evaluations.values()):
        return None
    text = "A prediction is assigned to the person with whom it shares most joints. MOTA counts switches joint by "
    text += "joint, so its numbers differ."
    return Section("tracks", "Tracks", text, tables=[tracks_totals_table(evaluations)])


def _tracks_details(name: str, evaluations: Evaluations) -> Section | None:
    matches = evaluations[name].matches
    return tracks_section(matches) if matches else None


def _frames_head(evaluations: Evaluations) -> Section | None:
    known = {name: evaluation for name, evaluation in evaluations.items() if evaluation.gallery}
    if not known:
        return None
    names = dict.fromkeys(evaluation.score_name for evaluation in known.values())
    text = f"Annotated people on the left or above, predicted ones on the right or below. {' '.join(names)}"
    return Section("frames", "Best and worst", text.rstrip(), html=first_frames(_first(known)))


def _frames_details(name: str, evaluations: Evaluations) -> Section | None:
    evaluation = evaluations[name]
    is_open = name in _first({n: e for n, e in evaluations.items() if e.gallery})
    frames = split_gallery(evaluation)[1] if is_open else evaluation.gallery
    return gallery_part(evaluation, frames) if frames else None


def _video_head(evaluations: Evaluations) -> Section | None:
    known = {name: evaluation for name, evaluation in evaluations.items() if evaluation.video is not None}
    return Section("video", "Video", _VIDEO_TEXT, html=video_grid(_first(known))) if known else None


def _video_details(name: str, evaluations: Evaluations) -> Section | None:
    known = {n: evaluation for n, evaluation in evaluations.items() if evaluation.video is not None}
    if name not in known or name in _first(known):
        return None
    return Section("video", "Video", html=video_grid({name: evaluations[name]}))


def _first(evaluations: Evaluations) -> dict[str, Evaluation]:
    """Returns the evaluations whose pictures and videos are not folded."""
    return dict(islice(evaluations.items(), _MOST_OPEN_SYSTEMS))


# Of each topic: the section that compares all evaluations, and the folded part of one evaluation.
_TOPICS: Sequence[tuple[Callable[[Evaluations], Section | None], Callable[[str, Evaluations], Section | None]]] = (
    (summary_section, _nothing),
    (settings_section, _nothing),
    (runs_section, _training_details),
    (tables_section, _nothing),
    (_joints_head, _joints_details),
    (_sequences_head, _sequences_details),
    (_tracks_head, _tracks_details),
    (_frames_head, _frames_details),
    (_video_head, _video_details),
)


def _provenance(evaluations: Evaluations) -> ProvenanceTable:
    return provenance_table({name: _with_origin(evaluation) for name, evaluation in evaluations.items()})


def _with_origin(evaluation: Evaluation) -> dict:
    origin = {"command": evaluation.command, "date": evaluation.date}
    return {**{name: value for name, value in origin.items() if value}, **evaluation.provenance}
