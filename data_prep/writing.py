"""Writes a dataset: checks it first, then writes all shards into a temporary folder, which is renamed at the end."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.annotations import SplitAnnotations, count_split
from data_prep.picture_notes import PictureNotes
from data_prep.source import Source, print_note
from data_prep.stored_frames import StoredFrame, write_stored_frames
from tfpose import __version__
from tfpose.data.records import METADATA_FILE, write_index
from tfpose.file_locks import hold_lock, try_lock
from tfpose.file_names import full_disk_errors
from tfpose.interruption import SignalWatch
from tfpose.json_files import read_json
from tfpose.messages import quote
from tfpose.prediction.local_workers import run_watched

if TYPE_CHECKING:
    from data_prep.shards import PoseDatasetBuilder

# A record is an image file with its annotations, most of whose bytes are outlines of people.
_RELATIVE_OVERHEAD = 1.05
_ASIDE_PREFIX, _LOCK_NAME = ".incomplete_", "conversion.lock"
NOTES_FOLDER, FRAMES_FOLDER = "picture_notes", "frames"


def write_dataset(
    builder_class: type[PoseDatasetBuilder],
    source: Source,
    output: pathlib.Path,
    overwrite: bool = False,
    beam_options: Sequence[str] | None = None,
) -> pathlib.Path:
    """Writes a dataset to output/<name>/<version>, unless an equal dataset is there already.

    Args:
        builder_class: Builder of the dataset, which gives its name and version.
        source: Splits to write.
        output: Folder of datasets; made if absent.
        overwrite: Whether to replace a dataset of this name and version, equal or not.
        beam_options: Options NAME=VALUE of an Apache Beam pipeline that writes shards in parallel; None writes them one
            at a time without Beam.

    Returns:
        The folder with the TFRecord files.

    Raises:
        ValueError: There is nothing to write, an image is not valid, or another dataset is there already.
        FileNotFoundError: An image file is missing.
        OSError: The disk is too small, or it is full.
    """
    image_sizes = {name: image_bytes(split) for name, split in source.splits.items()}
    _check_splits(source)
    _clear_leftovers(pathlib.Path(output))
    digest = hashlib.sha256(source.digest.encode())
    for sizes in image_sizes.values():
        digest.update(sizes.tobytes())
    metadata = {
        "source_digest": digest.hexdigest(),
        "version": __version__,
        "category_id": source.category_id,
        "counts": {name: count_split(split) for name, split in source.splits.items()},
        **source.provenance,
    }
    directory = pathlib.Path(output) / builder_class.name / str(builder_class.VERSION)
    beam = None if beam_options is None else _beam_pipeline(beam_options)
    if overwrite or not _is_there(directory, source, metadata["source_digest"]):
        _check_disk_space(output, sum(map(_bytes_of_files, source.splits.values(), image_sizes.values())))
        with full_disk_errors(output), _folder_aside(output) as aside:
            finished = _write_aside(builder_class, source, metadata, pathlib.Path(aside), beam or {})
            # Another conversion may have been faster.
            if overwrite or not _is_there(directory, source, metadata["source_digest"]):
                _move(finished, directory)
    return directory


def _is_there(directory: pathlib.Path, source: Source, digest: str) -> bool:
    """Returns whether an equal dataset is there already, and says so.

    Raises:
        ValueError: Another dataset is there.
    """
    if not directory.exists():
        return False
    found = read_metadata(directory)
    if found.get("source_digest") != digest:
        raise ValueError(f"{directory}: already holds another dataset; choose another --output, or add --overwrite")
    by = quote(found["version"]) if "version" in found else "an earlier version"
    print_note(
        f"{directory}: holds this dataset already, converted by {by} of tfpose (this is {__version__!r}); "
        "--overwrite converts it again"
    )
    # Of the images only their sizes are compared.
    built = (directory / METADATA_FILE).stat().st_mtime
    paths = [path for split in source.splits.values() for path in split.image_paths]
    if newer := [path for path in paths if os.stat(path).st_mtime > built]:
        print_note(f"{len(newer)} images were changed after that, such as {os.fspath(newer[0])}")
    return True


def image_bytes(split: SplitAnnotations) -> np.ndarray:
    """Returns the sizes [I] of the image files in bytes.

    Raises:
        FileNotFoundError: Image files are missing; the message counts them and names the first.
    """
    sizes, missing = np.zeros(split.num_images, np.int64), []
    for image, path in enumerate(split.image_paths):
        try:
            sizes[image] = os.stat(path).st_size
        except FileNotFoundError:
            missing.append(path)
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: image file not found ({len(missing)} of {split.num_images} are missing)"
        )
    return sizes


def _bytes_of_files(split: SplitAnnotations, sizes: np.ndarray) -> int:
    """Returns the bytes of the images that are files; others are written before their size is known."""
    return int(
        sum(size for path, size in zip(split.image_paths, sizes, strict=True) if not isinstance(path, StoredFrame))
    )


def _check_splits(source: Source) -> None:
    for name, split in source.splits.items():
        if not split.num_images:
            raise ValueError(f"split {name!r}: must have images, got none")
    if not any(split.first_person[-1] for split in source.splits.values()):
        raise ValueError(f"splits {', '.join(source.splits)}: must have people, got none")
    if not any(np.any(split.people["visibility"]) for split in source.splits.values()):
        print_note("nobody has a labeled joint; only person detectors can be trained on this dataset")
    for (first, images), (second, others) in itertools.combinations(source.splits.items(), 2):
        if shared := set(images.image_paths) & set(others.image_paths):
            words = f"{len(shared)} images are in both, such as {min(map(os.fspath, shared))}"
            print_note(f"splits {first} and {second}: {words}; metrics on images of the training are too high")


def read_metadata(directory: pathlib.Path) -> dict[str, Any]:
    """Returns what a conversion wrote about its dataset; nothing if the file is absent or damaged."""
    try:
        content = read_json(directory / METADATA_FILE)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_disk_space(output: pathlib.Path, num_bytes: int) -> None:
    output.mkdir(parents=True, exist_ok=True)
    needed, free = int(num_bytes * _RELATIVE_OVERHEAD), shutil.disk_usage(output).free
    if free < needed:
        raise OSError(f"{output}: free disk space must be about {_in_words(needed)}, got {_in_words(free)}")


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e3:,.0f} kB"


def _write_aside(
    builder_class: type[PoseDatasetBuilder],
    source: Source,
    metadata: dict[str, Any],
    aside: pathlib.Path,
    beam: dict[str, Any],
) -> pathlib.Path:
    """Writes the files into a temporary folder; returns the folder of the dataset in it."""
    import tensorflow_datasets as tfds

    download_config = tfds.download.DownloadConfig(try_download_gcs=False, **beam)
    num_images = sum(split.num_images for split in source.splits.values())
    splits = _splits_of_files(source, aside.parent, aside)
    with _progress_bar(num_images, builder_class.name, disable=bool(beam)) as progress:
        builder = builder_class(
            splits=splits,
            skeleton=source.skeleton,
            metadata=metadata,
            data_dir=aside,
            on_record=progress.update,
        )
        try:
            # tensorflow-datasets prints where it writes, which is not where the dataset will be.
            with contextlib.redirect_stdout(io.StringIO()):
                prepare = functools.partial(
                    builder.download_and_prepare, download_dir=aside / "downloads", download_config=download_config
                )
                run_beam(prepare) if beam else prepare()
        except RuntimeError as error:
            # Beam wraps the error of a worker: its text is a traceback whose last line is the message.
            if not beam:
                raise
            raise ValueError(str(error).strip().splitlines()[-1]) from error
    for split in source.splits:
        if beam:
            write_index(builder.data_dir, split)
        for line in PictureNotes.read((aside / NOTES_FOLDER / split).glob("*")).lines():
            print_note(f"{split}: {line}")
    return pathlib.Path(builder.data_dir)


def run_beam(action: Callable[[], None]) -> None:
    """Runs a pipeline of Beam. Its workers on this machine end with it, by a signal too.

    Raises:
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP interrupted it. Beam would wait for its workers.
        OSError: A worker ended, for which Beam would wait.
        Exception: The error of the pipeline.
    """
    with SignalWatch() as watch:
        is_finished = run_watched(action, lambda: watch.stop_requested)
    if not is_finished:
        raise KeyboardInterrupt


def _progress_bar(num_images: int, name: str, disable: bool) -> Any:
    from tqdm import tqdm

    class ProgressBar(tqdm):
        """A bar without the thread that tqdm starts for slow ones: beside a thread this process cannot be copied."""

        monitor_interval = 0

    return ProgressBar(total=num_images, unit=" images", desc=name, disable=disable)


@contextlib.contextmanager
def _folder_aside(output: pathlib.Path) -> Iterator[str]:
    """Yields a folder for unfinished files. Its lock shows other conversions that this one is at work."""
    with (
        tempfile.TemporaryDirectory(dir=output, prefix=_ASIDE_PREFIX) as aside,
        hold_lock(pathlib.Path(aside) / _LOCK_NAME, "the folder of one conversion"),
    ):
        yield aside


def _splits_of_files(source: Source, output: pathlib.Path, aside: pathlib.Path) -> dict[str, SplitAnnotations]:
    """Returns the splits with all images as files; frames of videos are written into the folder `aside`."""
    splits = write_stored_frames(source.splits, aside / FRAMES_FOLDER)
    if (aside / FRAMES_FOLDER).exists():
        _check_disk_space(output, sum(int(image_bytes(split).sum()) for split in splits.values()))
    return splits


def _clear_leftovers(output: pathlib.Path) -> None:
    """Removes the unfinished files of conversions that were killed, and says so."""
    for lock in sorted(output.glob(f"{_ASIDE_PREFIX}*/{_LOCK_NAME}")):
        # Without locks nobody knows whether the other conversion is still at work.
        with contextlib.suppress(OSError), open(lock, "a+", encoding="utf-8") as file:
            if try_lock(file):
                shutil.rmtree(lock.parent)
                print(f"note: removed {lock.parent}, which a killed conversion left", file=sys.stderr)


def _move(finished: pathlib.Path, directory: pathlib.Path) -> None:
    """Gives a finished dataset its name; one that is there already is removed with the temporary folder."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    replaced = finished.parent / "replaced"
    if directory.exists():
        os.replace(directory, replaced)
    try:
        os.replace(finished, directory)
    except BaseException:
        if replaced.exists() and not directory.exists():
            os.replace(replaced, directory)
        raise


def check_beam(options: Sequence[str]) -> None:
    """Checks that Apache Beam is installed and that the options of its pipeline have the form NAME=VALUE.

    Raises:
        ValueError: The message names the flag.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise ValueError("--beam requires the package apache-beam; run pip install 'tfpose[beam]'")
    for option in options:
        if "=" not in option:
            raise ValueError(f"--beam_options must be NAME=VALUE,NAME=VALUE,..., got {option!r}")


def _beam_pipeline(options: Sequence[str]) -> dict[str, Any]:
    check_beam(options)
    import apache_beam as beam

    values = dict(option.split("=", 1) for option in options)
    runner = values.pop("runner", "DirectRunner")
    return {
        "beam_runner": beam.runners.create_runner(runner),
        "beam_options": beam.options.pipeline_options.PipelineOptions.from_dictionary(values),
    }
