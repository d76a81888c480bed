"""The flags of `tfpose build` for datasets in the layout of COCO."""

from __future__ import annotations

import pathlib

from data_prep.source import Source
from tfpose.coco import SkeletonChoice
from tfpose.flags.program_flags import ProgramFlags


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of coco_keypoints, two of which slp and deeplabcut have too."""
    values.begin_section("Flags of coco_keypoints, slp and deeplabcut", "left_right_pairs")
    values.define_list(
        "left_right_pairs",
        None,
        "Pairs of joints that swap their places in a mirrored image, as LEFT:RIGHT,LEFT:RIGHT, such as "
        "left_eye:right_eye,left_ear:right_ear. By default two joints are a pair if their names differ only in the "
        "side, such as left_eye and right_eye, L_Eye and R_Eye, or eyeL and eyeR. In SLEAP files, "
        "symmetric nodes are pairs.",
    )
    values.define_list(
        "sigmas",
        None,
        "Constants (sigmas) of the object keypoint similarity (OKS), one positive number for each joint in "
        "the order of the annotation file, separated by commas. By default, each joint takes the constant "
        "of the COCO joint with a similar name.",
    )
    values.begin_section("Flags of coco_keypoints", "categories")
    values.define_list(
        "categories",
        [],
        "Names of the categories to convert, separated by commas, such as dog,cat. The categories must have equal "
        "joint names. By default all categories with joint names are converted. Required if the file has several "
        "categories and none has joint names.",
    )
    values.define_list(
        "joints",
        [],
        "Joint names in the order of the keypoints, separated by commas. Only for a category without joint names in "
        "the annotation file.",
    )


def read_source(folder: pathlib.Path, values: ProgramFlags) -> Source:
    """Reads the dataset in a folder as the flags say.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A flag or a file is not valid.
    """
    choice = SkeletonChoice(left_right_pairs(values), sigmas(values), values.categories, values.joints)
    # Imports tensorflow-datasets, which takes seconds.
    from data_prep.coco_keypoints import builder

    return builder.read_source(folder, choice)


def left_right_pairs(values: ProgramFlags) -> list[list[str]] | None:
    """Returns the pairs of --left_right_pairs; None without the flag.

    Raises:
        ValueError: The flag is not valid.
    """
    if values.left_right_pairs is None:
        return None
    pairs = [pair.split(":") for pair in values.left_right_pairs]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"--left_right_pairs must be left:right,left:right, got {','.join(values.left_right_pairs)}")
    return pairs


def sigmas(values: ProgramFlags) -> list[float] | None:
    """Returns the constants of --sigmas; None without the flag.

    Raises:
        ValueError: The flag is not valid.
    """
    try:
        return None if values.sigmas is None else [float(value) for value in values.sigmas]
    except ValueError as error:
        raise ValueError(f"--sigmas must be numbers, got {','.join(values.sigmas)}") from error
