"""The keypoints of all people of a split: boxes in, poses for each image out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfpose.data.person_crops import crop_matrices
from tfpose.data.records import RecordTable
from tfpose.data.served_crops import crop_batches
from tfpose.inference.keypoint_system import KeypointSystem
from tfpose.inference.two_stage import predict_keypoints, select_poses
from tfpose.poses import Poses, no_poses


@dataclasses.dataclass(frozen=True)
class PersonBoxes:
    """Boxes in which people are looked for, sorted by image.

    Attributes:
        images: Rows of the boxes' images in the record table, [N] int, not decreasing.
        boxes: [N, 4] xyxy in image pixels.
        scores: [N].
        rows: Rows of the table's people for annotated boxes, else -1; [N] int.
        source: Where the boxes come from, for reports, such as 'ground truth'.
    """

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.images)

    def select(self, positions: np.ndarray) -> PersonBoxes:
        """Returns the boxes at these positions, which must be sorted by image, or where this mask is true."""
        names = ("images", "boxes", "scores", "rows")
        return dataclasses.replace(self, **{name: getattr(self, name)[positions] for name in names})


def ground_truth_boxes(table: RecordTable) -> PersonBoxes:
    """Returns the annotated boxes of all people with a labeled joint that are not crowds, with a score of 1."""
    is_person = (table.people["visibility"] > 0).any(axis=1) & (table.people["is_crowd"] == 0)
    rows = np.flatnonzero(is_person)
    return PersonBoxes(
        images=table.image_of_person[rows],
        boxes=table.people["box"][rows].astype(np.float64),
        scores=np.ones(len(rows)),
        rows=rows,
        source="ground truth",
    )


def build_keypoint_function(
    network: Callable[[tf.Tensor], tf.Tensor], system: KeypointSystem
) -> Callable[[np.ndarray, np.ndarray], tuple[tf.Tensor, tf.Tensor]]:
    """Compiles a function from crops [B, H, W, 3] uint8 and matrices [B, 2, 3] float64 to keypoints and scores."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *system.crop.crop_size, 3), tf.uint8),
            tf.TensorSpec((None, 2, 3), tf.float64),
        ],
        autograph=False,
    )
    def find_keypoints(crops: tf.Tensor, crop_from_image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return predict_keypoints(
            network,
            crops,
            crop_from_image,
            system.crop,
            system.normalization,
            system.skeleton.flip_order,
            system.keypoints,
        )

    return find_keypoints


def predict_people(
    find_keypoints: Callable[[np.ndarray, np.ndarray], tuple[tf.Tensor, tf.Tensor]],
    table: RecordTable,
    people: PersonBoxes,
    system: KeypointSystem,
    batch_size: int = 32,
    show_progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [N, J, 2] in image pixels and scores [N, J]; crops of several images share a batch."""
    if not len(people):
        num_joints = system.skeleton.num_joints
        return np.zeros((0, num_joints, 2)), np.zeros((0, num_joints))
    clipped = system.crop.clip_annotated(people.boxes, table.sizes(people.images))
    is_annotated = people.rows[:, None] >= 0
    matrices = crop_matrices(system.crop, np.where(is_annotated, clipped, people.boxes))
    crop = system.crop
    batches = crop_batches(table, people.images, matrices, crop.crop_size, batch_size, crop.reduces_images)
    bar = tqdm(total=len(people), unit=" people", desc="keypoints", disable=not show_progress)
    found = []
    with bar:
        for index, crops in enumerate(batches):
            part = slice(index * batch_size, (index + 1) * batch_size)
            found.append([values.numpy() for values in find_keypoints(crops, matrices[part])])
            bar.update(len(crops))
    keypoints, scores = (np.concatenate(values) for values in zip(*found, strict=True))
    return keypoints, scores


def poses_by_image(
    table: RecordTable,
    people: PersonBoxes,
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    system: KeypointSystem,
) -> list[Poses]:
    """Returns the poses of every image of the table after rescoring and suppression."""
    bounds = np.searchsorted(people.images, np.arange(table.num_images + 1))
    poses = []
    for start, stop in itertools.pairwise(bounds):
        part = slice(start, stop)
        if start == stop:
            poses.append(no_poses(system.skeleton.num_joints))
            continue
        poses.append(
            select_poses(
                keypoints[part],
                joint_scores[part],
                people.boxes[part],
                people.scores[part],
                system.skeleton,
                system.selection,
            )
        )
    return poses
