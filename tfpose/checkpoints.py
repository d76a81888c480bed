"""Checkpoints: the whole state of a training run in one file, which appears only when it is complete.

A checkpoint is a NumPy `.npz` archive `WORKDIR/checkpoints/step_00012000.npz`: one array for each
variable, named `model/...`, `optimizer/...`, `ema/...` or `loss_scale/...`, and `metadata` (JSON as
bytes). The archive holds a checksum of each array, so reading detects a damaged file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfpose.messages import quote
from tfpose.weights_files import load_weights_file, save_weights_file

DIRECTORY_NAME = "checkpoints"
FINAL_WEIGHTS_NAME = "model.weights.h5"
BEST_WEIGHTS_NAME = "best.weights.h5"
# The config of a run, in its work folder.
RUN_CONFIG_FILE = "config.json"
_FILE_PATTERN = re.compile(r"step_(\d+)\.npz")
_TEMPORARY_PREFIX = ".incomplete_"
_METADATA_NAME = "metadata"
# A generous estimate of what a weights file holds besides its numbers.
_HDF5_BYTES = 2**16
_HDF5_BYTES_PER_VARIABLE = 2**12
# What the readers of zip, NumPy and JSON raise for damaged files; SyntaxError is that of a damaged header of an array.
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, SyntaxError),
    *(RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metadata:
    """Contents of a checkpoint besides the variables.

    Attributes:
        step: Number of finished steps.
        best: {"metric": name, "value": value} if this step had the best evaluation until then.
        pending: Scalars of the steps since the last log row, by name, so that the next row is complete.
    """

    step: int
    best: dict[str, str | float] | None = None
    pending: dict[str, list[float]] = field(default_factory=dict)


def write_checkpoint(workdir: Path, values: Mapping[str, np.ndarray], metadata: Metadata) -> Path:
    """Writes a checkpoint whole or not at all.

    Raises:
        OSError: The file cannot be written, because the disk is full for example; earlier checkpoints stay intact.
    """
    directory = Path(workdir) / DIRECTORY_NAME
    path = directory / f"step_{metadata.step:08d}.npz"
    text = json.dumps({"step": metadata.step, "best": metadata.best, "pending": metadata.pending})
    encoded = np.frombuffer(text.encode(), np.uint8)
    with _replace_when_complete(path, "checkpoint") as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{_METADATA_NAME: encoded}, **values)
        file.flush()
        os.fsync(file.fileno())
    return path


def write_weights(model: keras.Model, path: Path) -> None:
    """Writes the plain Keras weights of `model` to `path` (`*.weights.h5`), whole or not at all.

    Raises:
        OSError: The file cannot be written; an earlier file of that name stays intact.
    """
    num_bytes = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.variables)
    num_bytes += _HDF5_BYTES + _HDF5_BYTES_PER_VARIABLE * len(model.variables)
    with _replace_when_complete(Path(path), "weights") as temporary:
        _check_space(temporary, num_bytes)
        save_weights_file(model, temporary)


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], Metadata]:
    """Reads the variables and the metadata of a checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a whole checkpoint, or a variable is not finite.
    """
    with _open_checkpoint(path) as archive:
        values = {name: _read_numbers(archive, name) for name in archive.files if name != _METADATA_NAME}
        return values, _decode_metadata(archive, path)


def read_metadata(path: Path) -> Metadata:
    """Reads the metadata alone; errors as in `read_checkpoint`."""
    with _open_checkpoint(path) as archive:
        return _decode_metadata(archive, path)


def list_checkpoints(workdir: Path) -> list[Path]:
    """Returns the checkpoints of a run, ordered by step."""
    directory = Path(workdir) / DIRECTORY_NAME
    if not directory.is_dir():
        return []
    paths = [path for path in directory.iterdir() if _FILE_PATTERN.fullmatch(path.name)]
    return sorted(paths, key=parse_step)


def parse_step(path: Path) -> int:
    """Returns the step in the name of a checkpoint."""
    match = _FILE_PATTERN.fullmatch(Path(path).name)
    if match is None:
        raise ValueError(f"{path}: the name of a checkpoint must be step_<number>.npz")
    return int(match[1])


def read_latest_checkpoint(workdir: Path) -> tuple[Path, dict[str, np.ndarray], Metadata] | None:
    """Reads the newest undamaged checkpoint of a run and warns of damaged ones; returns None for a fresh run.

    Raises:
        ValueError: There are checkpoints but all of them are damaged.
    """
    paths = list_checkpoints(workdir)
    for path in reversed(paths):
        try:
            return path, *read_checkpoint(path)
        except ValueError as error:
            logger.warning("%s; trying the checkpoint before it", error)
    if paths:
        raise ValueError(f"{paths[0].parent}: none of the {len(paths)} checkpoints can be read")
    return None


def find_best_checkpoint(workdir: Path) -> tuple[Path, Metadata] | None:
    """Finds the checkpoint with the best evaluation; returns None if there was no evaluation."""
    # A checkpoint is marked when it beats all before it, so the newest mark is the best.
    for path in reversed(list_checkpoints(workdir)):
        with contextlib.suppress(ValueError):
            metadata = read_metadata(path)
            if metadata.best is not None:
                return path, metadata
    return None


def prune_checkpoints(workdir: Path, max_to_keep: int, step: int) -> None:
    """Deletes all checkpoints up to a step but the newest `max_to_keep` and the best one, and deletes unfinished files.

    Args:
        workdir: Folder of the run.
        max_to_keep: Number of newest checkpoints to keep.
        step: Step of the run. Checkpoints of later steps are damaged ones that the run was not continued from. They
            must not push out those that it writes now.
    """
    best = find_best_checkpoint(workdir)
    paths = [path for path in list_checkpoints(workdir) if parse_step(path) <= step]
    kept = set(paths[-max_to_keep:]) | ({best[0]} if best else set())
    for path in paths:
        if path not in kept:
            path.unlink(missing_ok=True)
    for directory in (Path(workdir), Path(workdir) / DIRECTORY_NAME):
        for path in directory.glob(f"{_TEMPORARY_PREFIX}*"):
            if path.is_file():
                path.unlink(missing_ok=True)


def name_variables(variables: list[keras.Variable], skip_parts: int = 0) -> dict[str, keras.Variable]:
    """Maps paths to variables, without the first `skip_parts` parts of each path; repeated paths are numbered."""
    named: dict[str, keras.Variable] = {}
    for variable in variables:
        path = "/".join(variable.path.split("/")[skip_parts:])
        name, count = path, 1
        while name in named:
            count += 1
            name = f"{path}#{count}"
        named[name] = variable
    return named


def read_values(
    strategy: tf.distribute.Strategy, variables: Mapping[str, keras.Variable | tf.Variable]
) -> dict[str, np.ndarray]:
    """Copies variables to the host; of a mirrored variable it copies the first replica of this process."""
    values = {}
    for name, variable in variables.items():
        raw = variable.value if isinstance(variable, keras.Variable) else variable
        values[name] = strategy.experimental_local_results(raw)[0].numpy()
    return values


def assign_values(
    variables: Mapping[str, keras.Variable | tf.Variable],
    values: Mapping[str, np.ndarray],
    path: Path,
) -> None:
    """Sets `variables` to the `values` read from `path`, or none of them if a name or shape differs.

    Raises:
        ValueError: A name or shape differs; the message names the first such variable.
    """
    for name in [*variables, *(name for name in values if name not in variables)]:
        expected = tuple(variables[name].shape) if name in variables else "absent"
        found = values[name].shape if name in values else "no such variable"
        if expected != found:
            raise ValueError(
                f"{path}: {name} must be {expected}, got {found}; the checkpoint was written by a different model or "
                "configuration"
            )
    for name, variable in variables.items():
        variable.assign(values[name])


def load_for_inference(model: keras.Model, workdir: Path, which: str = "best") -> Path:
    """Loads the weights of a training run into `model`; the averaged weights if the run kept an average.

    Args:
        model: A network of the architecture that was trained; changed in place.
        workdir: Folder of the run.
        which: "best" (best evaluation) or "last" (newest undamaged checkpoint). Without a checkpoint the weights come
            from the file that the run exported, `best.weights.h5` or `model.weights.h5`.

    Returns:
        The file with the weights.

    Raises:
        FileNotFoundError: The run has no such weights.
        ValueError: `which` is unknown, the file is damaged, or a different model wrote it.
    """
    if which not in ("best", "last"):
        raise ValueError(f"which must be 'best' or 'last', got {which!r}")
    found = _read_best_checkpoint(Path(workdir)) if which == "best" else read_latest_checkpoint(workdir)
    if not found:
        return _load_exported_weights(model, Path(workdir), which)
    path, values, _ = found
    weights = {k[len("model/") :]: v for k, v in values.items() if k.startswith("model/")}
    weights |= {k[len("ema/") :]: v for k, v in values.items() if k.startswith("ema/")}
    assign_values(name_variables(model.variables), weights, path)
    return path


def _read_best_checkpoint(workdir: Path) -> tuple[Path, dict[str, np.ndarray], Metadata] | None:
    """Reads the best checkpoint; returns None if there is none, or it is damaged and its weights were exported."""
    best = find_best_checkpoint(workdir)
    if best is None:
        return None
    try:
        return best[0], *read_checkpoint(best[0])
    except ValueError as error:
        if not (workdir / BEST_WEIGHTS_NAME).is_file():
            raise
        logger.warning("%s; using %s", error, BEST_WEIGHTS_NAME)
    return None


def _load_exported_weights(model: keras.Model, workdir: Path, which: str) -> Path:
    path = workdir / (BEST_WEIGHTS_NAME if which == "best" else FINAL_WEIGHTS_NAME)
    if not path.is_file():
        has_last = which == "best" and (list_checkpoints(workdir) or (workdir / FINAL_WEIGHTS_NAME).is_file())
        hint = "; no evaluation of the run was marked as the best, --weights=last takes the last weights"
        raise FileNotFoundError(f"{workdir}: no {which} checkpoint and no {path.name}{hint if has_last else ''}")
    load_weights_file(model, path)
    return path


@contextlib.contextmanager
def _open_checkpoint(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: the checkpoint is damaged (not a whole archive)")
    try:
        _check_entries(path)
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: the checkpoint is damaged ({reason})") from error


def _check_entries(path: Path) -> None:
    """Raises an error if the entries are packed: a small file could then unpack to any size."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise ValueError("an array is packed")
    if sum(entry.file_size for entry in entries) > Path(path).stat().st_size:
        raise ValueError("the arrays are larger than the file")


