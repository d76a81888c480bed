"""The columns of a file as the official evaluators read it, whatever its format."""

from __future__ import annotations

import pathlib
from typing import Any

from tfpose.json_files import object_list
from tfpose.posetrack.columns import PersonColumns, check_track_ids_are_distinct, check_track_limit
from tfpose.posetrack.columns_2017 import columns_from_2017
from tfpose.posetrack.columns_2018 import columns_from_2018
from tfpose.posetrack.format_2018 import joint_names
from tfpose.skeletons import POSETRACK18


def columns_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads what poseval reads of a file of PoseTrack 2017 or 2018; a key `annolist` means 2017.

    Args:
        path: of the file, for messages and the sequence's name.
        content: of the file.
        is_ground_truth: read head boxes and ignore regions, which evaluators take from the ground truth only.

    Raises:
        ValueError: where poseval fails; names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        columns = columns_from_2017(path, content, is_ground_truth)
    else:
        names = joint_names(path, object_list(path, content, "categories"))
        columns = columns_from_2018(path, content, names, is_ground_truth, is_posetrack21=False)
    check_track_limit(columns)
    if not is_ground_truth:
        check_track_ids_are_distinct(columns)
    return columns


def columns21_from_content(path: pathlib.Path, content: Any, is_ground_truth: bool) -> PersonColumns:
    """Reads what PoseTrack21's evaluator reads: 2018 files with 17 joints in one fixed order.

    `categories` is not looked at, and a joint is there if x and y are both above 0.

    Raises:
        ValueError: where that evaluator fails; names the file, frame, person and field.
    """
    if isinstance(content, dict) and "annolist" in content:
        raise ValueError(
            f"{path}: PoseTrack21's metrics require files of the 2018 or 2021 format, got 'annolist' (2017)"
        )
    columns = columns_from_2018(path, content, POSETRACK18.joints, is_ground_truth, is_posetrack21=True)
    check_track_ids_are_distinct(columns)
    return columns
