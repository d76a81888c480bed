"""The flags of `tfpose build` for files of tools that label videos of animals: slp and deeplabcut."""

from __future__ import annotations

from data_prep.labeled_videos import SplitChoice
from tfpose.flags.combinations import forbid_flags
from tfpose.flags.program_flags import ProgramFlags


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of slp and deeplabcut."""
    values.begin_section("Flags of slp, deeplabcut and pseudo", "val_share")
    values.define_float(
        "val_share",
        SplitChoice.val_share,
        "Share of the split val. For slp and deeplabcut: share of the labeled frames of each video, and val takes the "
        "last frames, since neighboring frames are alike. Not used for SLEAP files whose names contain train, val or "
        "test. For pseudo: share of the images and videos; all frames of a video are in one split. 0 writes no split "
        "val.",
        0.0,
        0.9,
    )
    values.define_list(
        "val_videos",
        [],
        "Names of videos, separated by commas, whose labeled frames all go to the split val, in place of --val_share. "
        "The name of a video is its file name without the ending, or for DeepLabCut its folder in labeled-data. Only "
        "for slp and deeplabcut.",
    )
    values.define_bool(
        "predicted",
        False,
        "Also take animals that SLEAP predicted and nobody corrected. By default only animals that a user labeled are "
        "taken. Only for slp.",
    )


def split_choice(values: ProgramFlags) -> SplitChoice:
    """Returns the choice of the flags.

    Raises:
        ValueError: Two flags say which frames are for validation.
    """
    if values.val_videos:
        forbid_flags(values, ["val_share"], "--val_videos")
    return SplitChoice(values.val_share, tuple(values.val_videos))
