"""LiteRT files of networks in their work folders, written once."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
from collections.abc import Callable

import keras

from tfpose.exporting.conversion import SUFFIXES, write_converted
from tfpose.file_locks import wait_for_lock

_NAME = "inference"
_LOCK_FILE = "inference.lock"


def prepare_litert(workdir: pathlib.Path, build_network: Callable[[], keras.Model]) -> pathlib.Path:
    """Returns the LiteRT file of the network in a work folder, which is written if it is not there.

    Args:
        workdir: Work folder whose weights never change, such as that of a public checkpoint in the cache.
        build_network: Function that returns the network with its weights and a dict of outputs.

    Raises:
        OSError: The file cannot be written.
        ValueError: The network has no counterpart in LiteRT.
    """
    path = workdir / f"{_NAME}{SUFFIXES['litert']}"
    if path.is_file():
        return path
    print(f"note: {workdir}: converting the network to LiteRT, which is done once", file=sys.stderr)
    with wait_for_lock(workdir / _LOCK_FILE):
        if not path.is_file():
            with tempfile.TemporaryDirectory(prefix=".incomplete_", dir=workdir, ignore_cleanup_errors=True) as folder:
                write_converted({_NAME: build_network()}, ["litert"], pathlib.Path(folder))
                os.rename(pathlib.Path(folder) / path.name, path)
    return path
