"""A dataset that was read from its published files and is not written yet."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.annotations import SplitAnnotations
from tfpose.messages import printable
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset as it was read.

    Attributes:
        splits: Annotations by name of the split, in the order in which they are written.
        skeleton: Skeleton of all keypoints.
        digest: Checksum of all annotations and options; sources with equal digests give equal records.
        category_id: Identity of the category of people in the annotation files, for files of predictions.
        notes: Lines to print for the user about all splits.
        provenance: Further entries of metadata.json, such as who labeled the images.
    """

    splits: Mapping[str, SplitAnnotations]
    skeleton: Skeleton
    digest: str
    category_id: int = 1
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def digest_files(paths: Iterable[pathlib.Path], options: Mapping[str, Any]) -> str:
    """Computes SHA-256 of the names and contents of annotation files and of the options for reading them."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def print_note(text: str) -> None:
    """Prints a note on stderr in one line; what cannot be printed of the names in a file becomes escape sequences."""
    # In the order of what is on stdout, also where both go into one file.
    sys.stdout.flush()
    print(f"note: {printable(text)}", file=sys.stderr)


def find_image(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of an image file by its name in an annotation file, relative to a folder or absolute.

    Windows writes backslashes between folders, and macOS the accents of letters as characters of their own. They are
    taken so where there is no file of the very name.
    """
    slashed = name.replace("\\", "/")
    if slashed == name and name.isascii():
        return folder / name
    names = [name, slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))]
    return next((path for other in names if (path := folder / other).is_file()), folder / slashed)


def images_outside_note(paths: Sequence[pathlib.Path], source: pathlib.Path) -> tuple[str, ...]:
    """Returns a line that counts the image files outside the folder of the dataset; no line if there are none."""
    root = os.path.join(os.path.abspath(source), "")
    outside = [path for path in paths if not os.path.abspath(path).startswith(root)]
    if not outside:
        return ()
    return (f"{len(outside)} images are outside the folder of --source (first: {outside[0]})",)
