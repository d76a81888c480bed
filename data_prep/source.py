"""A dataset that was read from its published files and is not written yet."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from data_prep.annotations import SplitAnnotations
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset as it was read.

    Attributes:
        splits: Annotations by name of the split, in the order in which they are written.
        skeleton: Skeleton of all keypoints.
        digest: Checksum of all annotations and options; sources with equal digests give equal records.
    """

    splits: Mapping[str, SplitAnnotations]
    skeleton: Skeleton
    digest: str


def digest_files(paths: Iterable[pathlib.Path], options: Mapping[str, Any]) -> str:
    """Computes SHA-256 of the names and contents of annotation files and of the options for reading them."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
