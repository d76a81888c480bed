"""Values to search on the command line."""

from __future__ import annotations

import re

import pytest

from tfpose import tune
from tfpose.evaluation.single_network_search import THRESHOLDS, SearchSystem
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.search_flags import parse_search_choices, parse_tracker_choices
from tfpose.inference.frame_peaks import SingleNetworkSettings
from tfpose.skeletons import POSETRACK15
from tfpose.tracking.choice import TrackerChoice

BASE = SearchSystem(POSETRACK15, SingleNetworkSettings(), TrackerChoice())


def test_choices_of_the_tracker_are_parsed_by_the_type_of_their_setting():
    texts = ["max_age_frames=5,10", "min_joint_score=0.2,0.4", "remember_joints=true,false", "motion=velocity"]
    assert parse_tracker_choices(texts, TrackerChoice()) == {
        "max_age_frames": [5, 10],
        "min_joint_score": [0.2, 0.4],
        "remember_joints": [True, False],
        "motion": ["velocity"],
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["max_age=5"], r"^--tune must be NAME=VALUE,VALUE,\.\.\. with a NAME among similarity, .*, got 'max_age=5'$"),
        (["max_age_frames"], r"^--tune must be NAME=VALUE,.*, got 'max_age_frames'$"),
        (["max_age_frames=5,many"], r"each value of max_age_frames must be a whole number, got 'many'"),
        (["max_age_frames=5,"], r"each value of max_age_frames must be a whole number, got ''"),
        (["max_age_frames=5,0"], r"--tune=max_age_frames=5,0: max_age_frames must be at least 1, got 0"),
        (["min_joint_score=low"], r"each value of min_joint_score must be a number, got 'low'"),
        (["remember_joints=maybe"], r"each value of remember_joints must be true or false, got 'maybe'"),
        (["matching=best"], r"each value of matching must be one of greedy, optimal, got 'best'"),
        (["min_oks=0.1", "min_oks=0.2"], r"--tune=min_oks=0\.2: min_oks must be given once, got it twice"),
    ],
)
def test_choices_of_the_tracker_that_cannot_be_tried_are_named(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_tracker_choices(texts, TrackerChoice())


def test_choices_of_the_network_are_parsed_by_the_type_of_their_setting():
    texts = ["max_age_frames=5,10", "head_threshold=0.1,0.2", "max_people=0,9", "matching=greedy"]
    assert parse_search_choices(texts, BASE) == {
        "max_age_frames": [5, 10],
        "head_threshold": [0.1, 0.2],
        "max_people": [0, 9],
        "matching": ["greedy"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refine=none", "--tune must be NAME=VALUE,VALUE,... with a NAME among head_threshold, "),
        ("head_threshold", "got 'head_threshold'"),
        ("head_threshold=0.1,low", "each value of head_threshold must be a number, got 'low'"),
        ("max_people=1.5", "each value of max_people must be a whole number, got '1.5'"),
        ("joint_threshold=-1", "--tune=joint_threshold=-1: inference: joint_threshold must be at least 0"),
        ("max_age_frames=0", "--tune=max_age_frames=0: max_age_frames must be at least 1, got 0"),
    ],
)
def test_choices_of_the_network_that_cannot_be_tried_are_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_search_choices([text], BASE)
    with pytest.raises(ValueError, match="head_threshold must be given once, got it twice"):
        parse_search_choices(["head_threshold=0.1", "head_threshold=0.2"], BASE)


def test_help_names_every_threshold():
    values = ProgramFlags()
    tune.define_flags(values)
    assert all(name in values["tune"].help for name in THRESHOLDS)
