"""Damaged datasets: every damage is noticed, or the bytes that are read are those of the whole dataset.

TFPOSE_RECORD_DAMAGES=200 tries so many damages instead of a small sample.
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil

import numpy as np
import pytest
from record_writing import synthetic_image, write_dataset, write_info

from tfpose.data import records
from tfpose.skeletons import COCO17

NUM_DAMAGES = int(os.environ.get("TFPOSE_RECORD_DAMAGES", "40"))
SPLIT = "train"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    images = [synthetic_image(i, COCO17, size=(48, 64), num_people=i % 3) for i in range(6)]
    images[2]["ignore_points"], images[2]["ignore_lengths"] = list(range(14)), [3, 4]
    folder = write_dataset(tmp_path_factory.mktemp("whole") / "data", COCO17, images, SPLIT)
    write_info(folder, SPLIT, [6])
    records.write_index(folder, SPLIT)
    return folder


def content_of(folder: pathlib.Path) -> str:
    """All that training can read, in a form that compares."""
    table = records.read_table(folder, SPLIT)
    columns = [np.asarray(values).tolist() for values in (*table.people.values(), table.first_person)]
    names = ("image_id", "height", "width", "frame", "is_labeled", "file_name", "sequence")
    regions = [[region.tolist() for region in of_image] for of_image in table.images["ignore_regions"]]
    pictures = [table.read_image_bytes(image) for image in range(table.num_images)]
    return repr([columns, [list(table.images[name]) for name in names], regions, pictures])


def record_starts(path: pathlib.Path) -> list[int]:
    return [offset - 12 for offset, _, _ in records.iterate_records(path)]


def damage(data: bytes, starts: list[int], rng: random.Random) -> bytes:
    """Data with one damage: bits, bytes, lengths, cut or joined at and off the borders of records, swapped records."""
    place, other = rng.randrange(len(data)), rng.randrange(len(data))
    start, following = rng.choice(list(zip(starts, [*starts[1:], len(data)], strict=True)))
    kinds = (
        lambda: data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
        lambda: data[:place] + bytes(rng.randrange(256) for _ in range(16)) + data[place + 16 :],
        lambda: data[:place] + bytes(min(512, len(data) - place)) + data[place + 512 :],
        lambda: data[: start + rng.randrange(8)] + b"\xff" + data[start + 8 :],
        lambda: data[:place],
        lambda: data[:start],
        lambda: data[:start] + data[following:],
        lambda: data[:following] + data[start:following] + data[following:],
        lambda: data[:place] + data[other:],
        lambda: data + bytes(rng.randint(1, 20)),
        lambda: b"",
    )
    return rng.choice(kinds)()


@pytest.mark.parametrize("has_index", [True, False], ids=["with index", "without index"])
def test_damage_is_noticed_or_harmless(whole, tmp_path, has_index):
    expected, outcomes = content_of(whole), {"noticed": 0, "harmless": 0}
    for seed in range(NUM_DAMAGES):
        folder = tmp_path / str(seed)
        shutil.copytree(whole, folder)
        shard, index = next(folder.glob("*.tfrecord-*")), folder / f"index-{SPLIT}.npz"
        starts = record_starts(shard)
        is_index = has_index and seed % 4 == 0
        target = index if is_index else shard
        target.write_bytes(damage(target.read_bytes(), [0] if is_index else starts, random.Random(seed)))
        if not has_index:
            index.unlink()
        try:
            assert content_of(folder) == expected, f"damage {seed} is not noticed"
            outcomes["harmless"] += 1
        except ValueError as error:
            assert str(folder) in str(error)
            assert len(str(error)) < 500 and "\n" not in str(error)
            outcomes["noticed"] += 1
    assert outcomes["noticed"] > NUM_DAMAGES / 2, outcomes
    if has_index:
        # A damaged index is not used.
        assert outcomes["harmless"] >= NUM_DAMAGES / 4, outcomes


def test_shard_that_is_cut_between_two_records_is_named(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "data")
    shard = next((tmp_path / "data").glob("*.tfrecord-*"))
    shard.write_bytes(shard.read_bytes()[: record_starts(shard)[4]])
    with pytest.raises(ValueError, match=r"tfrecord-00000-of-00001: must have '6' records.* got 4"):
        records.read_table(tmp_path / "data", SPLIT)


@pytest.mark.parametrize(("byte", "reason"), [(3, "the checksum of its length"), (60, "the checksum of its data")])
def test_damaged_record_is_named_with_its_byte(whole, tmp_path, byte, reason):
    shutil.copytree(whole, tmp_path / "data")
    table = records.read_table(tmp_path / "data", SPLIT)
    data, start = bytearray(table.shards[0].read_bytes()), record_starts(table.shards[0])[3]
    data[start + byte] ^= 4
    table.shards[0].write_bytes(data)
    with pytest.raises(ValueError, match=rf"00001: the record at byte {start} must be whole, .*{reason}"):
        table.read_image_bytes(3)
    assert table.read_image_bytes(2) == synthetic_image(2, COCO17, size=(48, 64))["image"]
