"""Input pipeline of the single heatmap network: whole frames, a pure function of (seed, step).

As in `person_crops` a step's batch is found by arithmetic, not by replay, so training resumes at any step at once and
one device sees the same global batch as many.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.data.frame_augmentation import (
    NO_FRAME_AUGMENTATION,
    FrameAugmentation,
    augmented_from_input,
    draw_frame_augmentation,
)
from tfpose.data.heads import find_head_centers, mirrored_anchor_joints
from tfpose.data.person_crops import cut_record_crops
from tfpose.data.records import RecordTable
from tfpose.data.region_masks import box_polygon, draw_image_mask
from tfpose.data.step_batches import EpochOrder, Shapes, StepBatches, pad_rows
from tfpose.frame_fit import FrameFit
from tfpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class ExampleSettings:
    """The people of the examples.

    Attributes:
        persons_per_image: Number of people of interest per example.
        outside_joint_weight: Weight of labeled joints that the augmentation moved out of the frame. With 1 the network
            learns that there is nothing to see; 0 leaves these joints out.
        anchor_joints: Joints whose labeled ones have the head in the middle of their extent; `("*",)` stands for all
            joints. By default, the head is the middle of the head box or of the joints of the head. In mirrored frames,
            the right joint of a pair takes the place of the left one.

    Raises:
        ValueError: A setting is out of range.
    """

    persons_per_image: int = 1
    outside_joint_weight: float = 1.0
    anchor_joints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.persons_per_image < 1:
            raise ValueError(f"persons_per_image must be at least 1, got {self.persons_per_image}")
        if not 0 <= self.outside_joint_weight <= 1:
            raise ValueError(f"outside_joint_weight must lie in [0, 1], got {self.outside_joint_weight}")


class WholeFrames(StepBatches):
    """The labeled frames of a split as training examples.

    Heads are those of `heads.find_head_centers`. The boxes of people whose head is not known are masked out, like
    ignore regions and crowds: there is a head that no target shows. People of interest are drawn among those with a
    labeled joint whose head lies inside the augmented frame, each at most once per example.

    Args:
        table: Records; frames without labels are left out.
        skeleton: Skeleton of the network. Joints are matched by name; joints that the records lack have weight 0.
        fit: Fit of frames to the network's input.
        augmentation: Random changes of the frames.
        seed: Seed of the order, of the augmentation and of the people of interest.
        settings: People of the examples; None takes the defaults.

    Raises:
        ValueError: if no person of the labeled frames has a head and a labeled joint of the skeleton, or the records
            lack an anchor joint.
    """

    def __init__(
        self,
        table: RecordTable,
        skeleton: Skeleton,
        fit: FrameFit,
        augmentation: FrameAugmentation = NO_FRAME_AUGMENTATION,
        seed: int = 0,
        settings: ExampleSettings | None = None,
    ) -> None:
        self.table, self.skeleton, self.fit = table, skeleton, fit
        self.augmentation, self.seed = augmentation, seed
        self.settings = settings or ExampleSettings()
        keypoints, self.is_labeled = table.labeled_keypoints(skeleton)
        self.keypoints = keypoints.astype(np.float64)
        # Of all images at once: the same for one batch takes as long as for all.
        with tf.device("CPU"):
            self._fitted = np.asarray(fit.matrices(table.sizes(slice(None))))
        self.heads = find_head_centers(table.people, table.skeleton, self.settings.anchor_joints)
        self.mirrored_heads = self._mirrored_heads(self.settings.anchor_joints)
        # By is_mirrored.
        self._heads = (self.heads, self.mirrored_heads)
        self._has_head: tuple[np.ndarray, ...] = tuple(np.isfinite(heads).all(axis=1) for heads in self._heads)
        self.rows = np.flatnonzero(table.images["is_labeled"])
        self._check_people()
        self.max_heads = max(map(self._most_heads, self._has_head))
        self._order = EpochOrder(len(self.rows), seed)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, step: int, global_batch_size: int, part: slice) -> dict[str, np.ndarray]:
        """Returns the examples `part` of the global batch of a step.

        Returns:
            As `examples`.
        """
        chosen = self._order.positions(step, global_batch_size, part)
        rng = np.random.default_rng([self.seed, int(step), 1])
        drawn = draw_frame_augmentation(self.augmentation, global_batch_size, rng)
        drawn["priorities"] = rng.random((global_batch_size, self.max_heads))
        return self.examples(self.rows[chosen], {name: values[part] for name, values in drawn.items()})

    def examples(self, images: np.ndarray, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the examples of images of the table [B] under the augmentation `drawn` for them.

        Args:
            images: [B] rows of the table's images.
            drawn: Values from `draw_frame_augmentation`, and priorities [B, max_heads]: the qualified people with the
                lowest priorities become the people of interest.

        Returns:
            images [B, H, W, 3] uint8 RGB; intensity_shifts [B] and intensity_scales [B], for
            ((x - 128) / 128 + shift) * scale; and in heatmap cells (x, y): heads [B, N, 2] with head_weights [B, N],
            person_heads [B, P, 2] with person_weights [B, P], keypoints [B, P, J, 2] with joint_weights [B, P, J];
            region_masks [B, h, w], 1 where the head map counts; image [B] the rows again. All others float32.
        """
        input_from_image = self._input_from_image(images, drawn)
        heatmap_from_image = geometry.compose_arrays(self.fit.heatmap_from_input, input_from_image)
        rows = list(zip(images, heatmap_from_image, drawn["is_mirrored"], drawn["priorities"], strict=True))
        people = [self._people(*row) for row in rows]
        masks = [self._region_mask(*row[:3]) for row in rows]
        return {
            "images": cut_record_crops(self.table, images, input_from_image, self.fit.input_size),
            "intensity_shifts": drawn["intensity_shifts"],
            "intensity_scales": drawn["intensity_scales"],
            "region_masks": np.stack(masks),
            **{name: np.stack([person[name] for person in people]) for name in people[0]},
            "image": np.asarray(images, np.int64),
        }

    def _mirrored_heads(self, anchor_joints: tuple[str, ...]) -> np.ndarray:
        """Returns the heads [P, 2] of mirrored frames, in pixels of the frames as they are.

        A mirrored left eye looks like a right eye, so the network must not take it for a left eye.
        """
        mirrored = mirrored_anchor_joints(self.table.skeleton, anchor_joints)
        if set(mirrored) == set(anchor_joints):
            return self.heads
        return find_head_centers(self.table.people, self.table.skeleton, mirrored)

    def _most_heads(self, has_head: np.ndarray) -> int:
        """Returns the largest number of heads in a labeled frame."""
        heads_before = np.concatenate([[0], np.cumsum(has_head)])[self.table.first_person]
        return int(np.diff(heads_before)[self.rows].max())

    def _check_people(self) -> None:
        table = self.table
        is_in_labeled = np.isin(table.image_of_person, self.rows)
        self.has_labels = np.any(self.is_labeled, axis=1)
        if not (self._has_head[0] & self.has_labels & is_in_labeled).any():
            raise ValueError(
                f"{table.shards[0].parent}: none of {int(is_in_labeled.sum())} people in {len(self.rows)} labeled "
                f"frames has a head and a labeled joint of skeleton {self.skeleton.name} "
                f"({', '.join(self.skeleton.joints)}); the records have {', '.join(table.skeleton.joints)}"
            )

    def _input_from_image(self, images: np.ndarray, drawn: dict[str, np.ndarray]) -> np.ndarray:
        return geometry.compose_arrays(augmented_from_input(drawn, self.fit.input_size), self._fitted[images])

    def _people(
        self, image: int, heatmap_from_image: np.ndarray, is_mirrored: bool, priorities: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns the heads and the people of interest of one example."""
        people = self.table.people_of(image)
        rows = people.start + np.flatnonzero(self._has_head[int(is_mirrored)][people.start : people.stop])
        heads = geometry.transform_arrays(heatmap_from_image, self._heads[int(is_mirrored)][rows])
        is_candidate = self.has_labels[rows] & self._is_inside(heads)
        candidates = np.flatnonzero(is_candidate)
        drawn = candidates[np.argsort(priorities[candidates], kind="stable")][: self.settings.persons_per_image]
        order = self.skeleton.flip_order if is_mirrored else np.arange(self.skeleton.num_joints)
        keypoints = geometry.transform_arrays(heatmap_from_image, self.keypoints[rows[drawn]][:, order])
        weights = self.is_labeled[rows[drawn]][:, order] * np.where(
            self._is_inside(keypoints), 1.0, self.settings.outside_joint_weight
        )
        # Joints without annotation have coordinates that mean nothing.
        keypoints = np.where(self.is_labeled[rows[drawn]][:, order, None], keypoints, 0.0)
        count = self.settings.persons_per_image
        return {
            "heads": pad_rows(heads, self.max_heads),
            "head_weights": pad_rows(np.ones(len(rows)), self.max_heads),
            "person_heads": pad_rows(heads[drawn], count),
            "person_weights": pad_rows(np.ones(len(drawn)), count),
            "keypoints": pad_rows(keypoints, count),
            "joint_weights": pad_rows(weights, count),
        }

    def _is_inside(self, points: np.ndarray) -> np.ndarray:
        """Returns whether points [..., 2] in cells are in the frame, whose outer cells reach half a cell further."""
        height, width = self.fit.heatmap_size
        return np.all((points >= -0.5) & (points < np.array([width, height]) - 0.5), axis=-1)

    def _region_mask(self, image: int, heatmap_from_image: np.ndarray, is_mirrored: bool) -> np.ndarray:
        people, has_head = self.table.people, self._has_head[int(is_mirrored)]
        boxes = [
            box_polygon(people["box"][row])
            for row in self.table.people_of(image)
            if not (people["is_crowd"][row] or has_head[row])
        ]
        return draw_image_mask(self.table, image, heatmap_from_image, self.fit.heatmap_size, boxes)

    def example_shapes(self) -> Shapes:
        """Returns the shapes of `examples`, without the first axis."""
        joints, people, heads = self.skeleton.num_joints, self.settings.persons_per_image, self.max_heads
        return {
            "images": ((*self.fit.input_size, 3), tf.uint8),
            "intensity_shifts": ((), tf.float32),
            "intensity_scales": ((), tf.float32),
            "heads": ((heads, 2), tf.float32),
            "head_weights": ((heads,), tf.float32),
            "region_masks": (self.fit.heatmap_size, tf.float32),
            "person_heads": ((people, 2), tf.float32),
            "person_weights": ((people,), tf.float32),
            "keypoints": ((people, joints, 2), tf.float32),
            "joint_weights": ((people, joints), tf.float32),
            "image": ((), tf.int64),
        }
