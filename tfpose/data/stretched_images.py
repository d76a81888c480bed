"""Input pipeline of detectors with one input size: parts of images stretched to it, a pure function of (seed, step)."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfpose import geometry
from tfpose.data.person_crops import cut_record_crops
from tfpose.data.records import RecordTable
from tfpose.data.step_batches import EpochOrder, Shapes, StepBatches, pad_rows


@dataclasses.dataclass(frozen=True)
class StretchedInput:
    """The choice and the random changes of a detector's training images.

    Attributes:
        smallest_part: Smallest part of each side of an image that is shown; 1 shows whole images only.
        part_probability: Probability of showing a part of an image.
        mirror_probability: Probability of mirroring left to right.
        color_gain: Largest relative change of the normalized colors of each color channel.
        keeps_empty: Whether images without a person are used too.
    """

    smallest_part: float = 0.3
    part_probability: float = 0.5
    mirror_probability: float = 0.5
    color_gain: float = 0.2
    keeps_empty: bool = False

    def __post_init__(self) -> None:
        rules = {
            "smallest_part": (0 < self.smallest_part <= 1, "lie in (0, 1]"),
            "part_probability": (0 <= self.part_probability <= 1, "lie in [0, 1]"),
            "mirror_probability": (0 <= self.mirror_probability <= 1, "lie in [0, 1]"),
            "color_gain": (0 <= self.color_gain < 1, "lie in [0, 1)"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"detection input: {field} must {rule}, got {getattr(self, field)!r}")


class StretchedImages(StepBatches):
    """The annotated images of a split as training examples.

    People are those with a box whose center is shown; boxes are clipped to what is shown. Crowds and the ignore regions
    of the dataset, as their bounding boxes, are neither people nor background.

    Args:
        table: Records.
        input_size: (height, width) of the examples in pixels.
        settings: Choice and random changes of the images.
        seed: Seed of the order and of the changes.

    Raises:
        ValueError: No image is left, or none has a person.
    """

    def __init__(
        self, table: RecordTable, input_size: tuple[int, int], settings: StretchedInput | None = None, seed: int = 0
    ) -> None:
        self.table, self.input_size, self.seed = table, input_size, seed
        self.settings = settings or StretchedInput()
        boxes = table.people["box"]
        self.is_person = (table.people["is_crowd"] == 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        counts = np.bincount(table.image_of_person[self.is_person], minlength=table.num_images)
        is_used = table.images["is_labeled"] > 0
        self.rows = np.flatnonzero(is_used if self.settings.keeps_empty else is_used & (counts > 0))
        self.max_people = int(counts[self.rows].max(initial=0))
        if not self.max_people:
            raise ValueError(
                f"{table.shards[0].parent}: none of {table.num_images} images can be used: an annotated person with a "
                "box is needed"
            )
        self._ignored = [self._ignored_boxes(int(image)) for image in self.rows]
        self.max_ignored = max(1, *(len(boxes) for boxes in self._ignored))
        self._order = EpochOrder(len(self.rows), seed)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, step: int, global_batch_size: int, part: slice) -> dict[str, np.ndarray]:
        """Returns the examples `part` of the global batch of a step, see `examples`."""
        chosen = self._order.positions(step, global_batch_size, part)
        rng, settings = np.random.default_rng([self.seed, int(step), 1]), self.settings
        is_part = rng.random((global_batch_size, 1)) < settings.part_probability
        shares = np.where(is_part, rng.uniform(settings.smallest_part, 1, (global_batch_size, 2)), 1.0)
        drawn = {
            "shares": shares,
            "places": rng.random((global_batch_size, 2)) * (1 - shares),
            "is_mirrored": rng.random(global_batch_size) < settings.mirror_probability,
            "color_gains": 1 + settings.color_gain * rng.uniform(-1, 1, (global_batch_size, 3)),
        }
        return self.examples(chosen, {name: values[part] for name, values in drawn.items()})

    def examples(self, chosen: np.ndarray, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the examples at positions `chosen` [B].

        Args:
            chosen: [B] positions among the images that are used.
            drawn: Arrays shares [B, 2] and places [B, 2] (x, y) of the part that is shown, as shares of the image's
                sides, is_mirrored [B] and color_gains [B, 3].

        Returns:
            images [B, H, W, 3] uint8 RGB, boxes [B, P, 4] xyxy in pixels of the input, where pixel i covers [i, i + 1],
            person_weights [B, P], ignored_boxes [B, K, 4], color_gains [B, 3] float32, and image [B], the rows of the
            table's images.
        """
        images = self.rows[chosen]
        matrices = self._matrices(images, drawn)
        people = [self._people(image, matrix) for image, matrix in zip(images, matrices, strict=True)]
        ignored = [self._clip(self._ignored[place], matrix)[0] for place, matrix in zip(chosen, matrices, strict=True)]
        # From continuous coordinates to centers of pixels at integers.
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5]])
        back = np.array([[1, 0, -0.5], [0, 1, -0.5]])
        cut = geometry.compose_arrays(geometry.compose_arrays(back, matrices), shift)
        return {
            "images": cut_record_crops(self.table, images, cut, self.input_size, reduces_images=False),
            "boxes": np.stack([pad_rows(boxes, self.max_people) for boxes in people]),
            "person_weights": np.stack([pad_rows(np.ones(len(boxes)), self.max_people) for boxes in people]),
            "ignored_boxes": np.stack([pad_rows(boxes, self.max_ignored) for boxes in ignored]),
            "color_gains": drawn["color_gains"].astype(np.float32),
            "image": np.asarray(images, np.int64),
        }

    def example_shapes(self) -> Shapes:
        """Returns the shapes of `examples`, without the first axis."""
        return {
            "images": ((*self.input_size, 3), tf.uint8),
            "boxes": ((self.max_people, 4), tf.float32),
            "person_weights": ((self.max_people,), tf.float32),
            "ignored_boxes": ((self.max_ignored, 4), tf.float32),
            "color_gains": ((3,), tf.float32),
            "image": ((), tf.int64),
        }

    def _matrices(self, images: np.ndarray, drawn: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the maps [B, 2, 3] from image to input pixels; pixel i covers [i, i + 1] in both."""
        sizes, target = self.table.sizes(images)[:, ::-1], np.array(self.input_size[::-1])
        zooms = target / (drawn["shares"] * sizes)
        matrices = np.zeros((len(images), 2, 3))
        matrices[:, [0, 1], [0, 1]] = zooms
        matrices[:, :, 2] = -drawn["places"] * sizes * zooms
        flip = np.array([[-1, 0, target[0]], [0, 1, 0]], np.float64)
        mirrored = geometry.compose_arrays(flip, matrices)
        return np.where(drawn["is_mirrored"][:, None, None], mirrored, matrices)

    def _people(self, image: int, matrix: np.ndarray) -> np.ndarray:
        """Returns the boxes [N, 4] of the people of an image whose center is shown, clipped to the input."""
        people = self.table.people_of(image)
        rows = people.start + np.flatnonzero(self.is_person[people.start : people.stop])
        boxes, centers = self._clip(self.table.people["box"][rows], matrix)
        return boxes[((centers > 0) & (centers < self.input_size[::-1])).all(axis=1)]

    def _ignored_boxes(self, image: int) -> np.ndarray:
        """Returns the boxes [K, 4] of crowds and ignore regions, in pixels of the image."""
        people = self.table.people_of(image)
        rows = people.start + np.flatnonzero(self.table.people["is_crowd"][people.start : people.stop] > 0)
        regions = [
            np.concatenate([region.min(axis=0), region.max(axis=0)])
            for region in self.table.images["ignore_regions"][image]
            if len(region)
        ]
        return np.concatenate([self.table.people["box"][rows], np.reshape(regions, (-1, 4))])

    def _clip(self, boxes: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns boxes [N, 4] in pixels of the input, clipped to it, and their centers [N, 2] before."""
        corners = geometry.transform_arrays(matrix, np.asarray(boxes, np.float64).reshape(-1, 2, 2))
        corners = np.sort(corners, axis=1)
        return np.clip(corners, 0, self.input_size[::-1]).reshape(-1, 4), corners.mean(axis=1)
