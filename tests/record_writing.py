"""Writes small datasets in the layout of tfpose.data.records, for tests that need no builder."""

from __future__ import annotations

import json
import pathlib

import cv2
import numpy as np
import tensorflow as tf

from tfpose.data import records
from tfpose.data.frame_augmentation import FrameAugmentation
from tfpose.skeletons import Skeleton

# Payer et al. 2017, section 4. Pixels are those of an input 896 wide and 512 high.
PAYER2017_AUGMENTATION = FrameAugmentation(
    mirror_probability=0.5,
    translation_pixels=100.0,
    rotation_degrees=45.0,
    scale_range=(0.5, 1.5),
    intensity_shift=0.25,
    intensity_scale=0.25,
)


def write_dataset(
    directory: pathlib.Path, skeleton: Skeleton, images: list[dict], split: str = "train"
) -> pathlib.Path:
    """Each image is a dict of `records.IMAGE_FIELDS` with `people`, a list of dicts of PERSON_FIELDS."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / records.METADATA_FILE).write_text(json.dumps({"skeleton": skeleton.to_dict()}))
    path = directory / f"test-{split}.tfrecord-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in images:
            writer.write(_example(image).SerializeToString())
    return directory


def write_info(directory: pathlib.Path, split: str, num_records: list[int]) -> None:
    """Writes the numbers of records in the shards of a split, as tensorflow-datasets does."""
    lengths = [str(number) for number in num_records]
    content = {"splits": [{"name": split, "shardLengths": lengths}]}
    (directory / records.INFO_FILE).write_text(json.dumps(content))


def synthetic_image(index: int, skeleton: Skeleton, size: tuple[int, int] = (120, 160), num_people: int = 1) -> dict:
    """A noisy picture with people at random places."""
    rng = np.random.default_rng(index)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), size[::-1])
    people = []
    for person in range(num_people):
        keypoints = rng.uniform(0.2, 0.8, (skeleton.num_joints, 2)) * [size[1], size[0]]
        low, high = keypoints.min(axis=0), keypoints.max(axis=0)
        people.append(
            {
                "keypoints": keypoints,
                "visibility": np.full(skeleton.num_joints, 2),
                "box": [*low, *high],
                "head_box": [np.nan] * 4,
                "area": float(np.prod(high - low)),
                "is_crowd": 0,
                "track_id": person,
                "annotation_id": 100 * index + person + 1,
                "segmentation": "",
            }
        )
    return {
        "image": cv2.imencode(".jpg", picture)[1].tobytes(),
        "file_name": f"{index:06d}.jpg",
        "image_id": index + 1,
        "height": size[0],
        "width": size[1],
        "sequence": "",
        "frame": index,
        "is_labeled": 1,
        "ignore_points": [],
        "ignore_lengths": [],
        "people": people,
    }


def _example(image: dict) -> tf.train.Example:
    features = {name: _feature(kind, image[name]) for name, kind in records.IMAGE_FIELDS.items()}
    for name, (kind, _) in records.PERSON_FIELDS.items():
        values = [person[name] for person in image["people"]]
        features[f"people/{name}"] = _feature(kind, values)
    return tf.train.Example(features=tf.train.Features(feature=features))


def _feature(kind: str, value) -> tf.train.Feature:
    if kind == "bytes":
        texts = value if isinstance(value, list) else [value]
        data = [text.encode() if isinstance(text, str) else text for text in texts]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=data))
    flat = np.ravel(np.asarray(value)).tolist()
    if kind == "int":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(v) for v in flat]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
