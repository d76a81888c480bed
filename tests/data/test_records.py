import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from record_writing import synthetic_image, write_dataset

from tfpose.data import records
from tfpose.skeletons import COCO17


@pytest.fixture
def dataset(tmp_path):
    images = [synthetic_image(i, COCO17, num_people=i) for i in range(3)]
    images[1]["ignore_points"], images[1]["ignore_lengths"] = list(range(14)), [3, 4]
    images[2]["people"][1]["visibility"][:] = 0
    return write_dataset(tmp_path / "data", COCO17, images)


def shard_of(dataset):
    return next(dataset.glob("*.tfrecord-*"))


def assert_same_table(a, b):
    for name, values in a.people.items():
        np.testing.assert_array_equal(values, b.people[name])
        assert values.dtype == b.people[name].dtype
    for name in ("image_id", "height", "width", "frame", "is_labeled", "file_name", "sequence"):
        assert list(a.images[name]) == list(b.images[name])
    for ours, theirs in zip(a.images["ignore_regions"], b.images["ignore_regions"], strict=True):
        assert [region.tolist() for region in ours] == [region.tolist() for region in theirs]
    np.testing.assert_array_equal(a.first_person, b.first_person)


def test_table_holds_every_image_and_person_in_order(dataset):
    table = records.read_table(dataset, "train")
    assert table.skeleton == COCO17
    assert table.first_person.tolist() == [0, 0, 1, 3]
    assert table.image_of_person.tolist() == [1, 2, 2]
    expected = synthetic_image(2, COCO17, num_people=2)["people"][1]
    np.testing.assert_allclose(table.people["keypoints"][2], expected["keypoints"], rtol=1e-6)
    assert [len(region) for region in table.images["ignore_regions"][1]] == [3, 4]


def test_picture_is_read_back_by_its_place_in_the_file(dataset):
    table = records.read_table(dataset, "train")
    for index in (2, 0, 1):
        assert table.read_image_bytes(index) == synthetic_image(index, COCO17)["image"]


def test_index_gives_the_same_table_as_the_records(dataset):
    from_records = records.read_table(dataset, "train")
    records.write_index(dataset, "train")
    assert_same_table(from_records, records.read_table(dataset, "train"))


def test_digest_differs_for_other_labels_and_pictures(dataset):
    table = records.read_table(dataset, "train")
    assert table.digest() == records.read_table(dataset, "train").digest()
    assert table.digest().startswith("3 images, 3 people (")
    moved = dataclasses.replace(table, people={**table.people, "keypoints": table.people["keypoints"] + 1})
    longer = dataclasses.replace(table, length=table.length + 1)
    assert len({table.digest(), moved.digest(), longer.digest()}) == 3


def test_index_is_read_in_place_of_the_records(dataset, monkeypatch):
    records.write_index(dataset, "train")
    monkeypatch.setattr(records, "iterate_records", lambda path: pytest.fail("records were read"))
    assert records.read_table(dataset, "train").num_people == 3


def test_index_of_other_shards_is_not_used(dataset):
    index = records.write_index(dataset, "train")
    saved = index.read_bytes()
    write_dataset(dataset, COCO17, [synthetic_image(7, COCO17)])
    index.write_bytes(saved)
    assert records.read_table(dataset, "train").num_images == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", b"not an archive"])
def test_damaged_index_is_not_used(dataset, damage):
    records.write_index(dataset, "train").write_bytes(damage)
    assert records.read_table(dataset, "train").num_images == 3


@pytest.mark.parametrize("num_bytes", [5, 11, 40, -1, -5])
def test_truncated_file_is_named_with_the_place(dataset, num_bytes):
    shard = shard_of(dataset)
    shard.write_bytes(shard.read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match="the record at byte .*the file ends inside it") as error:
        records.read_table(dataset, "train")
    assert str(shard) in str(error.value)


def test_file_that_is_truncated_after_its_table_was_read_is_an_error(dataset):
    table = records.read_table(dataset, "train")
    shard = shard_of(dataset)
    shard.write_bytes(shard.read_bytes()[: table.offset[2] + 10])
    with pytest.raises(ValueError, match="the file ends inside it"):
        table.read_image_bytes(2)


def test_record_that_is_no_example_is_an_error(dataset):
    shard = shard_of(dataset)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(b"\xff" * 20)
    with pytest.raises(ValueError, match="the record at byte 12 is not a tf.train.Example"):
        records.read_table(dataset, "train")


def test_missing_split_names_those_that_are_there(dataset):
    with pytest.raises(FileNotFoundError, match=r"no TFRecord files of split 'val'; the splits are \['train'\]"):
        records.read_table(dataset, "val")


def test_missing_shard_is_an_error(dataset):
    shard = shard_of(dataset)
    shard.rename(shard.with_name("test-train.tfrecord-00000-of-00002"))
    with pytest.raises(FileNotFoundError, match="must have 2 shards, got 1"):
        records.read_table(dataset, "train")


def test_folder_without_a_dataset_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be the folder of a dataset that tfpose build wrote"):
        records.read_table(tmp_path, "train")


def test_dataset_is_found_two_levels_down(dataset, tmp_path):
    (tmp_path / "outer" / "name").mkdir(parents=True)
    dataset.rename(tmp_path / "outer" / "name" / "1.0.0")
    assert records.read_table(tmp_path / "outer", "train").num_images == 3


def test_broken_metadata_is_an_error(dataset):
    (dataset / records.METADATA_FILE).write_text(json.dumps({"skeleton": {"name": "x"}}))
    with pytest.raises(ValueError, match=r"metadata.json: 'skeleton' is not valid: 'joints' of a skeleton must be"):
        records.read_table(dataset, "train")
