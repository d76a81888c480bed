"""Reads the columns of a file of any format as the official evaluators read them."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from tfpose.json_files import object_list
from tfpose.posetrack.columns import PersonColumns, check_track_ids_are_distinct, check_track_limit
from tfpose.posetrack.columns_2017 import columns_from_2017
from tfpose.posetrack.columns_2018 import columns_from_2018
from tfpose.posetrack.format_2018 import joint_names
from tfpose.posetrack.sequences import unit_range
from tfpose.skeletons import POSETRACK18


def columns_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads from a file of PoseTrack 2017 or 2018 what poseval reads; a key `annolist` means 2017.

    Args:
        path: Path of the file, for messages and the name of the sequence.
        content: Content of the file.
        is_ground_truth: Whether to read head boxes and ignore regions, which evaluators take from the ground truth.

    Raises:
        ValueError: Poseval would fail; the message names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        columns = columns_from_2017(path, content, is_ground_truth)
    else:
        names = joint_names(path, object_list(path, content, "categories"))
        columns = columns_from_2018(path, content, names, is_ground_truth, is_posetrack21=False)
    check_track_limit(columns)
    if not is_ground_truth:
        check_track_ids_are_distinct(columns)
    return _with_unit_note(columns)


def columns21_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads from a file what PoseTrack21's evaluator reads: the 2018 format with 17 joints in one fixed order.

    It ignores `categories`, and a joint is there if x and y are both greater than 0.

    Raises:
        ValueError: That evaluator would fail; the message names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        raise ValueError(
            f"{path}: PoseTrack21's metrics require files of the 2018 or 2021 format, got 'annolist' (2017)"
        )
    columns = columns_from_2018(path, content, POSETRACK18.joints, is_ground_truth, is_posetrack21=True)
    check_track_ids_are_distinct(columns)
    return _with_unit_note(columns)


def _with_unit_note(columns: PersonColumns) -> PersonColumns:
    """Adds a line for the user if all points lie within one pixel, as coordinates from 0 to 1 do."""
    found = unit_range(columns.points)
    if not found:
        return columns
    note = f"all points must be in pixels, got coordinates {found}"
    return dataclasses.replace(columns, notes=(*columns.notes, note))
