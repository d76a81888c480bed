"""Writes complete SavedModels or none."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfpose.exporting.conversion import SUFFIXES, check_formats, write_converted
from tfpose.exporting.system_file import EXTRA_FOLDER
from tfpose.file_names import full_disk_errors, named_errors
from tfpose.json_files import write_json
from tfpose.messages import MOST_OF_A_VALUE, printable

# What exports of this and of earlier versions hold, and the kinds of files in `EXTRA_FOLDER`.
_SAVED_MODEL_FILE = "saved_model.pb"
_NAMES = (_SAVED_MODEL_FILE, "fingerprint.pb", "keras_metadata.pb", "variables", "assets", EXTRA_FOLDER)
_EXTRA_SUFFIXES = (".json", *SUFFIXES.values())


def check_target(output: pathlib.Path) -> None:
    """Checks that a SavedModel can be written to a folder.

    Raises:
        FileExistsError: The folder is neither new nor a SavedModel, or holds other files, which would be lost.
    """
    if not output.exists():
        return
    if not (output / _SAVED_MODEL_FILE).is_file():
        raise FileExistsError(f"{output}: must be a new folder or a SavedModel; choose another folder")
    others = [path for path in output.iterdir() if path.name not in _NAMES]
    others += [path for path in (output / EXTRA_FOLDER).glob("*") if path.suffix not in _EXTRA_SUFFIXES]
    names = sorted(str(path.relative_to(output)) for path in others if not path.name.startswith("."))
    if names:
        raise FileExistsError(
            f"{output}: must be a new folder or a SavedModel without other files, which would be lost, got "
            f"{printable(', '.join(names), MOST_OF_A_VALUE)}; move the files or choose another folder"
        )


def write_saved_model(
    module: tf.Module,
    build_signatures: Callable[[], Mapping[str, Callable]],
    output: str | pathlib.Path,
    networks: Mapping[str, keras.Model],
    formats: Sequence[str] = (),
    extra_files: Mapping[str, Mapping[str, Any]] | None = None,
    write_more: Callable[[pathlib.Path], list[str]] | None = None,
) -> list[str]:
    """Writes a SavedModel. An existing one is replaced when the new one is complete.

    Args:
        module: Module whose attributes are the networks; the signatures read the networks' variables.
        build_signatures: Function that returns concrete functions by signature name. It is slow, so it is called after
            `output` has been checked.
        output: Folder of the SavedModel.
        networks: Bare networks by file name.
        formats: Formats of `conversion.SUFFIXES` in which the bare networks are written too, into `EXTRA_FOLDER`.
        extra_files: Contents of JSON files in `EXTRA_FOLDER` by name, such as the description of the system, which
            `tfpose.predict` reads.
        write_more: Function that writes further files into the folder that it is given, `EXTRA_FOLDER`, and returns
            their descriptions.

    Returns:
        Descriptions of what was written: the signatures, and the files of bare networks.

    Raises:
        OSError: `output` cannot be written; or see `check_target`.
        ValueError: A network cannot be written in one of the formats.
    """
    check_formats(formats)
    output = pathlib.Path(output)
    check_target(output)
    # A link stays and leads to the new model.
    target = pathlib.Path(os.path.realpath(output))
    target.parent.mkdir(parents=True, exist_ok=True)
    with named_errors(output):
        scratch = tempfile.TemporaryDirectory(dir=target.parent, prefix=".incomplete_", ignore_cleanup_errors=True)
    with full_disk_errors(output), scratch:
        temporary = pathlib.Path(scratch.name)
        signatures = build_signatures()
        tf.saved_model.save(_hold_variables(module), str(temporary / "model"), signatures=signatures)
        extra = temporary / "model" / EXTRA_FOLDER
        for name, content in (extra_files or {}).items():
            write_json(extra / name, content, indent=2)
        differences = write_converted(networks, formats, extra) if formats else {}
        more = write_more(extra) if write_more else []
        if target.exists():
            os.replace(target, temporary / "old")
        os.replace(temporary / "model", target)
    files = [f"{EXTRA_FOLDER}/{name} (outputs differ by {share:.0e})" for name, share in differences.items()]
    return [f"signatures {', '.join(signatures)}", *files, *more]


def _hold_variables(module: tf.Module) -> tf.Module:
    """Returns a module with the plain variables of another module's networks, to be saved in place of the networks.

    Keras 3.15 saves copies of its variables beside those that the signatures read. `tf.saved_model.load` restores both,
    but a session, such as TensorFlow Serving's, restores only the copies.
    """
    networks = [value for value in vars(module).values() if isinstance(value, keras.Model)]
    holder = tf.Module(name=module.name)
    holder.variables_of_networks = [variable.value for network in networks for variable in network.variables]
    return holder
