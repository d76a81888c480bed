"""Writes SavedModels whole or not at all."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tfpose.exporting.conversion import check_formats, write_converted

# The place in a SavedModel for what users add.
EXTRA_FOLDER = "assets.extra"


def write_saved_model(
    module: tf.Module,
    build_signatures: Callable[[], Mapping[str, Callable]],
    output: str | pathlib.Path,
    networks: Mapping[str, keras.Model],
    formats: Sequence[str] = (),
) -> list[str]:
    """Writes a SavedModel; an existing one is replaced when the new one is whole.

    Args:
        module: holds the variables.
        build_signatures: gives concrete functions by name; called when it is known that `output` can be written.
        output: folder of the SavedModel.
        networks: the bare ones by name.
        formats: of `conversion.SUFFIXES`, in which they are written into `EXTRA_FOLDER`.

    Returns:
        What the SavedModel holds, in words: its signatures, and the files of bare networks.

    Raises:
        OSError: if it cannot be written, or `output` holds something that is not a SavedModel.
        ValueError: a network cannot be written in one of the formats.
    """
    check_formats(formats)
    output = pathlib.Path(output)
    if output.exists() and not (output / "saved_model.pb").is_file():
        raise FileExistsError(f"{output}: exists and is not a SavedModel; choose another folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        signatures = build_signatures()
        tf.saved_model.save(module, str(temporary / "model"), signatures=signatures)
        extra = temporary / "model" / EXTRA_FOLDER
        differences = write_converted(networks, formats, extra) if formats else {}
        if output.exists():
            os.replace(output, temporary / "old")
        os.replace(temporary / "model", output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    files = [f"{EXTRA_FOLDER}/{name} (outputs differ by {share:.0e})" for name, share in differences.items()]
    return [f"signatures {', '.join(signatures)}", *files]
