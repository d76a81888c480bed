"""The people that a Keypoint R-CNN finds in the images of a record table, with their keypoints."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfpose.data.detection_images import read_picture
from tfpose.data.records import RecordTable
from tfpose.data.step_batches import Shapes, dataset_of_arrays, iterate_dataset
from tfpose.models.keypoint_rcnn.detection import People, find_people
from tfpose.models.keypoint_rcnn.network import KeypointRcnn
from tfpose.models.keypoint_rcnn.settings import KEYPOINT_OFFSET, KeypointRcnnSettings
from tfpose.poses import Poses

FindPeople = Callable[[np.ndarray], People]


@dataclasses.dataclass(frozen=True)
class TablePeople:
    """The people of all images, sorted by image, best first within each image.

    Attributes:
        images: Rows of the people's images in the record table, [N] int64, not decreasing.
        boxes: [N, 4] float64 xyxy, with the convention of the table's boxes.
        scores: [N] float64.
        keypoints: [N, J, 2] float64 in image pixels; J is 0 for a network without keypoints.
        joint_scores: [N, J] float64.
    """

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray
    joint_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_keypoints(self) -> bool:
        """Whether the network finds keypoints."""
        return self.keypoints.shape[1] > 0


def build_find_function(network: KeypointRcnn, settings: KeypointRcnnSettings | None = None) -> FindPeople:
    """Compiles `find_people` as a function of images [B, H, W, 3] uint8 of any number and size."""
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    return tf.function(lambda images: find_people(network, images, settings), signature, autograph=False)


def find_table_people(
    find: FindPeople, table: RecordTable, batch_size: int = 1, part: slice = slice(None), show_progress: bool = False
) -> TablePeople:
    """Finds the people of the images of a table.

    Args:
        find: Function from `build_find_function`.
        table: Records.
        batch_size: Number of images of one size that go through the network at once.
        part: Which of `image_batches(table, batch_size)` the network sees; at least one.
        show_progress: Draw a progress bar.

    Raises:
        ValueError: A picture cannot be decoded; names it.
    """
    batches, parts = image_batches(table, batch_size)[part], []
    num_images = sum(map(len, batches))
    with tqdm(total=num_images, unit=" images", desc="people", disable=not show_progress) as bar:
        for batch, images in zip(batches, _read_batches(table, batches), strict=True):
            people = find(images)
            parts.append([values.numpy() for values in people._replace(image_indices=people.image_indices + batch[0])])
            bar.update(len(images))
    boxes, scores, rows, keypoints = (np.concatenate(values) for values in zip(*parts, strict=True))
    return TablePeople(
        images=rows.astype(np.int64),
        boxes=boxes.astype(np.float64),
        scores=scores.astype(np.float64),
        keypoints=keypoints[..., :2].astype(np.float64) - KEYPOINT_OFFSET,
        joint_scores=keypoints[..., 3].astype(np.float64),
    )


def no_table_people(num_joints: int) -> TablePeople:
    """Returns what `find_table_people` gives where there is nobody."""
    return TablePeople(
        images=np.zeros(0, np.int64),
        boxes=np.zeros((0, 4)),
        scores=np.zeros(0),
        keypoints=np.zeros((0, num_joints, 2)),
        joint_scores=np.zeros((0, num_joints)),
    )


def image_batches(table: RecordTable, batch_size: int) -> list[range]:
    """Returns the images of each batch, in the order of the table; a new size of images begins a new batch."""
    sizes = np.stack([table.images["height"], table.images["width"]], axis=1)
    starts = np.flatnonzero(np.append(True, np.any(np.diff(sizes, axis=0), axis=1)))
    return [
        range(first, min(first + batch_size, end))
        for start, end in zip(starts, [*starts[1:], len(sizes)], strict=True)
        for first in range(start, end, batch_size)
    ]


def _read_batches(table: RecordTable, batches: Sequence[range]) -> Iterator[np.ndarray]:
    """Reads the images [B, H, W, 3] uint8 of each batch."""

    def load(index: int) -> dict[str, np.ndarray]:
        return {"images": np.stack([read_picture(table, row) for row in batches[index]])}

    shapes: Shapes = {"images": ((None, None, None, 3), tf.uint8)}
    for batch in iterate_dataset(dataset_of_arrays(load, shapes, tf.data.Dataset.range(len(batches)))):
        yield batch["images"]


def poses_by_image(table: RecordTable, people: TablePeople) -> list[Poses]:
    """Returns the poses of every image of the table; the score of a person is the score of the box."""
    bounds = np.searchsorted(people.images, np.arange(table.num_images + 1))
    track_ids = np.full(len(people), -1)
    return [
        Poses(
            people.keypoints[part], people.joint_scores[part], people.scores[part], people.boxes[part], track_ids[part]
        )
        for part in (slice(start, stop) for start, stop in itertools.pairwise(bounds))
    ]
