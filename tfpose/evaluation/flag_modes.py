"""What eval_main.py is asked to do, and which of its flags have a meaning then."""

from __future__ import annotations

from absl import flags

from tfpose.flags.box_flags import BOX_FLAGS
from tfpose.flags.tracker_flags import NAME_FLAG, PREFIX
from tfpose.tracking.settings import setting_types

_TRACKER = (NAME_FLAG, *(PREFIX + name for name in setting_types()))
_SCORING = ("metrics", "per_sequence", "clean_figures", "table", "report")
_FILE_REPORT = ("images", "video_rate")
# What each mode must and may be given beside --output_dir, by the flag that asks for it.
_REQUIRED = {
    "tune": ("ground_truth", "predictions"),
    "tune and --config": ("workdir",),
    "track": ("predictions",),
    "config": ("workdir",),
    "predictions": ("ground_truth",),
    "ground_truth": ("predictions",),
}
OPTIONAL = {
    "tune": ("tune_objective", "num_processes", *_TRACKER),
    "tune and --config": (
        *("tune", "config", "tune_objective", "tune_method", "num_processes", "weights", "split"),
        *_TRACKER,
    ),
    "track": ("tuned", "ground_truth", "format", "num_processes", *_FILE_REPORT, *_SCORING, *_TRACKER),
    "config": (
        *("weights", "split", "boxes", "infer_head_joints", "tracking", "num_pictures", "num_videos", "video_rate"),
        *("format", "tuned"),
        *BOX_FLAGS,
        *(*_SCORING, *_TRACKER),
    ),
    "predictions": ("compare", "num_processes", *_FILE_REPORT, *_SCORING),
    "ground_truth": ("compare", "num_processes", *_FILE_REPORT, *_SCORING),
}
_ALL = {"output_dir", *(name for flags_of_mode in OPTIONAL.values() for name in flags_of_mode)}
_ALL |= {name for names in _REQUIRED.values() for name in names}


def choose_mode(values: flags.FlagValues) -> str:
    """The flag that says what is asked for.

    Args:
        values: the parsed flags of eval_main.py.

    Raises:
        ValueError: a flag is missing, or has no place beside the others; names it.
    """
    asking = [name for name in _REQUIRED if name in values and values[name].value not in (None, False, [])]
    mode = "tune and --config" if {"tune", "config"} <= set(asking) else next(iter(asking), None)
    if mode is None:
        raise ValueError(
            "nothing to do: give --config and --workdir to predict, --ground_truth and --predictions to score files, "
            "--track and --predictions to track, or --tune with --config and --workdir or with --predictions and "
            "--ground_truth"
        )
    for name in (*_REQUIRED[mode], "output_dir"):
        if not values[name].value:
            raise ValueError(f"--{name} must be given with --{mode}, got nothing")
    allowed = {mode, "output_dir", *_REQUIRED[mode], *OPTIONAL[mode]}
    surplus = [name for name in sorted(_ALL - allowed) if values[name].present]
    if surplus:
        raise ValueError(f"--{surplus[0]} has no meaning with --{mode}; leave one of them out")
    _check_companions(mode, values)
    return mode


def _check_companions(mode: str, values: flags.FlagValues) -> None:
    """Flags that need others, or do not go with them."""
    if mode == "track" and not values.ground_truth:
        lonely = [name for name in _SCORING if values[name].present]
        if lonely:
            raise ValueError(f"--{lonely[0]} needs --ground_truth, got nothing")
    if values.images and not values.report:
        raise ValueError("--images needs --report, got nothing")
    if values.tuned:
        doubled = [name for name in _TRACKER if values[name].present]
        if doubled:
            raise ValueError(f"--{doubled[0]} has no meaning with --tuned; leave one of them out")
