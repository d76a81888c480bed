"""A dataset as it was read from its published files, before anything is written."""

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
    """What a dataset's `read_source` returns.

    Attributes:
        splits: by name, in the order to write them.
        skeleton: of all keypoints.
        digest: a checksum of all annotations and options; equal digests give equal records.
    """

    splits: Mapping[str, SplitAnnotations]
    skeleton: Skeleton
    digest: str


def digest_files(paths: Iterable[pathlib.Path], options: Mapping[str, Any]) -> str:
    """The SHA-256 of the names and contents of files, and of options that change what is made of them."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
