"""The folder of public checkpoints: files that were downloaded, or laid there by hand."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from tfpose.file_locks import wait_for_lock
from tfpose.pretrained.download import UnreachableFileError, check_digits, download_file
from tfpose.pretrained.public_checkpoints import PUBLIC_CHECKPOINTS, PublicCheckpoint

CACHE_VARIABLE = "TFPOSE_CACHE"
DEFAULT_CACHE = "~/.cache/tfpose"
_LOCK_FILE = ".lock"
_MOST_OF_A_LINE = 440


def cache_directory(given: str | None = None) -> pathlib.Path:
    """Returns the folder of public checkpoints: the given one, else that of TFPOSE_CACHE, else ~/.cache/tfpose.

    Raises:
        ValueError: The folder is below the home folder, and there is no home folder.
    """
    text = given or os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"cache must be a folder, got {text}, and there is no home folder; name a folder with {CACHE_VARIABLE}"
        ) from error


def find_cached_file(name: str, public: PublicCheckpoint, cache: pathlib.Path) -> pathlib.Path | None:
    """Returns the file of a checkpoint in the cache, under the publisher's name or its own; None if there is none."""
    suffix = ".pth.tar" if public.file_name.endswith(".pth.tar") else pathlib.Path(public.file_name).suffix
    names = [public.file_name, public.other_name, f"{name}{suffix}"]
    # Several files of Detectron have the same name.
    names_here = names if _has_own_name(public) else names[1:]
    candidates = [cache / name / file for file in names if file] + [cache / file for file in names_here if file]
    return next((path for path in candidates if path.is_file()), None)


def fetch_checkpoints(checkpoints: Sequence[tuple[str, PublicCheckpoint]], cache: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of checkpoints; those that are not in the cache are downloaded.

    Args:
        checkpoints: Names and descriptions.
        cache: Folder of public checkpoints.

    Raises:
        UnreachableFileError: A file cannot be downloaded; the message says which files to put where by hand.
        OSError: A connection was cut, or the cache cannot be written.
        ValueError: A downloaded file is not the publisher's file.
    """
    files = []
    for name, public in checkpoints:
        file = find_cached_file(name, public, cache)
        try:
            files.append(file or _download(name, public, cache))
        except UnreachableFileError as error:
            missing = [(n, p) for n, p in checkpoints if find_cached_file(n, p, cache) is None]
            whole = UnreachableFileError(public.file_name, error.reason, _describe_places(missing, cache))
            if len(str(whole)) < _MOST_OF_A_LINE:
                raise whole from error
            # Longer lines are printed without their middle.
            advice = _describe_places([(name, public)], cache)
            raise UnreachableFileError(public.file_name, error.reason, advice) from error
    return files


def check_cached_file(path: pathlib.Path, public: PublicCheckpoint) -> None:
    """Checks the digits that the publisher puts into the name of a file.

    Raises:
        ValueError: The digits differ; the message says what to do.
    """
    try:
        check_digits(path, public.digits, public.digest)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; remove the file and download {public.url} again") from error


def folder_of(name: str, cache: pathlib.Path) -> pathlib.Path:
    """Returns the folder of a checkpoint in the cache, made if absent.

    Raises:
        OSError: The cache cannot be written; the message says what to do.
    """
    folder = cache / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{cache}: the cache must be a folder that can be written, got: {error.strerror}; "
            f"name another folder with --cache or {CACHE_VARIABLE}"
        ) from error
    return folder


def lock_of(folder: pathlib.Path) -> pathlib.Path:
    """Returns the lock of a checkpoint's folder: one process downloads and converts at a time."""
    return folder / _LOCK_FILE


def _download(name: str, public: PublicCheckpoint, cache: pathlib.Path) -> pathlib.Path:
    folder = folder_of(name, cache)
    if not public.is_direct:
        raise UnreachableFileError(public.url, "the page needs a browser")
    with wait_for_lock(lock_of(folder)):
        return download_file(public.url, folder / public.file_name, public.digits, public.digest)


def _describe_places(missing: Sequence[tuple[str, PublicCheckpoint]], cache: pathlib.Path) -> str:
    """Returns a clause that says which files to put where by hand."""
    sources: dict[pathlib.Path, list[str]] = {}
    for name, public in missing:
        folder = cache if _has_own_name(public) else cache / name
        sources.setdefault(folder, []).append(
            public.url if public.is_direct else f"{public.file_name} from {public.url}"
        )
    places = " and ".join(f"{' and '.join(files)} in the folder {folder}" for folder, files in sources.items())
    return f"with a browser, save {places}, then run the same command again"


def _has_own_name(public: PublicCheckpoint) -> bool:
    return [other.file_name for other in PUBLIC_CHECKPOINTS.values()].count(public.file_name) == 1
