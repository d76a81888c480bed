"""Work folders of public checkpoints by name: downloaded, checked and converted once, then used offline.

The cache holds for each name the file of the publisher and a work folder with the converted weights. The name of this
work folder changes with the file and with the code that converts it, so tfpose never uses an outdated copy.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence

from tfpose.file_locks import wait_for_lock
from tfpose.importing.import_settings import ImportSettings, Say
from tfpose.json_files import read_json, write_json
from tfpose.pretrained.cache import (
    cache_directory,
    check_cached_file,
    fetch_checkpoints,
    find_cached_file,
    folder_of,
    lock_of,
)
from tfpose.pretrained.public_checkpoints import (
    PUBLIC_CHECKPOINTS,
    is_public_name,
)

# What a converted copy depends on, besides the file.
_CONVERTING_PACKAGES = ("importing", "inference", "models", "pretrained")
_DIGITS = 12
# Copies of other versions of tfpose are removed when they were not used for so long.
_UNUSED_SECONDS = 7 * 24 * 3600
_INCOMPLETE = ".incomplete_"
# The sizes of the files of a converted copy, by name.
_SIZES_FILE = "sizes.json"


def say_note(text: str) -> None:
    """Prints a note on stderr."""
    print(f"note: {text}", file=sys.stderr)


def find_workdir(text: str, cache: str | None = None, say: Say = say_note) -> str:
    """Returns the work folder of a public checkpoint, or the folder that a text names; see `find_workdirs`."""
    return find_workdirs([text], cache, say)[0]


def find_workdirs(texts: Sequence[str], cache: str | None = None, say: Say = say_note) -> list[str]:
    """Returns the work folders of public checkpoints. A text that is not the name of one stays the path of a folder.

    Args:
        texts: Names of public checkpoints, or paths.
        cache: Folder of public checkpoints; None for the folder of TFPOSE_CACHE, or ~/.cache/tfpose.
        say: Function that receives lines: what was downloaded, and which weights are used, their sizes and terms.

    Raises:
        OSError: A file cannot be downloaded, and the message says which file to put where by hand; or the cache cannot
            be written.
        ValueError: A file is damaged or not the publisher's.
    """
    files = fetch_files(texts, cache, say)
    if files:
        say(_describe(files))
    directory = cache_directory(cache)
    workdirs = {name: os.fspath(_convert_once(name, file, directory)) for name, file in files.items()}
    return [workdirs.get(text, text) for text in texts]


def fetch_files(texts: Sequence[str], cache: str | None = None, say: Say = say_note) -> dict[str, pathlib.Path]:
    """Returns the files of the public checkpoints that texts name, without converting them; needs no TensorFlow.

    Those that are not in the cache are downloaded. The arguments and errors are those of `find_workdirs`.
    """
    names = [text for text in dict.fromkeys(texts) if is_public_name(text)]
    if not names:
        return {}
    directory = cache_directory(cache)
    missing = [name for name in names if find_cached_file(name, PUBLIC_CHECKPOINTS[name], directory) is None]
    found = fetch_checkpoints([(name, PUBLIC_CHECKPOINTS[name]) for name in names], directory)
    files = dict(zip(names, found, strict=True))
    for name in missing:
        say(f"downloaded {PUBLIC_CHECKPOINTS[name].url} to {files[name]}")
    return files


def _describe(files: dict[str, pathlib.Path]) -> str:
    """Describes the weights in one line."""
    parts = []
    for name, file in files.items():
        public = PUBLIC_CHECKPOINTS[name]
        kind = "person detector" if public.is_detector else "keypoint network"
        parts.append(f"{kind} {name} ({file.stat().st_size / 1e6:.1f} MB, from {file})")
    terms = dict.fromkeys(PUBLIC_CHECKPOINTS[name].terms for name in files)
    return f"using {' and '.join(parts)}; license: {'; '.join(terms)}"


def _convert_once(name: str, file: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns the work folder of a checkpoint in the cache, which is made if there is none of this file."""
    target = cache / name / f"converted_{_digits_of_conversion(file)}"
    if _is_whole(target):
        _mark_as_used(target)
        return target
    folder = folder_of(name, cache)
    with wait_for_lock(lock_of(folder), say_note):
        if not _is_whole(target):
            if target.exists():
                say_note(f"{target}: lacks files that were there or holds others; {name} is converted again")
                shutil.rmtree(target)
            check_cached_file(file, PUBLIC_CHECKPOINTS[name])
            for old in [*filter(_is_unused, folder.glob("converted_*")), *folder.glob(f"{_INCOMPLETE}*")]:
                shutil.rmtree(old, ignore_errors=True)
            _convert(name, file, target)
    return target


def _is_whole(workdir: pathlib.Path) -> bool:
    """Returns whether a converted copy has all its files: programs that tidy remove some, or a copy of a cache ends."""
    try:
        sizes = read_json(workdir / _SIZES_FILE)
        return all((workdir / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _mark_as_used(workdir: pathlib.Path) -> None:
    with contextlib.suppress(OSError):  # The cache may belong to others.
        os.utime(workdir)


def _is_unused(workdir: pathlib.Path) -> bool:
    """Returns whether nobody has used a converted copy for days; another version of tfpose may be using it now."""
    try:
        return time.time() - workdir.stat().st_mtime > _UNUSED_SECONDS
    except FileNotFoundError:
        return False


def _convert(name: str, file: pathlib.Path, target: pathlib.Path) -> None:
    # Here and not above: names are resolved without TensorFlow, only the conversion needs it.
    from tfpose.importing.conversion import WEIGHTS_SUFFIX, convert_checkpoint

    with tempfile.TemporaryDirectory(prefix=_INCOMPLETE, dir=target.parent, ignore_cleanup_errors=True) as temporary:
        output = pathlib.Path(temporary) / f"{name}{WEIGHTS_SUFFIX}"
        convert_checkpoint(file, output, ImportSettings(), say=lambda line: None)
        workdir = output.with_name(name)
        write_json(workdir / _SIZES_FILE, {path.name: path.stat().st_size for path in workdir.iterdir()})
        os.rename(workdir, target)


def _digits_of_conversion(file: pathlib.Path) -> str:
    """Returns digits that change if the file or the code that converts it changes."""
    status = file.stat()
    state = f"{_digest_of_code()} {file.name} {status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(state.encode()).hexdigest()[:_DIGITS]


@functools.cache
def _digest_of_code() -> str:
    """Returns a digest of the modules that convert checkpoints and read the converted ones."""
    package = pathlib.Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for name in _CONVERTING_PACKAGES:
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def require_kinds(model: str, flag: str, detector: str, wants_detector: bool = False) -> None:
    """Checks that names of public checkpoints stand for networks of the right kind.

    Args:
        model: Name of a keypoint network, or path of a folder, which is not checked.
        flag: Name of the flag of the model, for the message.
        detector: Name of a person detector, path of a folder, or ''.
        wants_detector: Whether the model must be a person detector too.

    Raises:
        ValueError: A network is of the other kind.
    """
    kinds = {True: "a person detector", False: "a keypoint network"}
    for text, name, is_detector in ((model, flag, wants_detector), (detector, "--detector", True)):
        if is_public_name(text) and PUBLIC_CHECKPOINTS[text].is_detector != is_detector:
            raise ValueError(f"{name} must name {kinds[is_detector]}, got {text}, which is {kinds[not is_detector]}")
