"""The pictures of a TFRecord file as files, so that they are predicted as other pictures are."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from tfpose.data.record_files import iterate_records
from tfpose.picture_files import picture_kind

# Fields of the encoded picture and of its name: those of `tfpose build`, and those of TensorFlow's detection datasets.
_PICTURE_FIELDS, _NAME_FIELDS = ("image", "image/encoded"), ("file_name", "image/filename")


def is_record_file(name: str) -> bool:
    """Returns whether a name is that of a TFRecord file, such as coco-val.tfrecord-00000-of-00008."""
    return ".tfrecord" in os.path.basename(name)


def unpack_pictures(path: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the encoded pictures of a TFRecord file to a folder, each under the name in its record.

    A picture without a name is called after its position in the file, counted from 0.

    Args:
        path: File of `tf.train.Example` records.
        folder: Folder for the pictures.

    Returns:
        Paths of the pictures in the order of the records.

    Raises:
        ValueError: A record is damaged or holds no picture, two pictures have one name, or the file is empty.
    """
    import tensorflow as tf

    written: list[pathlib.Path] = []
    for index, (offset, _, data) in enumerate(iterate_records(path)):
        try:
            features = tf.train.Example.FromString(data).features.feature
        except Exception as error:  # protobuf's DecodeError is not exported
            raise ValueError(f"{path}: the record at byte {offset} is not a tf.train.Example") from error
        picture = _first_bytes(features, _PICTURE_FIELDS)
        if not picture:
            fields = " or ".join(_PICTURE_FIELDS)
            raise ValueError(f"{path}: the record at byte {offset} must hold a picture in {fields}, got none")
        target = folder / _safe_name(_first_bytes(features, _NAME_FIELDS), index, picture)
        if target.exists():
            raise ValueError(f"{path}: pictures must have different names, got two that are called {target.name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture)
        written.append(target)
    if not written:
        raise ValueError(f"{path}: must hold records, got none")
    return written


def _first_bytes(features: Any, names: tuple[str, ...]) -> bytes:
    for name in names:
        if name in features and features[name].bytes_list.value:
            return features[name].bytes_list.value[0]
    return b""


def _safe_name(name: bytes, index: int, picture: bytes) -> pathlib.PurePosixPath:
    """Returns the path of a picture, which cannot lie outside the folder."""
    parts = [part for part in name.decode("utf-8", "replace").replace("\0", "").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        kind = picture_kind(picture[:16]) or "jpg"
        return pathlib.PurePosixPath(f"{index:06d}.{kind.lower()}")
    return pathlib.PurePosixPath(*parts)