def _read_numbers(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    values = archive[name]
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite numbers, got infinity or not-a-number")
    return values


def _decode_metadata(archive: np.lib.npyio.NpzFile, path: Path) -> Metadata:
    fields = json.loads(archive[_METADATA_NAME].tobytes())
    metadata = Metadata(step=fields["step"], best=fields["best"], pending=fields["pending"])
    if metadata.step != parse_step(path):
        raise ValueError(f"the file must hold step {parse_step(path)}, got {quote(metadata.step)}")
    if metadata.best is not None and not math.isfinite(float(metadata.best["value"])):
        raise ValueError("the best value must be finite")
    for name, numbers in metadata.pending.items():
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise ValueError(f"{quote(name)} must be numbers")
    return metadata


@contextlib.contextmanager
def _replace_when_complete(path: Path, what: str) -> Iterator[Path]:
    """Yields a temporary name that becomes `path` on success and vanishes on failure."""
    temporary = path.with_name(_TEMPORARY_PREFIX + path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            getattr(error, "errno", None),
            f"cannot write the {what} ({reason}); earlier files are intact",
            str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_space(temporary: Path, num_bytes: int) -> None:
    """Raises an error if the disk has no room for a file of that size, because HDF5 would crash the process."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with open(temporary, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, num_bytes)
    temporary.unlink()


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # Windows opens no folders.
        return
    # Without this a power failure can undo the renaming although the contents are on disk.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
