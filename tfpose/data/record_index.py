"""The index of a split: all annotations beside the shards, so that a training need not read every picture first.

It is an archive of NumPy arrays with the columns of `records.RecordTable`; the entry `texts` is JSON.
"""

from __future__ import annotations

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfpose.json_files import format_json, parse_json

_TEXT_COLUMNS = ("file_name", "sequence", "segmentation")
_PLACES = ("shard", "offset", "length")
# Half of the time of writing a dataset would go into the few percent that higher levels save.
_COMPRESSION_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class RecordPlaces:
    """Where the records of a split lie.

    Attributes:
        shard: [I] int64 position of the shard of each image.
        offset: [I] int64 byte at which the data of its record begin.
        length: [I] int64 number of bytes of the data.
    """

    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray


def index_path(shards: Sequence[pathlib.Path], split: str) -> pathlib.Path:
    """Returns the path of the index of a split."""
    return shards[0].parent / f"index-{split}.npz"


def write_annotations(
    path: pathlib.Path, images: Mapping[str, Any], people: Mapping[str, Any], first_person: np.ndarray
) -> None:
    """Writes an index without the places of the records, which `write_places` adds.

    Args:
        path: File to write.
        images: I values of some or all of the columns of `records.RecordTable.images`.
        people: P values of columns of `records.RecordTable.people`.
        first_person: [I + 1] row of the first person of each image, then P.
    """
    texts: dict[str, dict[str, Any]] = {"images": {}, "people": {}}
    arrays = {"first_person": first_person}
    for group, columns in {"images": images, "people": people}.items():
        for name, values in columns.items():
            if name in _TEXT_COLUMNS:
                texts[group][name] = list(values)
            elif name == "ignore_regions":
                arrays["ignore_points"] = np.concatenate(
                    [r for regions in values for r in regions] or [np.zeros((0, 2))]
                )
                texts[group]["ignore_lengths"] = [[len(region) for region in regions] for regions in values]
            else:
                arrays[f"{group}/{name}"] = np.asarray(values)
    arrays["texts"] = np.frombuffer(format_json(texts).encode(), np.uint8)
    _write_arrays(path, "w", arrays)


def write_places(
    path: pathlib.Path, shards: Sequence[pathlib.Path], places: RecordPlaces, images: Mapping[str, np.ndarray]
) -> None:
    """Completes an index that `write_annotations` began.

    Args:
        path: The index.
        shards: The files of the split.
        places: Where the records lie in them.
        images: The columns of images that `write_annotations` left out.
    """
    arrays = {f"images/{name}": values for name, values in images.items()}
    arrays |= {name: getattr(places, name) for name in _PLACES}
    # Last, since an index without it is not valid.
    arrays["shard_sizes"] = np.array([shard.stat().st_size for shard in shards])
    _write_arrays(path, "a", arrays)


def _write_arrays(path: pathlib.Path, mode: Any, arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, mode, zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read_index(shards: Sequence[pathlib.Path], split: str) -> dict | None:
    """Reads the columns of a table; returns None if there is no index of exactly these shards, or a damaged one."""
    try:
        with zipfile.ZipFile(index_path(shards, split)) as archive:
            # A checksum is compared only once an entry is read to its end, which np.load does not do.
            entries = {name: io.BytesIO(archive.read(name)) for name in archive.namelist()}
        arrays = {name.removesuffix(".npy"): np.load(entry, allow_pickle=False) for name, entry in entries.items()}
        if arrays["shard_sizes"].tolist() != [path.stat().st_size for path in shards]:
            return None
        return _index_columns(arrays)
    except Exception:
        # Whatever a damaged index leads to, the records themselves hold the same.
        return None


def _index_columns(arrays: dict[str, np.ndarray]) -> dict:
    texts = parse_json(arrays["texts"].tobytes())
    groups: dict[str, dict] = {"images": {}, "people": {}}
    for name, values in arrays.items():
        if "/" in name:
            group, column = name.split("/")
            groups[group][column] = values
    lengths = texts["images"].pop("ignore_lengths")
    ends = np.cumsum([length for of_image in lengths for length in of_image], dtype=np.int64)
    regions = iter(np.split(arrays["ignore_points"].astype(np.float32), ends[:-1]) if len(ends) else [])
    groups["images"]["ignore_regions"] = [[next(regions) for _ in of_image] for of_image in lengths]
    groups["images"] |= texts["images"]
    groups["people"]["segmentation"] = np.array(texts["people"]["segmentation"], object)
    return {name: arrays[name] for name in (*_PLACES, "first_person")} | groups


def split_regions(points: Sequence, lengths: Sequence) -> list[np.ndarray]:
    """Returns the ignore regions [N, 2] float32 of an image from the fields `ignore_points` and `ignore_lengths`."""
    corners = np.array(points, np.float32).reshape(-1, 2)
    counts = np.array(lengths, np.int64)
    return np.split(corners, np.cumsum(counts)[:-1]) if len(counts) else []
