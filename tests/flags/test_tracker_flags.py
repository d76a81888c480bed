"""Settings of trackers on the command line."""

from __future__ import annotations

import math

import pytest

from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.search_flags import parse_tracker_choices
from tfpose.flags.tracker_flags import (
    SETTING_HELP,
    TrackerChoice,
    base_from_flags,
    define_tracker_flags,
    request_from_flags,
    tracker_from_flags,
)
from tfpose.tracking.choice import choice_from_settings
from tfpose.tracking.settings import (
    NAMED_SETTINGS,
    NO_SMOOTHING,
    OFFLINE,
    OFFLINE_SMOOTHING,
    PAYER2017,
    setting_types,
)


def parse(*arguments: str) -> ProgramFlags:
    """Flags of a command line as a program would have them."""
    values = ProgramFlags(arguments)
    define_tracker_flags(values)
    values(["program", *arguments])
    return values


def test_without_flags_the_tracker_is_payers():
    assert tracker_from_flags(parse()).settings() == (PAYER2017, NO_SMOOTHING)


def test_flags_change_the_named_settings_each_by_its_type():
    values = parse(
        "--tracker.settings=offline",
        "--tracker.max_age_frames=3",
        "--tracker.min_person_score=-inf",
        "--tracker.remember_joints=false",
        "--tracker.matching=greedy",
        "--tracker.sigma_frames=1.5",
    )
    tracker, smoothing = tracker_from_flags(values).settings()
    assert (tracker.max_age_frames, tracker.min_person_score, tracker.remember_joints) == (3, -math.inf, False)
    assert (tracker.matching, smoothing.sigma_frames) == ("greedy", 1.5)
    assert tracker.min_joint_score == OFFLINE.min_joint_score
    assert smoothing.max_jump == OFFLINE_SMOOTHING.max_jump


def test_every_setting_has_a_flag_with_a_help_text_of_its_own():
    values = parse()
    assert set(SETTING_HELP) == set(setting_types())
    assert len(set(SETTING_HELP.values())) == len(SETTING_HELP)
    for name, text in SETTING_HELP.items():
        help_text = values[f"tracker.{name}"].help
        assert text.endswith(".") and help_text.startswith(f"{text} By default the value of the preset in ")
    assert values["tracker.max_joint_distance_pixels"].help.endswith(
        "By default the value of the preset in --tracker.settings: 200 in payer2017, 100 in online and offline."
    )
    assert values["tracker.min_oks"].help.endswith("By default the value of the preset in --tracker.settings: 0.2.")


def test_a_choice_as_flags_gives_the_same_choice_again():
    choice = TrackerChoice("online", {"max_age_frames": 7, "remember_joints": False, "max_jump": math.inf})
    assert tracker_from_flags(parse(*choice.to_flags().split())).settings() == choice.settings()


def test_a_choice_as_json_names_every_setting_and_has_no_infinity():
    content = TrackerChoice("payer2017").to_dict()
    assert set(content) == {"name", *setting_types()}
    assert content["min_person_score"] == "-inf"
    assert content["max_age_frames"] == 10


def test_a_value_against_its_rule_is_named_as_a_flag():
    with pytest.raises(ValueError, match=r"^--tracker\.max_age_frames must be at least 1, got 0$"):
        TrackerChoice(changes={"max_age_frames": 0})


def test_named_settings_are_choices():
    assert all(TrackerChoice(name).settings() == settings for name, settings in NAMED_SETTINGS.items())


@pytest.mark.parametrize(
    ("setting", "needed", "other"),
    [
        ("min_iou=0.5", "similarity=iou", "similarity=oks"),
        ("min_oks=0.5", "similarity=oks", "similarity=iou"),
        ("max_joint_distance_pixels=9", "similarity=joint_distance", "similarity=oks"),
        ("velocity_memory=0.1", "motion=velocity", "motion=none"),
    ],
)
def test_a_setting_that_another_one_turns_off_is_refused_and_not_ignored(setting, needed, other):
    flags = parse(f"--tracker.{setting}", f"--tracker.{other}")
    message = f"--tracker.{setting.split('=')[0]} requires --tracker.{needed}, got {other.split('=')[1]}"
    with pytest.raises(ValueError, match=message):
        tracker_from_flags(flags)
    with pytest.raises(ValueError, match=message):
        request_from_flags(flags).choose(TrackerChoice())
    with pytest.raises(ValueError, match=message):
        parse_tracker_choices([setting], base_from_flags(parse(f"--tracker.{other}")))
    assert parse_tracker_choices([setting, f"{other},{needed.split('=')[1]}"], TrackerChoice())
    tracker = tracker_from_flags(parse(f"--tracker.{setting}", f"--tracker.{needed}"))
    assert f"--tracker.{setting.split('=')[0]}" in tracker.to_flags()
    # A search of both settings may end with such a pair.
    assert setting not in base_from_flags(flags).to_flags()


def test_a_window_of_jumps_requires_a_largest_jump():
    message = "--tracker.jump_window_frames requires a finite --tracker.max_jump, got inf"
    with pytest.raises(ValueError, match=message):
        tracker_from_flags(parse("--tracker.jump_window_frames=9"))
    with pytest.raises(ValueError, match=message):
        parse_tracker_choices(["jump_window_frames=2,9"], TrackerChoice())
    assert parse_tracker_choices(["jump_window_frames=2,9", "max_jump=inf,0.5"], TrackerChoice())
    window = tracker_from_flags(parse("--tracker.settings=offline", "--tracker.jump_window_frames=9"))
    assert "--tracker.jump_window_frames=9" in window.to_flags()
    tracker = tracker_from_flags(parse("--tracker.jump_window_frames=9", "--tracker.max_jump=0.5"))
    assert tracker.settings()[1].jump_window_frames == 9


def test_settings_of_the_config_may_lack_an_effect():
    config = choice_from_settings({"similarity": "oks", "min_oks": 0.3, "min_iou": 0.9})
    assert request_from_flags(parse("--tracker.min_oks=0.1")).choose(config).changes["min_oks"] == 0.1
