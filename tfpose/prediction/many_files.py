"""Files of `tfpose predict-many`: on a disk that all workers share, or behind an address such as gs://bucket/clip.mp4.

Apache Beam reads and writes addresses, so that every file system that Beam knows works. Addresses of http are left to
the readers of videos and images.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from tfpose.exporting.system_file import EXTRA_FOLDER
from tfpose.file_names import matching_names
from tfpose.json_files import write_text

# Below the output: what its results are of, and where files are until they are whole.
SETTINGS_FILE = "predict_many.json"
UNFINISHED_FOLDER = ".unfinished"
_COPIED_BYTES = 1 << 20


def is_remote(address: str) -> bool:
    """Returns whether Beam reads and writes an address, and not the operating system."""
    return "://" in address and not address.startswith(("http://", "https://"))


def join(folder: str, *names: str) -> str:
    """Returns the address of a file below a folder, with forward slashes."""
    return "/".join([folder.rstrip("/") if len(folder) > 1 else folder, *names])


def match_pattern(pattern: str) -> list[str]:
    """Returns the files that match a pattern such as 'videos/*.mp4', sorted.

    Raises:
        OSError: Beam cannot list an address.
    """
    if not is_remote(pattern):
        return sorted(name for name in matching_names(pattern) if os.path.isfile(name))
    with _beam_errors(pattern):
        return sorted(found.path for found in _file_systems().match([pattern])[0].metadata_list)


def state_of(address: str) -> str:
    """Returns text that changes if a file changes: its size and time; '' for http and for a file that is not there."""
    if not is_remote(address):
        with contextlib.suppress(OSError):
            status = os.stat(address)
            return f"{status.st_size} {status.st_mtime_ns}"
        return ""
    with _beam_errors(address):
        for found in _file_systems().match([address])[0].metadata_list:
            return f"{found.size_in_bytes} {found.last_updated_in_seconds}"
    return ""


def exists(address: str) -> bool:
    """Returns whether a file exists."""
    if not is_remote(address):
        return os.path.isfile(address)
    with _beam_errors(address):
        return bool(_file_systems().exists(address))


def is_elsewhere(address: str, other: str) -> bool:
    """Returns whether a file or folder is there, and is not the same as another one."""
    # Signed addresses of one file differ in their queries.
    if address.partition("?")[0] == other.partition("?")[0]:
        return False
    if "://" in address:
        return not is_remote(address) or exists(address)
    return os.path.exists(address) and not ("://" not in other and os.path.samefile(address, other))


def read_bytes(address: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: The file cannot be read.
    """
    if not is_remote(address):
        return pathlib.Path(address).read_bytes()
    with _beam_errors(address), _open(address) as file:
        return file.read()


def write_whole_text(address: str, text: str) -> None:
    """Writes a text file whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    if not is_remote(address):
        path = pathlib.Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        return
    with _beam_errors(address), _whole_remote_file(address) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def local_copies(addresses: Sequence[str]) -> Iterator[list[str]]:
    """Yields paths of files: copies of those behind addresses, which are removed after the `with` block.

    Raises:
        OSError: A file cannot be read.
    """
    if not any(map(is_remote, addresses)):
        yield list(addresses)
        return
    root = os.path.commonpath([os.path.dirname(address.partition("://")[2]) for address in addresses])
    # Pictures are named after their folder.
    with _temporary_folder() as folder:
        paths = []
        for address in addresses:
            below = os.path.relpath(address.partition("://")[2], os.path.dirname(root) or ".")
            path = folder / below
            path.parent.mkdir(parents=True, exist_ok=True)
            with _beam_errors(address), _open(address) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _COPIED_BYTES)
            paths.append(str(path))
        yield paths


def copy_folder(address: str, target: pathlib.Path) -> None:
    """Copies all files below a folder of a remote file system.

    Raises:
        OSError: A file cannot be read.
    """
    for name in match_pattern(join(address, "**")):
        path = target / name[len(address.rstrip("/")) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_bytes(name))


@contextlib.contextmanager
def folder_of_results(output: str) -> Iterator[pathlib.Path]:
    """Yields a folder for unfinished results, which is removed after the `with` block.

    The folder is below a local output, on whose disk `publish` can rename files.
    """
    if is_remote(output):
        with _temporary_folder() as folder:
            yield folder
        return
    folder = pathlib.Path(output) / UNFINISHED_FOLDER / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: pathlib.Path, output: str) -> list[str]:
    """Moves all files of a folder to the same places below the output, each whole or not at all.

    Returns:
        Names of the files, relative to the output.

    Raises:
        OSError: A file cannot be written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    for path, name in zip(paths, names, strict=True):
        address = join(output, name)
        if is_remote(output):
            with _beam_errors(address), path.open("rb") as source, _whole_remote_file(address) as target:
                shutil.copyfileobj(source, target, _COPIED_BYTES)
        else:
            os.makedirs(os.path.dirname(address), exist_ok=True)
            os.replace(path, address)
    return names


def digest_of_model(folder: pathlib.Path) -> str:
    """Returns digits that tell the weights and settings in a folder from others: a SavedModel or a work folder."""
    digest = hashlib.sha256()
    # Other folders below may hold results, even these ones.
    parts = [path for name in ("", "variables", "assets", EXTRA_FOLDER) for path in (folder / name).glob("*")]
    for path in sorted(parts):
        is_of_model = path.suffix in (".h5", ".pb", ".json", ".tflite") or path.parent.name == "variables"
        if path.is_file() and is_of_model and path.name != SETTINGS_FILE:
            digest.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    # Weights of a run that goes on.
    digest.update(" ".join(sorted(path.name for path in folder.glob("checkpoints/*.npz"))).encode())
    return digest.hexdigest()


def _file_systems() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def _open(address: str) -> Any:
    from apache_beam.io.filesystem import CompressionTypes

    # Otherwise Beam would unpack clip.json.gz.
    return _file_systems().open(address, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def _whole_remote_file(address: str) -> Iterator[Any]:
    """Yields a file under a temporary name, which is renamed after the `with` block."""
    from apache_beam.io.filesystem import CompressionTypes

    systems, (folder, _, name) = _file_systems(), address.rpartition("/")
    temporary = f"{folder}/.{uuid.uuid4().hex}.{name}"
    with contextlib.suppress(OSError):  # Where folders exist, they must exist before their files.
        systems.mkdirs(folder)
    with systems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file
    systems.rename([temporary], [address])


@contextlib.contextmanager
def _temporary_folder() -> Iterator[pathlib.Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tfpose_") as folder:
        yield pathlib.Path(folder)


@contextlib.contextmanager
def _beam_errors(address: str) -> Iterator[None]:
    """Makes the errors of Beam's file systems errors of the operating system that name the address."""
    from apache_beam.io.filesystem import BeamIOError

    try:
        yield
    except (BeamIOError, ValueError) as error:
        raise OSError(f"{address}: cannot be read or written: {error}") from error
