"""Names of files: for libraries that take names in UTF-8 only, in errors, and of files that are not whole yet."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import os
import pathlib
import re
import tempfile
import urllib.parse
from collections.abc import Iterator

# What TensorFlow and tensorflow-datasets say of a full disk.
_FULL_DISK = (os.strerror(errno.ENOSPC).lower(), "not enough disk space")
# Begins an address as `pathlib` writes it, with one slash.
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
# Most file systems take names of 255 bytes. So many characters of them stay in the names of unfinished files.
MOST_NAME_BYTES = 255
_KEPT_CHARACTERS = 40


def local_name(text: str) -> str:
    """Returns the name of a file as the system takes it: with the home folder in place of ~, and without file://.

    A file may be called ~backup.jpg, and file managers copy a name as file:///home/me/my%20clip.mp4.
    """
    if text.startswith("file://"):
        # A host, such as localhost, may stand before the path.
        text = "/" + urllib.parse.unquote(text.removeprefix("file://").partition("/")[2])
    return os.path.expanduser(text)


def matching_names(pattern: str) -> list[str]:
    """Returns the names that match a pattern such as 'frames/**/*.jpg'; a link to a folder above is not followed."""

    @functools.cache
    def is_in_circle(folder: pathlib.Path) -> bool:
        is_circle = folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
        return is_circle or (folder != folder.parent and is_in_circle(folder.parent))

    return [name for name in glob.glob(pattern, recursive=True) if not is_in_circle(pathlib.Path(name).parent)]


@contextlib.contextmanager
def utf8_name(path: str | os.PathLike[str]) -> Iterator[str]:
    """Gives a file a name in UTF-8 while it is opened; OpenCV ends in a segmentation fault on other names.

    A name on Linux is any bytes, such as Latin-1 from an old archive. Python holds the bytes that are not UTF-8 as
    surrogates. Within the `with` statement a link in a temporary folder stands for such a file, which may be absent
    still. Once it is open, the link is not needed.

    Yields:
        The path itself if it is UTF-8, otherwise the path of the link.
    """
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="tfpose_") as folder:
            suffix = pathlib.PurePath(name).suffix
            link = os.path.join(folder, f"link{suffix}" if suffix.isascii() else "link")
            os.symlink(os.path.abspath(name), link)
            yield link
        return
    yield name


def check_output(flag: str, directory: pathlib.Path) -> None:
    """Checks that files can be written to an output folder, which is created with the first file.

    Args:
        flag: Name of the flag that names the folder, for the message.
        directory: The folder.

    Raises:
        OSError: It cannot be created or written; the message names it.
        ValueError: It is an address, such as gs://bucket/results, in place of which a folder `gs:` would be made.
    """
    if _ADDRESS.match(str(directory)):
        address = str(directory).replace(":/", "://", 1)
        raise ValueError(f"--{flag} must be a folder of this machine, got the address {address}")
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"--{flag}={directory}: must be a folder, got a file")
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(f"--{flag}={directory}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within, an error of the operating system names this file: that of a full disk has no name, others a temporary."""
    try:
        yield
    except OSError as error:
        if error.strerror:
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
        raise


@contextlib.contextmanager
def full_disk_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within, the error of a full disk names this file or folder: unfinished files have other names, and are removed.

    Libraries may raise such an error without a file or with the name of an unfinished one, and TensorFlow an error of
    its own.
    """
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        is_full = any(words in str(error).lower() for words in _FULL_DISK)
        if number in (errno.ENOSPC, errno.EDQUOT) or (number is None and is_full):
            number = number or errno.ENOSPC
            raise OSError(number, os.strerror(number), os.fspath(path)) from error
        raise


def unfinished_file(path: pathlib.Path) -> pathlib.Path:
    """Returns a path beside a file, with the same suffix, for this process to write to until the file is whole.

    Its name is short, because that of the file may be as long as the file system allows.
    """
    return path.with_name(f".{os.getpid()}.{path.name[-_KEPT_CHARACTERS:]}")


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside a file. It gets the file's name if the block succeeds, and is removed otherwise.

    Raises:
        OSError: The file cannot be written; the error names it.
    """
    temporary = unfinished_file(path)
    try:
        with named_errors(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
