"""Reads a DeepLabCut project as the flags of `tfpose build` say."""

from __future__ import annotations

import pathlib

from data_prep.coco_keypoints.flags import left_right_pairs, sigmas
from data_prep.source import Source
from data_prep.video_flags import split_choice
from tfpose.flags.program_flags import ProgramFlags


def read_source(source: pathlib.Path, values: ProgramFlags) -> Source:
    """Reads the project in a folder.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A flag or a file is not valid.
    """
    if values.predicted:
        raise ValueError("--predicted must be left out for deeplabcut, whose files hold labels only")
    pairs, constants = left_right_pairs(values), sigmas(values)
    # Imports tensorflow-datasets, which takes seconds.
    from data_prep.deeplabcut import builder

    return builder.read_source(source, pairs, constants, split_choice(values))
