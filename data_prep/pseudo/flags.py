"""The flags of `tfpose build` for annotations by a teacher."""

from __future__ import annotations

import pathlib

from data_prep.pseudo.judgment import Thresholds
from data_prep.source import Source
from tfpose.flags.cache_flag import define_cache_flag
from tfpose.flags.combinations import forbid_flags, require_flags
from tfpose.flags.program_flags import ProgramFlags

_DEFAULTS = Thresholds()


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of pseudo."""
    values.begin_section("Flags of pseudo", "model")
    values.define_string(
        "model",
        None,
        "Teacher, the model whose poses become the labels: the name of a public checkpoint, the work folder of a "
        "training run, or a SavedModel. Required.",
    )
    values.define_string(
        "detector",
        None,
        "Person detector of --model and of --second_model: the name of a public checkpoint, the work folder of a "
        "detector, or whole_image, which takes each image as the box of one person. The work folder of a two-stage "
        "system requires --detector. With a public checkpoint in --model, the default is picodet_s_320.",
    )
    values.define_float(
        "box_score",
        0.3,
        "Smallest score, from 0 to 1, of the boxes of --detector in which the teacher looks for joints.",
        0.0,
        1.0,
    )
    values.define_enum(
        "agreement",
        "none",
        ["none", "mirror"],
        "Filter of the labels: mirror labels only the joints that the teacher also finds in the mirrored image, at the "
        "same place. Takes twice the time. Cannot be combined with --second_model.",
    )
    values.define_string(
        "second_model",
        None,
        "Second model, of the same kinds as --model. Only the joints that both models find at the same place are "
        "labeled. A joint that the second model does not have is not compared.",
    )
    _define_threshold_flags(values)
    values.define_integer("every", 1, "Step between the labeled frames of a video: 1 takes every frame.", 1)
    values.define_integer("batch_size", 8, "Largest number of images that the networks process at once.", 1)
    define_cache_flag(values, "Used only if --model, --second_model or --detector names a public checkpoint. ")


def _define_threshold_flags(values: ProgramFlags) -> None:
    values.define_float(
        "joint_score", _DEFAULTS.joint_score, "Smallest score of a joint that is labeled. Other joints are unlabeled."
    )
    values.define_float(
        "person_score",
        _DEFAULTS.person_score,
        "Smallest score of a person who is labeled. The score of a person in a two-stage system is the score of the "
        "box times the mean score of the joints.",
    )
    values.define_float(
        "doubtful_score",
        _DEFAULTS.doubtful_score,
        "A person who is not labeled becomes an ignore region if the person's score is at least this value, and is "
        "left out otherwise. Training and evaluation do not count ignore regions.",
    )
    values.define_integer(
        "min_labeled_joints",
        _DEFAULTS.min_joints,
        "Smallest number of labeled joints of a labeled person. A person with fewer joints becomes an ignore region.",
        1,
    )
    values.define_float(
        "max_distance",
        _DEFAULTS.max_distance,
        "Largest distance between the two positions of a joint that count as the same place, as a share of the size of "
        "the person: the square root of the area of the bounding box. Only with --agreement=mirror or --second_model.",
        0.0,
    )


def read_source(source: pathlib.Path, values: ProgramFlags) -> Source | None:
    """Labels the images and videos of a source; returns None if the dataset is there already.

    Raises:
        FileNotFoundError: A file or model is missing.
        OSError: A public checkpoint cannot be downloaded, or the disk is full.
        ValueError: A flag or a file is not valid.
    """
    require_flags(values, ["model"], "for pseudo")
    if values.second_model is not None:
        forbid_flags(values, ["agreement"], "--second_model")
    if values.agreement == "none" and values.second_model is None and values["max_distance"].present:
        raise ValueError("--max_distance requires --agreement=mirror or --second_model, got none")
    thresholds = Thresholds(
        values.joint_score, values.person_score, values.doubtful_score, values.min_labeled_joints, values.max_distance
    )
    # Imports tensorflow-datasets, which takes seconds.
    from data_prep.pseudo import builder

    return builder.read_source(source, values, thresholds)
