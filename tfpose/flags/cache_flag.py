"""The flag --cache: the folder of public checkpoints."""

from __future__ import annotations

import os

from tfpose.flags.program_flags import ProgramFlags
from tfpose.importing.named_weights import fetch_files, require_kinds
from tfpose.pretrained.cache import CACHE_VARIABLE


def define_cache_flag(values: ProgramFlags, use: str = "") -> None:
    """Defines --cache.

    Args:
        values: The flags of the program.
        use: Sentence of the help text about what the program needs public checkpoints for.
    """
    values.define_string(
        "cache",
        None,
        "Folder of the downloaded public checkpoints. tfpose downloads a file only if the folder does not contain the "
        "file. You can also put the file there yourself, under the file name of the publisher. "
        f"{use}By default the folder that the environment variable TFPOSE_CACHE names, otherwise ~/.cache/tfpose.",
    )


def use_cache(values: ProgramFlags) -> None:
    """Makes the folder of --cache the default in this process, for names of public checkpoints within a config."""
    if values.cache:
        os.environ[CACHE_VARIABLE] = values.cache


def fetch_models(values: ProgramFlags, flag: str, checks_kind: bool = True) -> None:
    """Downloads the public checkpoints that the flags name, so that a failed download ends the program early.

    Args:
        values: The parsed flags.
        flag: Name of the flag of the model; its detector is named by --detector.
        checks_kind: Whether the model must be a keypoint network.

    Raises:
        OSError: A file cannot be downloaded; the message says which file to put where by hand.
        ValueError: A downloaded file is not the publisher's, or a name stands for another kind of network.
    """
    model, detector = str(values[flag].value), values.detector or ""
    if checks_kind:
        require_kinds(model, f"--{flag}", detector)
    fetch_files([model, detector], values.cache)
