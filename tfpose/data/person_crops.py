"""Input pipeline of the two-stage system: one example per person, a pure function of (seed, step).

A step's batch is found by arithmetic, not by replay: the people of every epoch stand in a new order, step s takes the
places s * global_batch and following, and each replica its share of them. So training resumes at any step at once,
and one device sees the same global batch as many.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.crops import CropSettings
from tfpose.data.augmentation import NO_AUGMENTATION, Augmentation, draw_augmentation
from tfpose.data.cutouts import blacken_discs, place_discs
from tfpose.data.half_body import find_upper_body, half_body_boxes
from tfpose.data.pictures import cut_crops
from tfpose.data.records import RecordTable
from tfpose.data.step_batches import EpochOrder, Shapes, StepBatches
from tfpose.skeletons import Skeleton


class PersonCrops(StepBatches):
    """The people of a split as training examples.

    Args:
        table: Records.
        skeleton: Skeleton of the network. Joints are matched by name; joints that the records lack have weight 0.
        crop: Settings of the crops.
        augmentation: Random changes of the crops.
        seed: Seed of the order and of the augmentation.
        needs_labels: Whether people without a labeled joint of the skeleton are left out. False takes everybody whose
            box has an extent, because a teacher says where the joints are.

    Raises:
        ValueError: if no person of the split can be used, or the augmentation shows half bodies and cannot tell those
            of the skeleton.
    """

    def __init__(
        self,
        table: RecordTable,
        skeleton: Skeleton,
        crop: CropSettings,
        augmentation: Augmentation = NO_AUGMENTATION,
        seed: int = 0,
        needs_labels: bool = True,
    ) -> None:
        self.table, self.skeleton, self.crop = table, skeleton, crop
        self.augmentation, self.seed = augmentation, seed
        self.is_upper_body = find_upper_body(augmentation, skeleton) if augmentation.half_body_probability else None
        keypoints, is_labeled = table.labeled_keypoints(skeleton)
        is_usable = is_labeled.any(axis=1)
        if not needs_labels:
            boxes = table.people["box"]
            is_usable |= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        self.rows = np.flatnonzero(is_usable & (table.people["is_crowd"] == 0))
        if not len(self.rows) and not needs_labels:
            raise ValueError(f"{table.shards[0].parent}: must have people with a box, got none of {table.num_people}")
        if not len(self.rows):
            raise ValueError(
                f"{table.shards[0].parent}: none of {table.num_people} people has a labeled joint of "
                f"skeleton {skeleton.name} ({', '.join(skeleton.joints)}); the records have "
                f"{', '.join(table.skeleton.joints)}"
            )
        self.keypoints, self.is_labeled = keypoints[self.rows], is_labeled[self.rows]
        self.images = table.image_of_person[self.rows]
        self.boxes = crop.clip_annotated(table.people["box"][self.rows], table.sizes(self.images))
        self._order = EpochOrder(len(self.rows), seed)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, step: int, global_batch_size: int, part: slice) -> dict[str, np.ndarray]:
        """Returns the examples `part` of the global batch of a step.

        Returns:
            crops [B, H, W, 3] uint8, keypoints [B, J, 2] in crop pixels, weights [B, J], color_gains [B, 3],
            person [B] rows of the table's people.
        """
        chosen = self._order.positions(step, global_batch_size, part)
        rng = np.random.default_rng([self.seed, int(step), 1])
        drawn = draw_augmentation(self.augmentation, global_batch_size, rng)
        return self.examples(chosen, {name: values[part] for name, values in drawn.items()})

    def examples(self, chosen: np.ndarray, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the examples at positions `chosen` [B] under the augmentation `drawn` for them."""
        boxes = self._choose_boxes(chosen, drawn)
        shifts = drawn["shifts"] * (boxes[:, 2:] - boxes[:, :2])
        is_mirrored = drawn["is_mirrored"]
        matrices = crop_matrices(
            self.crop,
            boxes + np.tile(shifts, 2),
            scales=drawn["scales"],
            rotations_degrees=drawn["rotations_degrees"],
            is_mirrored=is_mirrored,
        )
        order = np.where(is_mirrored[:, None], self.skeleton.flip_order, np.arange(self.skeleton.num_joints))
        weights = np.take_along_axis(self.is_labeled[chosen], order, axis=1)
        points = np.take_along_axis(self.keypoints[chosen], order[..., None], axis=1)
        crop_keypoints = geometry.transform_arrays(matrices, points)
        crops = cut_record_crops(
            self.table, self.images[chosen], matrices, self.crop.crop_size, self.crop.reduces_images
        )
        blacken_discs(crops, place_discs(crop_keypoints, weights, self.crop.crop_size, drawn))
        return {
            "crops": crops,
            "keypoints": crop_keypoints.astype(np.float32),
            "weights": weights.astype(np.float32),
            "color_gains": drawn["color_gains"],
            "person": self.rows[chosen],
        }

    def _choose_boxes(self, chosen: np.ndarray, drawn: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the boxes [B, 4] of the people, or of half their bodies."""
        boxes = self.boxes[chosen]
        if self.is_upper_body is None:
            return boxes
        people = boxes, self.keypoints[chosen], self.is_labeled[chosen]
        return half_body_boxes(self.augmentation, self.is_upper_body, *people, drawn)

    def example_shapes(self) -> Shapes:
        """Returns the shapes of `examples`, without the first axis."""
        joints = self.skeleton.num_joints
        return {
            "crops": ((*self.crop.crop_size, 3), tf.uint8),
            "keypoints": ((joints, 2), tf.float32),
            "weights": ((joints,), tf.float32),
            "color_gains": ((3,), tf.float32),
            "person": ((), tf.int64),
        }


def crop_matrices(
    crop: CropSettings,
    boxes: np.ndarray,
    *,
    scales: np.ndarray | float = 1.0,
    rotations_degrees: np.ndarray | float = 0.0,
    is_mirrored: np.ndarray | bool = False,
) -> np.ndarray:
    """Computes `CropSettings.matrices` as NumPy float64 [P, 2, 3] on the host, whatever devices there are."""
    augmentation = (
        np.broadcast_to(np.asarray(value, dtype), len(boxes))
        for value, dtype in ((scales, np.float64), (rotations_degrees, np.float64), (is_mirrored, bool))
    )
    with tf.device("CPU"):
        return _compiled_matrices(crop)(np.asarray(boxes, np.float64), *augmentation).numpy()


@functools.lru_cache(maxsize=16)
def _compiled_matrices(crop: CropSettings) -> Callable[..., tf.Tensor]:
    # Its forty small operations, one by one from Python, took a quarter of a training crop's time.
    def compute(boxes: tf.Tensor, scales: tf.Tensor, rotations_degrees: tf.Tensor, is_mirrored: tf.Tensor) -> tf.Tensor:
        return crop.matrices(boxes, scales=scales, rotations_degrees=rotations_degrees, is_mirrored=is_mirrored)

    signature = [tf.TensorSpec([None, 4], tf.float64), *[tf.TensorSpec([None], tf.float64)] * 2]
    return tf.function(compute, input_signature=[*signature, tf.TensorSpec([None], tf.bool)], autograph=False)


def cut_record_crops(
    table: RecordTable,
    images: np.ndarray,
    crop_from_image: np.ndarray,
    crop_size: tuple[int, int],
    reduces_images: bool = True,
) -> np.ndarray:
    """Returns the crops [N, H, W, 3] uint8 of the table's images [N] under the matrices [N, 2, 3]."""
    with tf.device("CPU"):
        return cut_crops(
            table.read_image_bytes,
            table.sizes(images),
            images,
            crop_from_image,
            crop_size,
            table.describe,
            reduces_images,
        )
