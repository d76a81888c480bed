"""The flag --cache: the folder of public checkpoints."""

from __future__ import annotations

import os

from tfpose.flags.program_flags import ProgramFlags
from tfpose.pretrained.cache import CACHE_VARIABLE


def define_cache_flag(values: ProgramFlags) -> None:
    """Defines --cache."""
    values.define_string(
        "cache",
        None,
        "Folder of public checkpoints: tfpose saves downloads in this folder, and also uses files that were saved in "
        "this folder by hand under the publisher's names. By default the folder that the environment variable "
        "TFPOSE_CACHE names, otherwise ~/.cache/tfpose.",
    )


def use_cache(values: ProgramFlags) -> None:
    """Makes the folder of --cache the default in this process, for names of public checkpoints within a config."""
    if values.cache:
        os.environ[CACHE_VARIABLE] = values.cache
