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
from tfpose.json_files import read_json, write_json
from tfpose.pretrained.download import digest_of_file

_NAME = "inference"
_LOCK_FILE = "inference.lock"
_DIGEST_FILE = "inference.sha256.json"


def prepare_litert(workdir: pathlib.Path, build_network: Callable[[], keras.Model]) -> pathlib.Path:
    """Returns the LiteRT file of the network in a work folder, which is written if no whole one is there.

    Args:
        workdir: Work folder whose weights never change, such as that of a public checkpoint in the cache.
        build_network: Function that returns the network with its weights and a dict of outputs.

    Raises:
        OSError: The file cannot be written.
        ValueError: The network has no counterpart in LiteRT.
    """
    path = workdir / f"{_NAME}{SUFFIXES['litert']}"
    if _is_whole(path):
        return path
    print(f"note: {workdir}: converting the network to LiteRT, which is done once", file=sys.stderr)
    with wait_for_lock(workdir / _LOCK_FILE):
        if not _is_whole(path):
            with tempfile.TemporaryDirectory(prefix=".incomplete_", dir=workdir, ignore_cleanup_errors=True) as folder:
                write_converted({_NAME: build_network()}, ["litert"], pathlib.Path(folder))
                os.replace(pathlib.Path(folder) / path.name, path)
            write_json(workdir / _DIGEST_FILE, digest_of_file(path))
    return path


def _is_whole(path: pathlib.Path) -> bool:
    """Returns whether a LiteRT file has the content that was written: a broken one may still find people."""
    try:
        return read_json(path.with_name(_DIGEST_FILE)) == digest_of_file(path)
    except (OSError, ValueError):
        return False
