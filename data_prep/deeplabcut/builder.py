"""Reads the labels of a DeepLabCut project with one animal or with several in each image."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from data_prep.deeplabcut.project import Project, read_project
from data_prep.deeplabcut.tables import LabelTable, read_csv_table, read_h5_table
from data_prep.labeled_videos import NO_TRACK, LabeledVideo, SplitChoice, build_splits, describe_splits, split_videos
from data_prep.shards import PoseDatasetBuilder
from data_prep.source import Source, digest_files, images_outside_note
from tfpose.messages import quote
from tfpose.skeletons import Skeleton, skeleton_from_names

_LABELS, _TABLE = "labeled-data", "CollectedData_"
# The name of body parts that belong to no animal, such as the corners of a cage.
_NO_ANIMAL = "single"
# Programs write coordinates into CSV files with fewer digits.
_SAME_PIXELS = 0.01


class Builder(PoseDatasetBuilder):
    """DeepLabCut labels as records."""

    HOMEPAGE = "https://www.deeplabcut.org"


def read_source(
    source: pathlib.Path,
    left_right_pairs: Sequence[Sequence[str]] | None = None,
    sigmas: Sequence[float] | None = None,
    choice: SplitChoice | None = None,
) -> Source:
    """Reads labeled-data/VIDEO/CollectedData_SCORER.csv or .h5 of each video, and config.yaml if it is there.

    Args:
        source: Folder of the project.
        left_right_pairs: Pairs of body parts; None pairs the names that differ only in the side.
        sigmas: OKS constants; None takes those of the COCO joints with similar names.
        choice: Which frames become `val`; None takes the last tenth of each video.

    Raises:
        FileNotFoundError: There are no labels.
        ValueError: A file is not valid.
    """
    choice = choice or SplitChoice()
    project = read_project(source)
    files, other_videos = _find_tables(source, project)
    tables = [read_csv_table(path) if path.suffix == ".csv" else read_h5_table(path) for path in files]
    for table in tables:
        _check_twin(table)
    skeleton, notes = _skeleton(project, tables, left_right_pairs, sigmas)
    videos, more_notes = _read_videos(tables, source, skeleton, project.has_identities)
    parts = split_videos(videos, choice)
    options = {"pairs": left_right_pairs, "sigmas": sigmas, "split": dataclasses.asdict(choice)}
    digest = digest_files([*files, *([project.path] if project.path else [])], options)
    paths = [pathlib.Path(path) for video in videos for path in video.image_paths]
    notes = (*other_videos, *notes, *more_notes, *images_outside_note(paths, source), describe_splits(parts, choice))
    return Source(build_splits(parts), skeleton, digest, notes=notes)


def _find_tables(source: pathlib.Path, project: Project) -> tuple[list[pathlib.Path], tuple[str, ...]]:
    """Returns the tables of the videos of a project, and a note on other videos with labels.

    DeepLabCut itself takes the videos of config.yaml only; a project of cropped videos still has the labels of the
    whole ones.
    """
    files = [path for folder in sorted((source / _LABELS).glob("*/")) if (path := find_table(folder, project.scorer))]
    if not files:
        raise FileNotFoundError(f"{source}: must contain {_LABELS}/VIDEO/{_TABLE}SCORER.csv or .h5, got no such file")
    listed = [path for path in files if path.parent.name in project.videos]
    others = [path.parent.name for path in files if path not in listed]
    if not listed or not others:
        return files, ()
    return listed, (f"videos that config.yaml does not list were left out: {', '.join(others)}",)


def find_table(folder: pathlib.Path, scorer: str) -> pathlib.Path | None:
    """Returns the table of labels in the folder of a video, the CSV file if there are both; None if there is none.

    Args:
        folder: Folder of a video.
        scorer: Name of the person whose labels are wanted; empty if there is one person only.

    Raises:
        ValueError: There are tables of several people, none of whom is the scorer.
    """
    names = sorted({path.stem for ending in (".csv", ".h5") for path in folder.glob(f"{_TABLE}*{ending}")})
    if not names:
        return None
    if len(names) > 1 and f"{_TABLE}{scorer}" not in names:
        raise ValueError(
            f"{folder}: must hold one {_TABLE}SCORER, or that of 'scorer' in config.yaml, got {', '.join(names)}"
        )
    name = names[0] if len(names) == 1 else f"{_TABLE}{scorer}"
    return next(path for ending in (".csv", ".h5") if (path := folder / f"{name}{ending}").is_file())


def _check_twin(table: LabelTable) -> None:
    """Checks that the HDF5 file beside a CSV file, from which DeepLabCut trains, holds the same labels.

    Raises:
        ValueError: It holds others: one of the two files is out of date.
    """
    path = table.path.with_suffix(".h5")
    if table.path == path or not path.is_file():
        return
    try:
        twin = read_h5_table(path)
    except ValueError:
        # pandas writes forms of which only it is the reader.
        return
    points, others = (_points_by_name(of_file) for of_file in (table, twin))
    differing = [key for key in sorted({*points, *others}) if not _are_equal(points.get(key), others.get(key))]
    if differing:
        image, animal, part = differing[0]
        found = [shown.get(differing[0], np.full(2, np.nan)).tolist() for shown in (points, others)]
        raise ValueError(
            f"{table.path}: must hold the labels of {path.name}, got others for {len(differing)} points, such as "
            f"{' of '.join(filter(None, (part, animal)))} in {image}: {found[0]} and {found[1]}; "
            "remove the file that is out of date"
        )


def _points_by_name(table: LabelTable) -> dict[tuple[str, str, str], np.ndarray]:
    """Returns the labeled points [2] in pixels by image, animal and body part."""
    return {
        (image.rpartition("/")[2], *key): point
        for key, points in table.points.items()
        for image, point in zip(table.images, points, strict=True)
        if np.isfinite(point).all()
    }


def _are_equal(point: np.ndarray | None, other: np.ndarray | None) -> bool:
    return point is not None and other is not None and bool(np.abs(point - other).max() < _SAME_PIXELS)


def _skeleton(
    project: Project,
    tables: Sequence[LabelTable],
    left_right_pairs: Sequence[Sequence[str]] | None,
    sigmas: Sequence[float] | None,
) -> tuple[Skeleton, tuple[str, ...]]:
    """Returns the skeleton of the animals, and notes on what the tables hold besides."""
    labeled = dict.fromkeys(
        part for table in tables for animal, part in table.points if not _is_no_animal(table, animal)
    )
    joints = project.bodyparts or tuple(labeled)
    left_out = [part for part in labeled if part not in joints]
    if not set(labeled) & set(joints):
        where = project.path or tables[0].path
        found = ", ".join(labeled) or "none"
        raise ValueError(f"{where}: the body parts ({', '.join(joints)}) must be those of the labels, got {found}")
    notes = []
    if left_out:
        notes.append(f"body parts that config.yaml does not list were left out: {', '.join(left_out)}")
    if any(_is_no_animal(table, animal) for table in tables for animal in table.individuals):
        notes.append(f"body parts of {_NO_ANIMAL!r}, which belong to no animal, were left out")
    try:
        skeleton = skeleton_from_names(project.name, joints, project.limbs, left_right_pairs, sigmas)
    except ValueError as error:
        raise ValueError(f"{project.path or tables[0].path}: {error}") from error
    return skeleton, tuple(notes)


def _is_no_animal(table: LabelTable, individual: str) -> bool:
    return individual == _NO_ANIMAL and len(table.individuals) > 1


def _read_videos(
    tables: Sequence[LabelTable], source: pathlib.Path, skeleton: Skeleton, has_identities: bool
) -> tuple[list[LabeledVideo], tuple[str, ...]]:
    """Returns the labeled frames of each table, and a note that counts the frames without labels."""
    identities: dict[str, int] = {}
    videos = []
    for table in tables:
        video = _read_video(table, source, skeleton)
        animals = _animals(table)
        tracks = [identities.setdefault(animal, len(identities)) if has_identities else NO_TRACK for animal in animals]
        videos.append(dataclasses.replace(video, track_ids=np.tile(tracks, len(table.images))).without_empty())
    num_empty = sum(len(table.images) for table in tables) - sum(video.num_frames for video in videos)
    videos = [video for video in videos if video.num_frames]
    if not videos:
        raise ValueError(f"{source}: must hold labeled body parts, got none in {len(tables)} tables")
    notes = (f"{num_empty} frames without labels were left out",) * (num_empty > 0)
    return videos, notes


def _animals(table: LabelTable) -> list[str]:
    return [animal for animal in table.individuals if not _is_no_animal(table, animal)] or [""]


def _read_video(table: LabelTable, source: pathlib.Path, skeleton: Skeleton) -> LabeledVideo:
    """Arranges a table by frame, animal and joint; each frame has all animals."""
    animals, num_frames = _animals(table), len(table.images)
    missing = np.full((num_frames, 2), np.nan)
    columns = [[table.points.get((animal, joint), missing) for joint in skeleton.joints] for animal in animals]
    keypoints = np.array(columns, np.float64).reshape(len(animals), skeleton.num_joints, num_frames, 2)
    keypoints = keypoints.transpose(2, 0, 1, 3)
    paths = [_find_image(table.path, source, name) for name in table.images]
    frames = np.array([_frame_number(name, row) for row, name in enumerate(table.images)], np.int64)
    rows: dict[pathlib.Path, str] = {}
    for name, path in zip(table.images, paths, strict=True):
        if path in rows:
            other = rows[path]
            found = f"{quote(name)} in several" if other == name else f"{quote(other)} and {quote(name)} for {path}"
            raise ValueError(f"{table.path}: each image must be in one row, got {found}")
        rows[path] = name
    order = np.argsort(frames, kind="stable")
    folder = table.path.parent.name
    return LabeledVideo(
        name=folder,
        file_names=[f"{_LABELS}/{folder}/{paths[row].name}" for row in order],
        image_paths=[paths[row] for row in order],
        frames=frames[order],
        first_animal=len(animals) * np.arange(num_frames + 1),
        keypoints=keypoints[order].reshape(-1, skeleton.num_joints, 2),
        track_ids=np.full(len(animals) * num_frames, NO_TRACK),
    )


def _find_image(table: pathlib.Path, source: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of an image: as the table says, or beside the table, since folders are renamed."""
    path = source / name
    return path if path.is_file() else table.parent / name.rpartition("/")[2]


def _frame_number(name: str, row: int) -> int:
    """Returns the number at the end of a name such as img0123.png; the row if there is none."""
    match = re.search(r"(\d{1,15})\.[^.]+$", name)
    return int(match[1]) if match else row
