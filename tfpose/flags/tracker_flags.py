"""Settings of trackers on the command line: --tracker.max_age_frames=5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from absl import flags

from tfpose.flags.program_flags import ProgramFlags
from tfpose.tracking.choice import PREFIX, TrackerChoice, check_effects
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
    "similarity": "Measure of how well a person fits a track: joint_distance is the median joint distance (Payer et "
    "al. 2017), oks is the object keypoint similarity, iou is the intersection over union of the bounding boxes.",
    "max_joint_distance_pixels": "Median joint distance, in pixels of the image, below which a person can continue a "
    "track. Only with --tracker.similarity=joint_distance.",
    "min_oks": "Object keypoint similarity, from 0 to 1, above which a person can continue a track. Only with "
    "--tracker.similarity=oks.",
    "min_iou": "Intersection over union of the bounding boxes, from 0 to 1, above which a person can continue a "
    "track. Only with --tracker.similarity=iou.",
    "matching": "Assignment of people to tracks: greedy takes the most similar pair first (Payer et al. 2017), "
    "optimal maximizes the total similarity of all pairs in the frame.",
    "max_age_frames": "Largest number of frames from the last pose of a track to the pose that continues the track. "
    "With 1, a person who is missing in one frame starts a new track.",
    "age_penalty_per_frame": "Share by which the distance between a person and a track grows for each frame in which "
    "the track has no pose. With a value above 0, the tracker prefers tracks with recent poses.",
    "min_joint_score": "Joints whose score is at most this value are removed before tracking and from the output.",
    "min_joints": "People with fewer joints than this value, counted after --tracker.min_joint_score, are removed.",
    "min_person_score": "People whose score is below this value are removed before tracking. The value -inf removes "
    "nobody.",
    "min_new_track_score": "People whose score is below this value can continue a track but cannot start one, and "
    "are removed if they fit no track. With -inf, everybody can start a track.",
    "remember_joints": "Compare a person also with joints that the last pose of a track lacks. The tracker takes such "
    "a joint from the latest pose that has the joint, and moves the joint along with the person.",
    "motion": "Pose of a track that people are compared with: none is the last pose (Payer et al. 2017), velocity is "
    "the last pose, moved by the estimated velocity of the person.",
    "velocity_memory": "Weight of the previous velocity, from 0 to below 1, in the exponential average that estimates "
    "the velocity of a track. 0 uses only the last two poses. Only with --tracker.motion=velocity.",
    "max_prediction_frames": "Number of frames after the last pose of a track during which the velocity moves the "
    "pose. Only with --tracker.motion=velocity.",
    "second_pose_distance": "Distance below which a new pose counts as a second pose (a duplicate) of a person in the "
    "same frame: the median joint distance of the two poses, divided by the square root of the area of the new pose's "
    "bounding box. A second pose cannot take over the identity of the person. 0 turns this rule off.",
    "min_track_length_frames": "Tracks with poses in fewer frames than this value are removed. In a video with fewer "
    "frames than this value, a track is removed unless the track has a pose in every frame.",
    "min_track_score": "Tracks whose mean person score is below this value are removed. The value -inf removes no "
    "track.",
    "max_jump": "Largest distance of a joint from the median position of the joint in the neighboring frames, as a "
    "share of the square root of the area of the person's bounding box. Joints with a larger distance are removed, "
    "except for joints in steady motion. The value inf removes no joint.",
    "jump_window_frames": "Number of frames before a frame, and of frames after a frame, from which "
    "--tracker.max_jump takes the median position of a joint. Only with a finite --tracker.max_jump.",
    "max_person_gap_frames": "Longest gap of a person in a track, in frames, that is filled by linear interpolation "
    "between the poses before and after the gap. 0 fills no gaps.",
    "max_joint_gap_frames": "Longest gap of a single joint in a track, in frames, that is filled by linear "
    "interpolation between the positions before and after the gap. 0 fills no gaps.",
    "sigma_frames": "Standard deviation, in frames, of the Gaussian that smooths the path of each joint in a track. "
    "0 does not smooth.",
}
_PARSERS = {bool: flags.BooleanParser, int: flags.IntegerParser, float: flags.FloatParser}


def define_tracker_flags(values: ProgramFlags, default: str = "payer2017", title: str = "Flags of the tracker") -> None:
    """Defines one flag for each setting, and one flag for the preset that the other flags change.

    Args:
        values: The flags of the program.
        default: The default preset of the program, in words.
        title: The title above the flags in the help text.
    """
    values.begin_section(title, NAME_FLAG)
    values.define_enum(
        NAME_FLAG,
        "payer2017",
        list(NAMED_SETTINGS),
        "Preset whose values the other --tracker flags override. payer2017 is the tracker of Payer et al. 2017, the "
        "paper on the single network, plus the rule of --tracker.second_pose_distance. online tracks better and, like "
        "payer2017, uses no later frames. offline also uses later frames: the tracker then removes short tracks and "
        "jumping joints, fills gaps and smooths the joints. offline expects scores from 0 to 1. "
        f"By default {default}.",
    )
    presets = {name: TrackerChoice(name).to_dict() for name in NAMED_SETTINGS}
    for name, kind in setting_types().items():
        help_text = f"{SETTING_HELP[name]} {_describe_default(name, presets)}"
        if kind is bool:
            values.define_bool(PREFIX + name, None, help_text)
        else:
            flags.DEFINE(setting_parser(kind), PREFIX + name, None, help_text, flag_values=values)


def _describe_default(setting: str, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns a sentence about the value of a setting in each preset."""
    words: dict[str, list[str]] = {}
    for name, settings in presets.items():
        value = settings[setting]
        text = f"{value:g}" if isinstance(value, float) else str(value).lower()
        words.setdefault(text, []).append(name)
    if len(words) == 1:
        return f"By default the value of the preset in --tracker.settings: {next(iter(words))}."
    parts = [f"{value} in {' and '.join(names)}" for value, names in words.items()]
    return f"By default the value of the preset in --tracker.settings: {', '.join(parts)}."


def setting_parser(kind: Any) -> flags.ArgumentParser:
    """Returns the parser for a setting's type: bool, int, float or a Literal of words."""
    return _PARSERS[kind]() if kind in _PARSERS else flags.EnumParser(list(get_args(kind)))


def tracker_from_flags(values: flags.FlagValues) -> TrackerChoice:
    """Returns the tracker that the flags ask for.

    Raises:
        ValueError: A setting breaks its rule or has no effect; the message names the flag, the rule and the value.
    """
    choice = base_from_flags(values)
    check_effects(choice.changes, choice, {})
    return choice


def base_from_flags(values: flags.FlagValues) -> TrackerChoice:
    """Returns the tracker that the flags ask for, some of whose settings a search or a config replaces.

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

    choice = base_from_flags(values)
    name = choice.name if values[NAME_FLAG].present else ""
    return TrackerRequest(name, choice.changes, is_wanted, tuple(choice.changes))
