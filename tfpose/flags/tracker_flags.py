"""Settings of trackers on the command line: --tracker.max_age_frames=5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from absl import flags

from tfpose.flags.program_flags import ProgramFlags
from tfpose.tracking.choice import PREFIX, TrackerChoice
from tfpose.tracking.settings import (
    NAMED_SETTINGS,
    setting_types,
)

if TYPE_CHECKING:
    from tfpose.systems.system import TrackerRequest

NAME_FLAG = f"{PREFIX}settings"
TRACKER_FLAGS = (NAME_FLAG, *(PREFIX + name for name in setting_types()))
# What --help says about each setting.
SETTING_HELP = {
    "similarity": "Measure of how well a person fits a track: joint_distance is the median distance between equal "
    "joints (Payer et al. 2017), oks the object keypoint similarity, iou the overlap of the bounding boxes.",
    "max_joint_distance_pixels": "Joint distance, in pixels of the image, below which a person can "
    "continue a track. Only with the similarity joint_distance.",
    "min_oks": "Object keypoint similarity, from 0 to 1, above which a person can continue a track. Only with "
    "the similarity oks.",
    "min_iou": "Overlap (intersection over union, from 0 to 1) above which a person can continue a track. Only with "
    "the similarity iou.",
    "matching": "Assignment of people to tracks: greedy takes the most similar pair first (Payer et al. 2017), optimal "
    "maximizes the total similarity of the frame.",
    "max_age_frames": "Number of frames after which a track that nobody continued ends. With 1, a person who is "
    "missing in one frame starts a new track.",
    "age_penalty_per_frame": "Share by which the distance to a track grows for each frame without its person, so that "
    "of two equally near tracks the one seen later is continued. 0 treats both alike.",
    "min_joint_score": "Joints with this score or a lower one are removed, from the tracked files too.",
    "min_joints": "People with fewer remaining joints than this are removed.",
    "min_person_score": "People with a lower score than this are removed.",
    "min_new_track_score": "People with a lower score than this continue tracks but do not start one; those who fit no "
    "track are removed.",
    "remember_joints": "Compare a person also with joints that are missing in the last pose of a track: each is taken "
    "from the latest pose that has it, and moved along with the person.",
    "motion": "Pose of a track that people are compared with: none takes its last pose (Payer et al. 2017), velocity "
    "moves that pose on by the constant velocity of the person.",
    "velocity_memory": "Share, from 0 up to 1, of the old velocity that remains in the velocity of a track after each "
    "new pose. 0 uses the last two poses only. Only with the motion velocity.",
    "max_prediction_frames": "Largest number of frames without its person for which a track moves on by its velocity. "
    "Only with the motion velocity.",
    "min_track_length_frames": "Tracks that have a pose in fewer frames than this are removed.",
    "min_track_score": "Tracks whose people have a lower mean score than this are removed.",
    "max_jump": "A joint is removed if it is further than this from the median position of the joint in the "
    "neighboring frames, as a share of the square root of the area of the person's bounding box. inf removes none.",
    "jump_window_frames": "Number of neighboring frames before and after a joint that max_jump compares it with.",
    "max_person_gap_frames": "Longest gap in a track, in frames, that is filled with poses on the straight line "
    "between the poses before and after it. 0 fills none.",
    "max_joint_gap_frames": "Longest gap of a single joint in a track, in frames, that is filled with positions on the "
    "straight line between those before and after it. 0 fills none.",
    "sigma_frames": "Standard deviation, in frames, of the Gaussian that smooths the path of each joint. 0 does not "
    "smooth.",
}
_PARSERS = {bool: flags.BooleanParser, int: flags.IntegerParser, float: flags.FloatParser}


def define_tracker_flags(values: ProgramFlags) -> None:
    """Defines one flag per setting, and one for the named settings to begin with."""
    values.begin_section("Flags of the tracker", NAME_FLAG)
    values.define_enum(
        NAME_FLAG,
        "payer2017",
        list(NAMED_SETTINGS),
        "Named settings that the other --tracker flags change: payer2017 is the tracker of Payer et al. 2017; online "
        "uses no later frames; offline also uses later frames and repairs whole tracks.",
    )
    for name, kind in setting_types().items():
        help_text = f"{SETTING_HELP[name]} {_describe_default(name)}"
        if kind is bool:
            values.define_bool(PREFIX + name, None, help_text)
        else:
            flags.DEFINE(setting_parser(kind), PREFIX + name, None, help_text, flag_values=values)


def _describe_default(setting: str) -> str:
    """Returns a sentence about the value of a setting in each of the named settings."""
    words: dict[str, list[str]] = {}
    for name in NAMED_SETTINGS:
        value = TrackerChoice(name).to_dict()[setting]
        text = f"{value:g}" if isinstance(value, float) else str(value).lower()
        words.setdefault(text, []).append(name)
    if len(words) == 1:
        return f"By default {next(iter(words))}."
    parts = [f"{value} in {' and '.join(names)}" for value, names in words.items()]
    return f"By default {', '.join(parts)}."


def setting_parser(kind: Any) -> flags.ArgumentParser:
    """Returns the parser for a setting's type: bool, int, float or a Literal of words."""
    return _PARSERS[kind]() if kind in _PARSERS else flags.EnumParser(list(get_args(kind)))


def tracker_from_flags(values: flags.FlagValues) -> TrackerChoice:
    """Returns the tracker that the flags ask for.

    Raises:
        ValueError: A setting breaks its rule; the message names the flag, the rule and the value.
    """
    given = {name: values[PREFIX + name].value for name in setting_types()}
    named = values.get_flag_value(NAME_FLAG, None)
    return TrackerChoice(named, {name: value for name, value in given.items() if value is not None})


def request_from_flags(values: flags.FlagValues, is_wanted: bool = True) -> TrackerRequest:
    """Returns what the flags say about the tracker, where a config may say something too.

    Args:
        values: The parsed flags.
        is_wanted: Whether people get identities at all.

    Raises:
        ValueError: A setting is out of its range; the message names the flag, its rule and the value.
    """
    from tfpose.systems.system import TrackerRequest

    choice = tracker_from_flags(values)
    return TrackerRequest(choice.name if values[NAME_FLAG].present else "", choice.changes, is_wanted)
