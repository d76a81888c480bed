"""Records that are encoded without TensorFlow: TensorFlow reads and writes the same."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfpose.data.record_encoding import RecordEncoder
from tfpose.data.record_files import iterate_records, write_record
from tfpose.data.records import IMAGE_FIELDS, PERSON_FIELDS

NUM_JOINTS = 3
# The smallest and largest numbers of one, two and more bytes, each of which holds 7 bits.
NUMBERS = [0, 1, 127, 128, (1 << 14) - 1, 1 << 14, 1 << 35, (1 << 63) - 1, -1, -(1 << 63)]


def image_columns(num_images: int) -> dict:
    return {
        "file_name": [f"folder/photo {image} ä€.jpg" for image in range(num_images)],
        "image_id": np.resize(NUMBERS, num_images),
        "sequence": [""] * num_images,
        "frame": np.arange(num_images),
        "is_labeled": [1] * num_images,
        "ignore_points": [np.arange(2 * image, dtype=np.float32) / 3 for image in range(num_images)],
        "ignore_lengths": [np.array([image] * (image > 0)) for image in range(num_images)],
    }


def person_columns(num_people: int) -> dict:
    rng = np.random.default_rng(0)
    return {
        "keypoints": rng.normal(0, 1e3, (num_people, NUM_JOINTS, 2)).astype(np.float32),
        "visibility": rng.integers(0, 3, (num_people, NUM_JOINTS)),
        "box": rng.uniform(0, 640, (num_people, 4)).astype(np.float32),
        "head_box": np.full((num_people, 4), np.nan, np.float32),
        "area": [float(person) for person in range(num_people)],
        "is_crowd": np.zeros(num_people, np.int64),
        "track_id": np.full(num_people, -1),
        "annotation_id": np.resize(NUMBERS, num_people),
        "segmentation": [f"[[{'1,' * (70 * person)}2]]" for person in range(num_people)],
    }


def expected_example(images: dict, people: dict, image: int, rows: slice, picture: bytes) -> tf.train.Example:
    """The record as protocol buffers make it."""
    features = {}
    for name, kind in IMAGE_FIELDS.items():
        value = {"image": picture, "height": 20, "width": 300}.get(name)
        features[name] = feature(kind, images[name][image] if value is None else value)
    for name, (kind, _) in PERSON_FIELDS.items():
        features[f"people/{name}"] = feature(kind, people[name][rows])
    return tf.train.Example(features=tf.train.Features(feature=features))


def feature(kind: str, value) -> tf.train.Feature:
    if kind == "bytes":
        texts = [value] if isinstance(value, (str, bytes)) else value
        data = [text.encode() if isinstance(text, str) else text for text in texts]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=data))
    flat = np.ravel(value).tolist()
    if kind == "int":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
    return tf.train.Feature(float_list=tf.train.FloatList(value=flat))


@pytest.mark.parametrize("num_bytes", [0, 1, 127, 128, 20_000, 1 << 21])
def test_each_field_is_encoded_as_protocol_buffers_do(num_bytes):
    first_person = np.array([0, 0, 1, 3, 12])
    images, people, picture = image_columns(4), person_columns(12), bytes(num_bytes)
    encoder = RecordEncoder(images, people, first_person, NUM_JOINTS)
    for image in range(4):
        data = b"".join(encoder.encode(image, picture, (20, 300)))
        expected = expected_example(images, people, image, slice(*first_person[image : image + 2]), picture)
        assert len(data) == expected.ByteSize()
        found = tf.train.Example.FromString(data).features.feature
        assert set(found) == set(expected.features.feature)
        for name, values in expected.features.feature.items():
            assert found[name].SerializeToString() == values.SerializeToString(), name


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("box", np.zeros((2, 4)), r"float64 \['P', 4\]"),
        ("box", np.zeros((2, 5), np.float32), r"float32 \['P', 5\]"),
        ("keypoints", np.zeros((2, 4, 2), np.float32), r"float32 \['P', 4, 2\]"),
        ("is_crowd", np.zeros(2, bool), r"bool \['P'\]"),
    ],
)
def test_a_column_of_another_type_or_shape_is_refused(name, values, found):
    people = person_columns(2) | {name: values}
    with pytest.raises(ValueError, match=f"people: '{name}' must be .*, got {found}"):
        RecordEncoder(image_columns(1), people, np.array([0, 2]), NUM_JOINTS)


def test_records_are_written_to_the_byte_as_tensorflow_does(tmp_path):
    records = [b"", b"a", bytes(300), bytes(range(256)) * 1000]
    with tf.io.TFRecordWriter(str(tmp_path / "expected")) as writer:
        for record in records:
            writer.write(record)
    with open(tmp_path / "found", "wb") as file:
        for record in records:
            assert write_record(file, (record[:100], record[100:])) == len(record)
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    assert [data for _, _, data in iterate_records(tmp_path / "found")] == records
